"""The checks' span processor: metrics of every check, then its trace is kept or dropped whole.

Owns the spans of open checks, and acts when the root ends, since then everything is known.
recording.py says what is recorded, sampling.py what is worth keeping, export_form.py in which form
it leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import NonRecordingSpan, SpanKind, set_span_in_context

from kubenurse_otel import semconv
from kubenurse_otel.config import SpanLimitsConfig
from kubenurse_otel.tracing.export_form import rebuild, sampled
from kubenurse_otel.tracing.recording import record

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from opentelemetry.util.types import AnyValue

    from kubenurse_otel.semconv import Recorder
    from kubenurse_otel.tracing.sampling import KeepPolicy

MAX_OPEN_CHECKS: Final = 16_384
MAX_SPANS_PER_CHECK: Final = 128

Export = Callable[[Sequence[ReadableSpan]], bool]
"""Takes a whole trace (True), or refuses and counts it (False)."""


@dataclass(slots=True)
class _Open:
    """A check whose root has not ended."""

    root_span_id: int
    client: ReadableSpan | None = None
    spans: list[ReadableSpan] = field(default_factory=list)
    lost: int = 0


class Bridge(SpanProcessor):
    """The checks' span processor: metrics of all checks, traces of some.

    Without ``export`` there are no traces: nothing is judged, held or copied. A check's root
    starts and ends on one thread (the event loop's).
    """

    def __init__(
        self,
        instruments: Recorder,
        *,
        keep: KeepPolicy | None = None,
        export: Export | None = None,
        limits: SpanLimitsConfig | None = None,
    ) -> None:
        self._instruments = instruments
        self._keep = keep
        self._export = export if keep is not None else None
        self._limits = limits or SpanLimitsConfig()
        self._open: dict[int, _Open] = {}

    def sample_reason(self, target_key: str) -> str | None:
        """Return why the next check of this target is to be sampled at both ends, None if it is
        not.
        """
        if self._keep is None or self._export is None:
            return None
        return self._keep.sample_reason(target_key)

    def retain(self, target_keys: Collection[str]) -> None:
        """Forget what is remembered of every target but these."""
        if self._keep is not None:
            self._keep.retain(target_keys)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002 - the SDK's signature
        if span.parent is not None or not _is_root_of_a_check(span):
            return
        if len(self._open) >= MAX_OPEN_CHECKS:
            oldest = self._open.pop(next(iter(self._open)))
            self._dropped("evicted", len(oldest.spans) + oldest.lost)
        context = span.get_span_context()
        self._open[context.trace_id] = _Open(context.span_id)

    def on_end(self, span: ReadableSpan) -> None:
        context = span.get_span_context()
        if context is None:
            return
        check = self._open.get(context.trace_id)
        if check is None:
            self._dropped("late", 1)
        elif context.span_id == check.root_span_id:
            del self._open[context.trace_id]
            self._finish(check, span)
        else:
            self._hold(check, span)

    def shutdown(self) -> None:
        self._open.clear()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's signature
        return True  # what is held here belongs to checks that still run

    def _hold(self, check: _Open, span: ReadableSpan) -> None:
        parent = span.parent
        if (
            span.kind is SpanKind.CLIENT
            and parent is not None
            and parent.span_id == check.root_span_id
        ):
            check.client = span
        if self._export is None:
            return
        if len(check.spans) < MAX_SPANS_PER_CHECK or span is check.client:
            check.spans.append(span)
        else:
            check.lost += 1

    def _finish(self, check: _Open, root: ReadableSpan) -> None:
        root_attributes = root.attributes or {}
        if semconv.OUTCOME not in root_attributes:
            return  # cancelled: no check
        client = check.client
        client_attributes = (client.attributes or {}) if client else {}
        context = None
        if self._ship(check, root, root_attributes, client_attributes) and client:
            client_context = sampled(client.get_span_context())
            assert client_context is not None
            context = set_span_in_context(NonRecordingSpan(client_context), Context())
        events = client.events if client else ()
        record(self._instruments, root_attributes, client_attributes, events, context)

    def _ship(
        self,
        check: _Open,
        root: ReadableSpan,
        root_attributes: Mapping[str, AnyValue],
        client_attributes: Mapping[str, AnyValue],
    ) -> bool:
        """Export the trace if it is worth keeping. True if an exemplar may point at it."""
        context = root.get_span_context()
        if self._keep is None or self._export is None or context is None:
            return False
        verdict = self._keep.judge(
            context.trace_id,
            sampled=context.trace_flags.sampled,
            root=root_attributes,
            client=client_attributes,
        )
        if not verdict.kept:
            if verdict.reason is not None:
                self._dropped("rate_limited", len(check.spans) + check.lost + 1)
            return False
        if check.lost:
            self._dropped("span_limit", check.lost)
        return self._export(
            [
                *(rebuild(span, self._limits) for span in check.spans),
                rebuild(root, self._limits, verdict.reason),
            ]
        )

    def _dropped(self, reason: str, spans: int) -> None:
        if self._export is not None and spans:
            self._instruments.add(semconv.SPANS_DROPPED, spans, {"reason": reason})


def _is_root_of_a_check(span: ReadableSpan) -> bool:
    return span.kind is SpanKind.INTERNAL and span.name.startswith(semconv.SPAN_CHECK_PREFIX)
