"""loop_lag.py: the prober's pulse."""

from __future__ import annotations

import asyncio
import time

from bridge_doubles import MeterRecorder

from kubenurse_otel import semconv
from kubenurse_otel.process import loop_lag


async def test_a_blocked_loop_is_seen_as_lag() -> None:
    """A timer that ran late tells how late."""
    recorder = MeterRecorder()
    told: list[float] = []
    pulse = loop_lag.LoopLag(recorder, on_lag=told.append, period_seconds=0.05)
    loop = asyncio.get_running_loop()
    began = loop.time()
    pulse.start()
    time.sleep(0.2)  # noqa: ASYNC251 - blocking the loop is what this test is about
    while not recorder.points(semconv.EVENT_LOOP_LAG):
        await asyncio.sleep(0)
    pulse.stop()
    took = loop.time() - began
    count, seconds = recorder.points(semconv.EVENT_LOOP_LAG)[()]
    assert count == 1
    assert 0.14 < seconds < took
    assert told == [seconds]
    recorder.shutdown()
