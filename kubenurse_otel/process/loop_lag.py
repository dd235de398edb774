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

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + self._period_seconds, loop.time())
            await asyncio.sleep(due - loop.time())
            lag = max(0.0, loop.time() - due)
            self._instruments.record(semconv.EVENT_LOOP_LAG, lag, {})
            self._on_lag(lag)
