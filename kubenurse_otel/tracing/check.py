"""One Target -> one root span and one CheckResult, through httpx and its instrumentation.

Owns the root span and the verdict over the answer (its node, its status). Measures nothing: times
and network failures come from the transport, in the Probe that travels with the request. Goes
without httpx's client: redirects, cookies, proxies and decoding are not switched off but absent.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import httpx
from opentelemetry.context import Context
from opentelemetry.instrumentation import _semconv as instrumentation_semconv
from opentelemetry.instrumentation.httpx import AsyncOpenTelemetryTransport
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import (
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    TracerProvider,
    format_span_id,
    format_trace_id,
)

from kubenurse_otel import __version__, errors, semconv, unhandled
from kubenurse_otel.model import PROBE, CheckResult, Failure, Outcome, Probe, Target
from kubenurse_otel.unhandled import Part

if TYPE_CHECKING:
    from collections.abc import Callable

USER_AGENT: Final = f"kubenurse-otel/{__version__}"
_HEADERS: Final = (("User-Agent", USER_AGENT), ("Accept", "*/*"))


@lru_cache(maxsize=1024)
def request_url(url: str) -> httpx.URL:
    """``url`` for httpx, which takes a host that begins with ``xn--`` for an IDNA2008 name and
    raises when it is none. To DNS it is a name as any other: its first letter goes in
    percent-encoded (the same host, RFC 3986 section 6.2.2.2), and the transport takes it back.
    """
    scheme, _, rest = url.partition("://")
    if rest[:4].lower() == "xn--":
        rest = f"%78{rest[1:]}"
    return httpx.URL(f"{scheme}://{rest}")


def make_request(probe: Probe) -> httpx.Request:
    """The request of one check. Raises nothing for a URL of the configuration or of discovery."""
    url = request_url(probe.target.url)
    headers = [*_HEADERS, *probe.target.headers]
    if url.raw_host.startswith(b"%"):  # httpx's own Host header would have it as it is written here
        headers.insert(0, ("Host", unquote(url.netloc.decode("ascii"))))
    return httpx.Request("GET", url, headers=headers, extensions={PROBE: probe})


class Checker:
    """Runs checks, any number at a time, over one transport (see ``instrumented()``)."""

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        tracer: Tracer,
        *,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._transport = transport
        self._tracer = tracer
        self._wall_clock = wall_clock

    async def check(self, target: Target, *, sample_reason: str | None = None) -> CheckResult:
        """Check once. ``sample_reason`` makes both ends sample the trace, and says why.

        Raises nothing for what the network or the far end does. A cancelled check leaves a root
        span without an outcome, which counts as no check.
        """
        probe = Probe(target)
        started_at = self._wall_clock()
        with self._tracer.start_as_current_span(
            semconv.SPAN_CHECK_PREFIX + target.kind.value,
            context=Context(),  # a root, whatever span is current
            kind=SpanKind.INTERNAL,
            attributes=_attributes(target, sample_reason),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            status_code = await self._exchange(probe)
            failure = probe.failure or _verdict(status_code, probe)
            code = (
                semconv.EVENT_ROUND_TRIP_ERROR if probe.failure else errors.status_word(status_code)
            )
            _conclude(span, code, failure)
            context = span.get_span_context()
        return CheckResult(
            target=target,
            outcome=Outcome.OK if failure is None else Outcome.FAILED,
            started_at=started_at,
            failure=failure,
            measurement=probe.measurement,
            trace_id=format_trace_id(context.trace_id) if context.is_valid else "",
            span_id=format_span_id(context.span_id) if context.is_valid else "",
        )

    async def _exchange(self, probe: Probe) -> int:
        """Return the answer's status; 0 if there was none (probe.failure then says why)."""
        target = probe.target
        try:
            request = make_request(probe)
            response = await self._transport.handle_async_request(request)
        except Exception as error:  # noqa: BLE001 - the edge of one check: a bug must not end others
            if not isinstance(error, httpx.TransportError) or probe.failure is None:
                unhandled.caught(Part.CHECK, error, about=target.key)
                probe.failure = errors.unhandled_failure(error, target=target.url)
            errors.without_frames(error)  # the instrumentation's frame keeps it, too
            return 0
        return response.status_code


def instrumented(
    inner: httpx.AsyncBaseTransport, tracer_provider: TracerProvider
) -> httpx.AsyncBaseTransport:
    """Put OpenTelemetry's instrumentation of httpx over ``inner``, which talks to the network.

    Excluded URLs and captured headers, which it reads from the environment,
    config.take_environment has taken out of it.
    """
    _use_stable_http_conventions()
    return AsyncOpenTelemetryTransport(
        inner, tracer_provider=tracer_provider, meter_provider=NoOpMeterProvider()
    )


def _attributes(target: Target, sample_reason: str | None) -> dict[str, str]:
    attributes = {semconv.TYPE: target.type, semconv.TARGET_KEY: target.key}
    if target.neighbour is not None:
        attributes[semconv.TARGET_NODE] = target.neighbour.node_name
        attributes[semconv.TARGET_POD] = target.neighbour.pod_name
    if sample_reason is not None:
        attributes[semconv.FORCE_SAMPLE] = sample_reason
    return attributes


def _verdict(status_code: int, probe: Probe) -> Failure | None:
    """What is wrong with a whole answer: who gave it, then its status.

    A neighbour is asked at an address, and its answer names its node. One that names none
    (kubenurse, an agent without KUBENURSE_NODE_NAME) is taken as it is.
    """
    target, measured = probe.target, probe.measurement
    answered = measured.answering_node if measured is not None else ""
    if target.neighbour is not None and answered not in ("", target.neighbour.node_name):
        return errors.wrong_peer_failure(
            expected=target.neighbour.node_name, answered=answered, target=target.url
        )
    lowest, highest = target.expect
    if not lowest <= status_code <= highest:
        return errors.status_failure(status_code, target=target.url)
    return None


def _conclude(span: Span, code: str, failure: Failure | None) -> None:
    attributes = {semconv.CODE: code, semconv.OUTCOME: Outcome.OK.value}
    if failure is not None:
        attributes |= {
            semconv.OUTCOME: Outcome.FAILED.value,
            semconv.FAILURE_ERROR_TYPE: str(failure.error_type),
            semconv.FAILURE_PHASE: failure.phase.value,
            semconv.FAILURE_EVENT: failure.event,
            semconv.FAILURE_MESSAGE: failure.message,
        }
        span.set_status(StatusCode.ERROR, failure.message)
    span.set_attributes(attributes)


def _use_stable_http_conventions() -> None:
    """Choose the stable HTTP conventions, whatever OTEL_SEMCONV_STABILITY_OPT_IN says.

    The instrumentation (pinned to one version) knows no parameter for it: it fills these fields
    from the environment, once in a process, and the first to ask decides.
    """
    chosen = instrumentation_semconv._OpenTelemetrySemanticConventionStability  # noqa: SLF001 - there is no public way
    signal = instrumentation_semconv._OpenTelemetryStabilitySignalType.HTTP  # noqa: SLF001 - there is no public way
    mode = instrumentation_semconv._StabilityMode.HTTP  # noqa: SLF001 - there is no public way
    chosen._OTEL_SEMCONV_STABILITY_SIGNAL_MAPPING[signal] = mode  # noqa: SLF001 - there is no public way
    chosen._initialized = True  # noqa: SLF001 - there is no public way
