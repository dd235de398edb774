"""Clocks that stand still until a test moves them."""

from __future__ import annotations

import asyncio
import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Clock:
    """For whatever takes a function that gives seconds."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(order=True)
class ManualTimer:
    when: float
    number: int
    callback: Callable[[], object] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.cancelled = True


class ManualClock:
    """For whatever takes a schedule.Clock.

    ``advance`` moves from timer to timer and lets the event loop's tasks run at each.
    """

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self.timers_set = 0
        self._timers: list[ManualTimer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], object], /) -> ManualTimer:
        self.timers_set += 1
        timer = ManualTimer(when, self.timers_set, callback)
        heapq.heappush(self._timers, timer)
        return timer

    async def advance(self, seconds: float) -> None:
        await self.settle()
        end = self.now + seconds
        while self._timers and self._timers[0].when <= end:
            timer = heapq.heappop(self._timers)
            if not timer.cancelled:
                self.now = max(self.now, timer.when)
                timer.callback()
                await self.settle()
        self.now = end

    async def jump(self, seconds: float) -> None:
        """As if the process had stood still: time passes and no timer fires until its end."""
        await self.settle()
        self.now += seconds
        await self.advance(0)

    async def settle(self) -> None:
        """Let every task that can go on do so, as far as it comes without the clock."""
        for _ in range(20):
            await asyncio.sleep(0)
