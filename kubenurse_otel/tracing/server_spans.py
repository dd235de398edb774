"""Our answers to other agents as traces: which SERVER spans are exported.

Owns their rate limits, for all and for each caller. They belong to a TracerProvider of their own: a
check that our own pod answers shares its trace id, and must neither mix with nor end the check's
spans in bridge.py.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import SpanKind

from kubenurse_otel import semconv
from kubenurse_otel.config import SpanLimitsConfig
from kubenurse_otel.rate import Rate
from kubenurse_otel.semconv import Kept
from kubenurse_otel.tracing.export_form import rebuild

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kubenurse_otel.semconv import Recorder


class ServerSpanProcessor(SpanProcessor):
    """Exports SERVER spans that the caller sampled, and slow ones, each a trace of its own here.

    ``export`` takes a trace or refuses and counts it. Spans beyond the rate are counted, too.
    """

    MAX_PER_SECOND: Final = 20
    SHARE_PER_SECOND: Final = 2.0
    """Spans per second of one address. A caller decides that a trace is kept, so it must not be
    able to use up the whole rate.
    """
    SHARE_BURST: Final = 5.0

    def __init__(
        self,
        instruments: Recorder,
        export: Callable[[Sequence[ReadableSpan]], bool],
        *,
        slow_threshold_seconds: float,
        limits: SpanLimitsConfig | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._instruments = instruments
        self._export = export
        self._slow_ns = slow_threshold_seconds * 1e9
        self._limits = limits or SpanLimitsConfig()
        self._clock = clock
        self._shares = Rate(per_second=self.SHARE_PER_SECOND, burst=self.SHARE_BURST, clock=clock)
        self._exported_at: deque[float] = deque(maxlen=self.MAX_PER_SECOND)

    def on_end(self, span: ReadableSpan) -> None:
        context = span.get_span_context()
        if context is None or span.kind is not SpanKind.SERVER:
            return
        if context.trace_flags.sampled:
            kept = Kept.CALLER
        elif (span.end_time or 0) - (span.start_time or 0) >= self._slow_ns:
            kept = Kept.SLOW
        else:
            return
        now = self._clock()
        caller = str((span.attributes or {}).get(semconv.CLIENT_ADDRESS, ""))
        full = len(self._exported_at) == self.MAX_PER_SECOND and now - self._exported_at[0] < 1
        if full or not self._shares.allows(caller):
            self._instruments.add(semconv.SPANS_DROPPED, 1, {"reason": "rate_limited"})
            return
        self._exported_at.append(now)
        self._export([rebuild(span, self._limits, kept)])
