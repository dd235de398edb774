"""Traces on their way out: a queue of whole traces, bounded in spans, and the thread that sends.

Unlike the SDK's BatchSpanProcessor it never splits a trace to fit, counts what it drops and what
became of each export, and ends when it is told to.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from kubenurse_otel import semconv

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

    from kubenurse_otel.telemetry.exporters import ExportHealth
    from kubenurse_otel.telemetry.instruments import Instruments

_log = logging.getLogger(__name__)

BACKOFF_SECONDS: Final = (1.0, 4.0)
"""Waits before the second and the third try of a batch; then it is dropped and counted."""
_PAUSE_SECONDS: Final = 0.005
QUEUE_FULL: Final = "queue_full"
EXPORT_FAILED: Final = "export_failed"
SHUTDOWN: Final = "shutdown"


class TraceQueue:
    """Takes whole traces and exports them in batches of whole traces.

    A batch holds at most ``batch_size`` spans (a larger trace goes alone) and leaves when that
    many wait, or after ``delay_seconds``. Memory is bounded by ``queue_size`` spans and one batch.
    """

    def __init__(
        self,
        make_exporter: Callable[[], SpanExporter],
        health: ExportHealth,
        instruments: Instruments,
        *,
        queue_size: int,
        batch_size: int,
        delay_seconds: float,
        backoff_seconds: Sequence[float] = BACKOFF_SECONDS,
    ) -> None:
        self._make_exporter = make_exporter
        self._health = health
        self._instruments = instruments
        self._queue_size = queue_size
        self._batch_size = batch_size
        self._delay_seconds = delay_seconds
        self._backoff_seconds = tuple(backoff_seconds)
        self._traces: deque[tuple[ReadableSpan, ...]] = deque()
        self._waiting = 0
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._deadline = float("inf")
        self._exporter: SpanExporter | None = None
        self.thread = threading.Thread(target=self._run, name="otlp-traces", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def offer(self, spans: Sequence[ReadableSpan]) -> bool:
        """Queue a whole trace; False if it does not fit and was dropped and counted. Never waits.

        ``spans`` are ended, with the SAMPLED flag in their contexts; safe from any thread.
        """
        with self._changed:
            taken = not self._stopping.is_set() and self._waiting + len(spans) <= self._queue_size
            if taken:
                self._traces.append(tuple(spans))
                self._waiting += len(spans)
                if self._waiting >= self._batch_size or len(self._traces) == 1:
                    self._changed.notify()
        if not taken:
            self._dropped(len(spans), QUEUE_FULL)
        return taken

    def stop(self, *, deadline: float) -> None:
        """Ask to export what waits until ``deadline`` (time.monotonic); returns at once."""
        self._deadline = deadline
        self._stopping.set()
        with self._changed:
            self._changed.notify()

    def abandon(self) -> None:
        """Cut off whatever still runs; what waits is counted as dropped."""
        if self._exporter is not None:
            self._exporter.shutdown()
        self._drop_waiting()

    def _run(self) -> None:
        while batch := self._next_batch():
            if not self._send(batch):
                self._dropped(len(batch), EXPORT_FAILED)
                if self._stopping.is_set():
                    break  # one failure is enough: the rest would only use up the time
            time.sleep(_PAUSE_SECONDS)
        self._drop_waiting()
        if self._exporter is not None:
            self._exporter.shutdown()

    def _next_batch(self) -> list[ReadableSpan]:
        """Wait for a batch; empty when stopped and nothing is left, or no time."""
        with self._changed:
            self._changed.wait_for(lambda: self._traces or self._stopping.is_set())
            self._changed.wait_for(
                lambda: self._waiting >= self._batch_size or self._stopping.is_set(),
                self._delay_seconds,
            )
            batch: list[ReadableSpan] = []
            if time.monotonic() >= self._deadline:
                return batch
            while self._traces and (
                not batch or len(batch) + len(self._traces[0]) <= self._batch_size
            ):
                trace = self._traces.popleft()
                self._waiting -= len(trace)
                batch.extend(trace)
            return batch

    def _send(self, batch: list[ReadableSpan]) -> bool:
        for wait in (*self._backoff_seconds, None):
            if self._try(batch):
                return True
            if wait is None or self._stopping.wait(wait * random.uniform(0.8, 1.2)):  # noqa: S311 - jitter
                break
        return False

    def _try(self, spans: list[ReadableSpan]) -> bool:
        from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: PLC0415 - lazy

        try:
            exporter = self._exporter = self._exporter or self._make_exporter()
        except (OSError, ValueError) as error:
            self._health.failed(str(error))
            return False
        if exporter.export(spans) is not SpanExportResult.SUCCESS:
            self._health.failed()
            return False
        self._health.succeeded()
        return True

    def _drop_waiting(self) -> None:
        with self._changed:
            left, self._waiting = self._waiting, 0
            self._traces.clear()
        if left:
            self._dropped(left, SHUTDOWN)

    def _dropped(self, spans: int, reason: str) -> None:
        self._instruments.add(semconv.SPANS_DROPPED, spans, {"reason": reason})
