"""Verdicts as OpenTelemetry events: one log record when a verdict is raised, and one when it is
cleared.

Owns what such a record says, and how long it waits. It is imported only where log records leave:
with the encoder, the SDK's logs are a megabyte.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import (
    LoggerProvider,
    LogRecordProcessor,
    ReadableLogRecord,
    ReadWriteLogRecord,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, set_span_in_context

from kubenurse_otel import __version__, semconv
from kubenurse_otel.diagnosis.sentence import sentence
from kubenurse_otel.telemetry.batches import EXPORT_FAILED, BatchQueue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk.resources import Resource

    from kubenurse_otel.diagnosis.diagnosis import Judgement
    from kubenurse_otel.diagnosis.verdict import Verdict
    from kubenurse_otel.telemetry.delivery import Delivery

_QUEUE_SIZE: Final = 512
"""The most log records that wait. Verdicts are few, so that many wait only while a collector is
away and much is wrong.
"""
_BATCH_SIZE: Final = 64
BACKOFF_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0)
"""Seconds between tries, three minutes in all: the fault that a verdict names may be what cuts off
the collector.
"""
_DELAY_SECONDS: Final = 1.0
"""A judgement's records leave together; the next judgement is a second later."""


class LogQueue(BatchQueue[ReadableLogRecord]):
    """Log records that wait for export. One that does not fit counts as a failed export."""

    def __init__(self, delivery: Delivery[Sequence[ReadableLogRecord]]) -> None:
        def dropped(_records: int, reason: str) -> None:
            if reason != EXPORT_FAILED:  # counted and told by the delivery itself
                delivery.gave_up(f"log records were dropped: {reason}")

        super().__init__(
            delivery,
            name="otlp-logs",
            on_dropped=dropped,
            queue_size=_QUEUE_SIZE,
            batch_size=_BATCH_SIZE,
            delay_seconds=_DELAY_SECONDS,
        )


class VerdictEvents:
    """Emits through the SDK's logger into ``queues``; `tell` never waits."""

    def __init__(self, queues: Sequence[LogQueue], resource: Resource) -> None:
        provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
        for queue in queues:
            provider.add_log_record_processor(_IntoQueue(queue, resource))
        self._logger = provider.get_logger(
            "kubenurse_otel.diagnosis", __version__, schema_url=semconv.SCHEMA_URL
        )

    def tell(self, judgement: Judgement) -> None:
        for verdict in judgement.raised:
            self._emit(verdict, SeverityNumber.WARN)
        for verdict in judgement.cleared:
            self._emit(verdict, SeverityNumber.INFO)

    def _emit(self, verdict: Verdict, severity: SeverityNumber) -> None:
        now_ns = time.time_ns()
        self._logger.emit(
            LogRecord(
                timestamp=now_ns,
                observed_timestamp=now_ns,
                context=_in_first_trace(verdict),
                severity_number=severity,
                severity_text=severity.name,
                event_name=semconv.LOG_EVENT_VERDICT,
                body=sentence(verdict),
                attributes={
                    semconv.VERDICT_KIND: verdict.kind.value,
                    semconv.VERDICT_CULPRIT: verdict.culprit,
                    semconv.VERDICT_DIRECTION: verdict.direction.value,
                    semconv.VERDICT_CAUSE: verdict.cause.value,
                    semconv.VERDICT_STATE: verdict.state.value,
                    semconv.VERDICT_CONFIDENCE: verdict.confidence,
                },
            )
        )


def _in_first_trace(verdict: Verdict) -> Context:
    """Return the context of the first evidence's trace (without a span), or an empty one."""
    trace_ids = [one.trace_id for one in verdict.evidence if one.trace_id]
    trace_id = int(trace_ids[0], 16) if trace_ids else 0
    return set_span_in_context(NonRecordingSpan(SpanContext(trace_id, 0, is_remote=False)))


class _IntoQueue(LogRecordProcessor):
    """Holds no thread: Telemetry stops that of the queue."""

    def __init__(self, queue: LogQueue, resource: Resource) -> None:
        self._queue = queue
        self._resource = resource

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        record = ReadableLogRecord(
            log_record.log_record, self._resource, log_record.instrumentation_scope
        )
        self._queue.offer((record,))

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's
        return True
