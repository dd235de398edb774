"""How late our own event loop runs its timers: the prober's pulse."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from kubenurse_otel import semconv

if TYPE_CHECKING:
    from kubenurse_otel.semconv import Recorder

PERIOD_SECONDS: Final = 1.0


class LoopLag:
    """Records, once a period, how long after its time a timer ran."""

    def __init__(self, instruments: Recorder, *, period_seconds: float = PERIOD_SECONDS) -> None:
        self._instruments = instruments
        self._period_seconds = period_seconds

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + self._period_seconds, loop.time())
            await asyncio.sleep(due - loop.time())
            self._instruments.record(semconv.EVENT_LOOP_LAG, max(0.0, loop.time() - due), {})
