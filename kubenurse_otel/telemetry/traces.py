"""Traces on their way out: a queue of whole traces, bounded in spans, and the thread that sends.

Unlike the SDK's BatchSpanProcessor it never splits a trace to fit, counts what it drops and what
became of each export, and ends when it is told to. How a batch is sent is delivery.py's.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from kubenurse_otel import semconv

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from kubenurse_otel.telemetry.delivery import Delivery
    from kubenurse_otel.telemetry.instruments import Instruments

_log = logging.getLogger(__name__)

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
        delivery: Delivery[Sequence[ReadableSpan]],
        instruments: Instruments,
        *,
        queue_size: int,
        batch_size: int,
        delay_seconds: float,
    ) -> None:
        self._delivery = delivery
        self._instruments = instruments
        self._queue_size = queue_size
        self._batch_size = batch_size
        self._delay_seconds = delay_seconds
        self._traces: deque[tuple[ReadableSpan, ...]] = deque()
        self._waiting = 0
        self._changed = threading.Condition()
        self._stopping = delivery.stopping
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
        self._delivery.stop(deadline=deadline)
        with self._changed:
            self._changed.notify()

    def abandon(self) -> None:
        """Cut off whatever still runs; what waits is counted as dropped."""
        self._delivery.close()
        self._drop_waiting()

    def _run(self) -> None:
        while batch := self._next_batch():
            if not self._delivery.deliver(batch):
                self._dropped(len(batch), EXPORT_FAILED)
                if self._stopping.is_set():
                    break  # one failure is enough: the rest would only use up the time
            time.sleep(_PAUSE_SECONDS)
        self._drop_waiting()
        self._delivery.close()

    def _next_batch(self) -> list[ReadableSpan]:
        """Wait for a batch; empty when stopped and nothing is left, or no time."""
        with self._changed:
            self._changed.wait_for(lambda: self._traces or self._stopping.is_set())
            self._changed.wait_for(
                lambda: self._waiting >= self._batch_size or self._stopping.is_set(),
                self._delay_seconds,
            )
            batch: list[ReadableSpan] = []
            if time.monotonic() >= self._delivery.deadline:
                return batch
            while self._traces and (
                not batch or len(batch) + len(self._traces[0]) <= self._batch_size
            ):
                trace = self._traces.popleft()
                self._waiting -= len(trace)
                batch.extend(trace)
            return batch

    def _drop_waiting(self) -> None:
        with self._changed:
            left, self._waiting = self._waiting, 0
            self._traces.clear()
        if left:
            self._dropped(left, SHUTDOWN)

    def _dropped(self, spans: int, reason: str) -> None:
        self._instruments.add(semconv.SPANS_DROPPED, spans, {"reason": reason})
