"""Metrics by OTLP: every interval, on a thread of its own, in small requests.

Owns the rhythm and the last push at shutdown. What is sent is points.py's, how is the exporter's.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.metrics.export import MetricExportResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.metrics.export import MetricExporter

    from kubenurse_otel.telemetry.exporters import ExportHealth
    from kubenurse_otel.telemetry.points import Points

_log = logging.getLogger(__name__)

_FRESH_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.002
"""Between two requests, so that the checks' loop gets the interpreter back."""


class MetricPush:
    """Pushes the store to one exporter.

    A request that fails ends its round (the SDK's exporter has by then retried with back-off
    within its timeout): cumulative points and undelivered deltas are in the next one, so nothing
    piles up. A round ends after ``timeout_seconds`` in any case.
    """

    def __init__(
        self,
        make_exporter: Callable[[], MetricExporter],
        points: Points,
        health: ExportHealth,
        *,
        await_fresh: Callable[[float], None],
        interval_seconds: float,
        timeout_seconds: float,
    ) -> None:
        self._make_exporter = make_exporter
        self._points = points
        self._health = health
        self._await_fresh = await_fresh
        self._interval_seconds = interval_seconds
        self._timeout_seconds = timeout_seconds
        self._exporter: MetricExporter | None = None
        self._stopping = threading.Event()
        self._deadline = float("inf")
        self.thread = threading.Thread(target=self._run, name="otlp-metrics", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self, *, deadline: float) -> None:
        """Ask for the last push, to be over at ``deadline`` (time.monotonic); returns at once."""
        self._deadline = deadline
        self._stopping.set()

    def abandon(self) -> None:
        """Cut off whatever still runs."""
        if self._exporter is not None:
            self._exporter.shutdown()

    def _run(self) -> None:
        due = time.monotonic() + self._interval_seconds
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            self._await_fresh(min(_FRESH_SECONDS, self._interval_seconds))
            self._push(time.monotonic() + self._timeout_seconds)
            now = time.monotonic()
            while due <= now:  # rounds that a slow collector took are left out, not made up for
                due += self._interval_seconds
        self._push(self._deadline)
        if self._exporter is not None:
            self._exporter.shutdown()

    def _push(self, deadline: float) -> None:
        try:
            exporter = self._exporter = self._exporter or self._make_exporter()
        except (OSError, ValueError) as error:
            self._health.failed(str(error))
            return
        for data, delivered in self._points.pieces():
            if time.monotonic() >= min(deadline, self._deadline):
                self._health.failed(f"a round took longer than {self._timeout_seconds:g} s")
                return
            if exporter.export(data) is not MetricExportResult.SUCCESS:
                self._health.failed()
                return
            delivered()
            self._health.succeeded()
            time.sleep(_PAUSE_SECONDS)
