"""Measure how late our own event loop runs its timers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from kubenurse_otel import semconv

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubenurse_otel.semconv import Recorder

PERIOD_SECONDS: Final = 2.0
"""Seconds between two timers. Waking a sleeping processor costs half a millisecond. If the process
stops for three seconds, a lag of at least one second is seen.
"""


class LoopLag:
    """Once per period: records how many seconds late a timer ran, and passes that to ``on_lag``."""

    def __init__(
        self,
        instruments: Recorder,
        *,
        on_lag: Callable[[float], None] = lambda _: None,
        period_seconds: float = PERIOD_SECONDS,
    ) -> None:
        self._instruments = instruments
        self._on_lag = on_lag
        self._period_seconds = period_seconds

    def start(self) -> None:
        """Begin, on the running loop, with a callback: a sleep would wake the loop twice."""
        self._loop = asyncio.get_running_loop()
        self._wait(self._loop.time())

    def stop(self) -> None:
        self._timer.cancel()

    def _wait(self, since: float) -> None:
        due = since + self._period_seconds
        self._timer = self._loop.call_at(due, self._beat, due)

    def _beat(self, due: float) -> None:
        now = self._loop.time()
        self._wait(max(due, now - self._period_seconds))
        lag = max(0.0, now - due)
        self._instruments.record(semconv.EVENT_LOOP_LAG, lag, {})
        self._on_lag(lag)
