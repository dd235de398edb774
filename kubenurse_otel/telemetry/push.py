"""Metrics by OTLP: every interval, on a thread of its own, in small requests.

Owns the rhythm and the last push at shutdown. What is sent is points.py's, how delivery.py's.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from kubenurse_otel import unhandled
from kubenurse_otel.unhandled import Part

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

    from kubenurse_otel.telemetry.delivery import Delivery
    from kubenurse_otel.telemetry.points import Points

_FRESH_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.002
"""Seconds between two requests, so that the checks' event loop gets the interpreter back."""


class MetricPush:
    """Pushes the store to one place.

    A request that fails, its retries too, ends its round: cumulative points and undelivered deltas
    are in the next one, so nothing piles up. A round ends after ``timeout_seconds`` in any case.
    """

    def __init__(
        self,
        delivery: Delivery[ExportMetricsServiceRequest],
        points: Points,
        *,
        await_fresh: Callable[[float], None],
        interval_seconds: float,
        timeout_seconds: float,
    ) -> None:
        self._delivery = delivery
        self._points = points
        self._await_fresh = await_fresh
        self._interval_seconds = interval_seconds
        self._timeout_seconds = timeout_seconds
        self.thread = threading.Thread(target=self._run, name="otlp-metrics", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self, *, deadline: float) -> None:
        """Ask for the last push, which is to end by ``deadline`` (seconds of time.monotonic).
        Returns at once.
        """
        self._delivery.stop(deadline=deadline)

    def abandon(self) -> None:
        """Cut off whatever still runs."""
        self._delivery.close()

    def _run(self) -> None:
        due = time.monotonic() + self._interval_seconds
        while not self._delivery.stopping.wait(max(0.0, due - time.monotonic())):
            self._await_fresh(min(_FRESH_SECONDS, self._interval_seconds))
            self._push(time.monotonic() + self._timeout_seconds)
            now = time.monotonic()
            while due <= now:  # rounds that a slow collector took are left out, not made up for
                due += self._interval_seconds
        self._push(self._delivery.deadline)
        self._delivery.close()

    def _push(self, deadline: float) -> None:
        try:
            self._push_pieces(deadline)
        except Exception as error:  # noqa: BLE001 - the edge of one round: the next one is tried
            unhandled.caught(Part.EXPORT, error, about="metrics")
            self._delivery.gave_up(f"a bug, {type(error).__name__}")

    def _push_pieces(self, deadline: float) -> None:
        for data, delivered in self._points.pieces():
            if time.monotonic() >= min(deadline, self._delivery.deadline):
                self._delivery.gave_up(f"a round took longer than {self._timeout_seconds:g} s")
                return
            if not self._delivery.deliver(data, deadline=deadline):
                return
            delivered()
            time.sleep(_PAUSE_SECONDS)
