"""Asks as the agent does (httpx, the instrumentation, our prober), keeps all that came of it."""

from __future__ import annotations

import asyncio
import gc
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Span, SpanKind

from kubenurse_otel import semconv
from kubenurse_otel.config import TrustConfig
from kubenurse_otel.config.urls import parse_url
from kubenurse_otel.errors import ErrorType
from kubenurse_otel.model import Auth, Measurement, Target, TargetKind, Trust, Url
from kubenurse_otel.probe import prober
from kubenurse_otel.probe.full_size import SizeComparer
from kubenurse_otel.probe.prober import Probed
from kubenurse_otel.probe.resolve import Answer
from kubenurse_otel.probe.trust import TrustStore
from kubenurse_otel.tracing.check_spans import CheckTracerProvider
from kubenurse_otel.tracing.httpx_adapter import InstrumentedProber
from kubenurse_otel.tracing.sampling import CheckSampler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from servers import Certificates


@dataclass
class FakeResolver:
    """The ``resolve`` seam: names to addresses (or an exception), at once and without a thread."""

    names: Mapping[str, Sequence[str] | Exception]
    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str, *, deadline: float) -> Answer:  # noqa: ARG002 - the seam's
        self.asked.append(host)
        found = self.names[host]
        if isinstance(found, Exception):
            raise found
        now = time.monotonic_ns()
        return Answer(tuple(found), now, now)


@dataclass
class Checked:
    """What came of one request. ``spans`` are those that ended, in that order."""

    probe: Probed
    spans: tuple[ReadableSpan, ...]
    elapsed: float
    """Seconds that the caller waited."""

    @property
    def measured(self) -> Measurement:
        return self.probe.measurement

    @property
    def client_span(self) -> ReadableSpan:
        (span,) = (span for span in self.spans if span.kind is SpanKind.CLIENT)
        return span

    @property
    def attributes(self) -> dict[str, Any]:
        return dict(self.client_span.attributes or {})

    @property
    def events(self) -> list[str]:
        """The httptrace events on the CLIENT span."""
        return [event.name for event in self.client_span.events if event.name in semconv.EVENTS]

    @property
    def raised(self) -> str:
        """The exception of httpx that the instrumentation saw; empty: none."""
        return str(self.attributes.get("error.type", ""))

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def everything(self) -> str:
        """All that telemetry would hold of it, as one text."""
        return "\n".join(span.to_json() for span in self.spans)


class Prober:
    """``async with Prober() as prober: await prober.check(url)``. Trusts ``ca_file`` only."""

    def __init__(
        self,
        *,
        ca_file: Path | None = None,
        token_file: Path | None = None,
        insecure: bool = False,
        names: Mapping[str, Sequence[str] | Exception] | None = None,
        compares_sizes: bool = False,
        **options: Any,
    ) -> None:
        defaults = TrustConfig()
        config = TrustConfig(
            insecure=insecure,
            ca_file=ca_file or defaults.ca_file,
            token_file=token_file or defaults.token_file,
        )
        self.exporter = InMemorySpanExporter()
        self.provider = CheckTracerProvider(
            sampler=CheckSampler(1.0),
            processor=SimpleSpanProcessor(self.exporter),
            resource=Resource.get_empty(),
        )
        self._tracer = self.provider.get_tracer("tests")
        options.setdefault("trust", TrustStore(config))
        if names is not None:
            options["resolve"] = FakeResolver(names)
        self.prober = prober.Prober(**options)
        asking = SizeComparer(self.prober) if compares_sizes else self.prober
        self.instrumented = InstrumentedProber(asking, self.provider)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.prober.close()

    async def check(
        self, url: str | Url, *, timeout_seconds: float = 10.0, **target: Any
    ) -> Checked:
        """Check ``url`` as an extra check, or as ``target`` says; raises nothing for it."""
        fields: dict[str, Any] = {
            "key": "extra",
            "type": "extra",
            "kind": TargetKind.EXTRA,
            "interval_seconds": 5.0,
            "url": parse_url(url) if isinstance(url, str) else url,
            "timeout_seconds": timeout_seconds,
        }
        started = time.perf_counter()
        with self._tracer.start_as_current_span("check", context=Context()) as root:
            probed = await self.instrumented.probe(Target(**{**fields, **target}))
        elapsed = time.perf_counter() - started
        return Checked(probed, self._take_spans(root), elapsed)

    def _take_spans(self, root: Span) -> tuple[ReadableSpan, ...]:
        """The ended spans of one trace; checks run at the same time."""
        trace_id = root.get_span_context().trace_id
        return tuple(
            span
            for span in self.exporter.get_finished_spans()
            if span.context is not None and span.context.trace_id == trace_id
        )

    async def check_in_peace(self, url: str, *, times: int = 5, **options: Any) -> Checked:
        """Check a far end that is to use up the time: again where the machine did (own_timeout)."""
        for _ in range(times):
            checked = await self.check(url, **options)
            failure = checked.probe.failure
            if failure is None or failure.error_type != ErrorType.OWN_TIMEOUT:
                break
        return checked

    async def check_api_server(self, url: str, **target: Any) -> Checked:
        """Check ``url`` as the API server: with the token, verified by ca.crt alone."""
        fields: dict[str, Any] = {
            "key": "api_server_direct",
            "type": "api_server_direct",
            "kind": TargetKind.API_SERVER_DIRECT,
            "trust": Trust.API_SERVER,
            "auth": Auth.SERVICE_ACCOUNT_TOKEN,
        }
        return await self.check(url, **{**fields, **target})

    async def check_path(self, url: str, **target: Any) -> Checked:
        """Check ``url`` as a neighbour: traceparent sent, agent headers believed."""
        fields: dict[str, Any] = {
            "key": "path_node-b",
            "type": "path_node-b",
            "kind": TargetKind.PATH,
            "propagate": True,
            "answered_by_agent": True,
            "detect_interception": True,
        }
        return await self.check(url, **{**fields, **target})


async def failures_as_the_ca_changes(
    certificates: Certificates, ca_file: Path, check: Callable[[Prober], Awaitable[Checked]]
) -> list[str | None]:
    """Make ``check`` twice with our CA in ``ca_file``, then with another; why each one failed."""
    now = 0.0
    shutil.copyfile(certificates.ca_file, ca_file)
    store = TrustStore(TrustConfig(ca_file=ca_file), clock=lambda: now)
    found = []
    async with Prober(trust=store) as prober:
        for authority in (None, None, certificates.stranger_ca_file):
            if authority is not None:
                shutil.copyfile(authority, ca_file)
            now += 60
            failure = (await check(prober)).probe.failure
            found.append(failure and failure.error_type)
    return found


async def block_event_loop_during(seconds: float, *, after_seconds: float) -> None:
    """Stand still, as a garbage collection or a greedy callback would, in the midst of a wait."""
    await asyncio.sleep(after_seconds)
    time.sleep(seconds)  # noqa: ASYNC251 - blocking the loop is the purpose


def open_files() -> int:
    """File descriptors of this process."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))
