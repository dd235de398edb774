"""Traces on their way out: whole ones, since a part of a trace tells little; drops are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubenurse_otel import semconv
from kubenurse_otel.telemetry.batches import BatchQueue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from kubenurse_otel.telemetry.delivery import Delivery
    from kubenurse_otel.telemetry.instruments import Instruments


class TraceQueue(BatchQueue["ReadableSpan"]):
    """Takes whole traces: spans that are ended, with the SAMPLED flag in their contexts."""

    def __init__(
        self,
        delivery: Delivery[Sequence[ReadableSpan]],
        instruments: Instruments,
        *,
        queue_size: int,
        batch_size: int,
        delay_seconds: float,
    ) -> None:
        super().__init__(
            delivery,
            name="otlp-traces",
            on_dropped=lambda spans, reason: instruments.add(
                semconv.SPANS_DROPPED, spans, {"reason": reason}
            ),
            queue_size=queue_size,
            batch_size=batch_size,
            delay_seconds=delay_seconds,
        )
