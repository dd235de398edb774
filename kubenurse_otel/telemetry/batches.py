"""What waits to be exported: a queue of whole groups, bounded in items, and the thread that sends.

Unlike the SDK's batch processors it never splits a group to fit, reports what it drops, and ends
when it is told to. How a batch is sent is delivery.py's.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kubenurse_otel.telemetry.delivery import Delivery

_PAUSE_SECONDS: Final = 0.005
QUEUE_FULL: Final = "queue_full"
EXPORT_FAILED: Final = "export_failed"
SHUTDOWN: Final = "shutdown"

T = TypeVar("T")


class BatchQueue(Generic[T]):
    """Takes groups of items and exports them in batches of whole groups.

    A batch holds at most ``batch_size`` items (a larger group goes alone) and leaves when that
    many wait, or after ``delay_seconds``. Memory is bounded by ``queue_size`` items and one batch.
    ``on_dropped`` is told how many items were dropped and why, on any thread.
    """

    def __init__(
        self,
        delivery: Delivery[Sequence[T]],
        *,
        name: str,
        on_dropped: Callable[[int, str], None],
        queue_size: int,
        batch_size: int,
        delay_seconds: float,
    ) -> None:
        self._delivery = delivery
        self._dropped = on_dropped
        self._queue_size = queue_size
        self._batch_size = batch_size
        self._delay_seconds = delay_seconds
        self._groups: deque[tuple[T, ...]] = deque()
        self._waiting = 0
        self._changed = threading.Condition()
        self._stopping = delivery.stopping
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self.thread.start()

    def offer(self, group: Sequence[T]) -> bool:
        """Queue a group. False if it did not fit and was dropped. Never waits. Call it from any
        thread.
        """
        with self._changed:
            taken = not self._stopping.is_set() and self._waiting + len(group) <= self._queue_size
            if taken:
                self._groups.append(tuple(group))
                self._waiting += len(group)
                if self._waiting >= self._batch_size or len(self._groups) == 1:
                    self._changed.notify()
        if not taken:
            self._dropped(len(group), QUEUE_FULL)
        return taken

    def stop(self, *, deadline: float) -> None:
        """Ask to export what waits until ``deadline`` (time.monotonic); returns at once."""
        self._delivery.stop(deadline=deadline)
        with self._changed:
            self._changed.notify()

    def abandon(self) -> None:
        """Cut off whatever still runs, and drop what waits."""
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

    def _next_batch(self) -> list[T]:
        """Wait for a batch. Empty if the queue was stopped and nothing, or no time, is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._groups or self._stopping.is_set())
            self._changed.wait_for(
                lambda: self._waiting >= self._batch_size or self._stopping.is_set(),
                self._delay_seconds,
            )
            batch: list[T] = []
            if time.monotonic() >= self._delivery.deadline:
                return batch
            while self._groups and (
                not batch or len(batch) + len(self._groups[0]) <= self._batch_size
            ):
                group = self._groups.popleft()
                self._waiting -= len(group)
                batch.extend(group)
            return batch

    def _drop_waiting(self) -> None:
        with self._changed:
            left, self._waiting = self._waiting, 0
            self._groups.clear()
        if left:
            self._dropped(left, SHUTDOWN)
