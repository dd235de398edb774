"""Checks beside the schedule that the diagnosis wants now.

Owns how many run at once, and that none runs twice; which are wanted is for the diagnosis to say.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from kubenurse_otel.model import Target

MOST_AT_ONCE: Final = 16
"""Neighbours by two families, nearly: each waits for a far end that hangs."""


class AtOnce:
    """Calls ``check(target)`` for what is ``wanted()``, which is asked by ``look``.

    ``check`` must raise nothing.
    """

    def __init__(
        self,
        check: Callable[[Target], Awaitable[object]],
        *,
        wanted: Callable[[], Iterable[Target]],
    ) -> None:
        self._check = check
        self._wanted = wanted
        self._running: set[str] = set()
        self._waiting: asyncio.Queue[Target] = asyncio.Queue()

    def look(self) -> None:
        """See what is wanted now. There is no timer of our own: a wake-up costs CPU."""
        for target in self._wanted():
            if target.key not in self._running and len(self._running) < MOST_AT_ONCE:
                self._running.add(target.key)
                self._waiting.put_nowait(target)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._run(await self._waiting.get()))

    async def _run(self, target: Target) -> None:
        try:
            await self._check(target)
        finally:
            self._running.discard(target.key)
