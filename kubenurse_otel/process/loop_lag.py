"""How late our own event loop runs its timers: the prober's pulse."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from kubenurse_otel import semconv

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubenurse_otel.semconv import Recorder

PERIOD_SECONDS: Final = 2.0
"""A wake-up costs half a millisecond, of a processor that slept. A stop of three seconds is still
seen as one of a second at least."""


class LoopLag:
    """Records, and says to ``on_lag``, once a period how long after its time a timer ran."""

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
        """On the running loop. A callback of the loop's and no sleep, which would wake it twice."""
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
