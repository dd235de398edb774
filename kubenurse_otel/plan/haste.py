"""Path checks beside the schedule, while packets seem to be lost: more segments tell sooner.

Owns their pace and how many run at once; whether they are wanted, and for how long, is for the
diagnosis to say. Does not know what a check is.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from kubenurse_otel.model import TargetKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from kubenurse_otel.model import Target

LOOK_SECONDS: Final = 1.0
"""How often it is asked whether there is haste still."""
MOST_AT_ONCE: Final = 16
"""Of those that wait for a far end that loses everything."""


class Haste:
    """Calls ``check(target)`` for one path target after the other, ``per_second`` per second.

    Only while ``wanted()`` is true. ``look`` asks it, and after that it is asked once per second.
    ``check`` must raise nothing.
    """

    def __init__(
        self,
        check: Callable[[Target], Awaitable[None]],
        *,
        wanted: Callable[[], bool],
        per_second: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._check = check
        self._wanted = wanted
        self._per_second = per_second
        self._sleep = sleep
        self._targets: tuple[Target, ...] = ()
        self._turn = 0
        self._running = 0
        self._begun = asyncio.Event()

    def set_targets(self, targets: Iterable[Target]) -> None:
        """Replace the targets; those that are no neighbours are left out."""
        self._targets = tuple(one for one in targets if one.kind is TargetKind.PATH)

    def look(self) -> None:
        """See whether there is haste now. There is no timer of our own: a wake-up costs CPU."""
        if not self._begun.is_set() and self._wanted():
            self._begun.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            while await self._begun.wait():
                for _ in range(round(self._per_second * LOOK_SECONDS)):
                    self._start_next(group)
                    await self._sleep(1 / self._per_second)
                if not self._wanted():
                    self._begun.clear()

    def _start_next(self, group: asyncio.TaskGroup) -> None:
        if self._targets and self._running < MOST_AT_ONCE:
            self._turn = (self._turn + 1) % len(self._targets)
            self._running += 1
            group.create_task(self._run(self._targets[self._turn]))

    async def _run(self, target: Target) -> None:
        try:
            await self._check(target)
        finally:
            self._running -= 1
