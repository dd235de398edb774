"""How late our own event loop runs its timers: the prober's pulse."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from kubenurse_otel import semconv

if TYPE_CHECKING:
    from kubenurse_otel.telemetry.instruments import Instruments

PERIOD_SECONDS: Final = 1.0


class LoopLag:
    """Records, once a period, how long after its time a timer ran."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + PERIOD_SECONDS, loop.time())
            await asyncio.sleep(due - loop.time())
            self._instruments.record(semconv.EVENT_LOOP_LAG, max(0.0, loop.time() - due), {})
