"""plan/haste.py: checks beside the schedule, at their pace, and only while there is haste."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import pytest
from judges import NEIGHBOURS, target

from kubenurse_otel.model import TargetKind
from kubenurse_otel.plan.haste import MOST_AT_ONCE, Haste

PATHS = [target(node) for node in NEIGHBOURS]
SERVICE = replace(PATHS[0], key="me_service", type="me_service", kind=TargetKind.ME_SERVICE)


class Rig:
    """A haste whose time passes by itself, until ``until`` seconds are over."""

    def __init__(self, *, wanted: bool = True, per_second: int = 10, hangs: bool = False) -> None:
        self.now = 0.0
        self.wanted = wanted
        self.asked = 0
        self.checked: list[str] = []
        self.hangs = hangs
        self.haste = Haste(self.check, wanted=self.want, per_second=per_second, sleep=self.sleep)
        self.haste.set_targets([SERVICE, *PATHS])

    async def run(self, until: float) -> None:
        self.until = until
        self.haste.look()
        with pytest.raises(asyncio.CancelledError):
            await self.haste.run()

    def want(self) -> bool:
        self.asked += 1
        return self.wanted

    async def check(self, one: object) -> None:
        self.checked.append(one.key)  # type: ignore[attr-defined]
        if self.hangs:
            await asyncio.Event().wait()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.now += seconds
        if self.now >= self.until:
            raise asyncio.CancelledError


async def test_nothing_is_checked_without_haste() -> None:
    """It is asked when somebody looks, and wakes up for nothing else."""
    rig = Rig(wanted=False)
    running = asyncio.create_task(rig.haste.run())
    for _ in range(3):
        rig.haste.look()
        await asyncio.sleep(0)
    assert ([], 3, 0.0) == (rig.checked, rig.asked, rig.now)
    running.cancel()


async def test_neighbours_are_checked_in_turn_at_its_pace() -> None:
    """Ten a second in all, each as often as the others, and nothing but neighbours."""
    rig = Rig()
    await rig.run(9.95)
    assert 99 <= len(rig.checked) <= 100
    counts = {path.key: rig.checked.count(path.key) for path in PATHS}
    assert len(rig.checked) == sum(counts.values())
    assert max(counts.values()) - min(counts.values()) <= 1
    assert rig.asked == 10


async def test_it_ends_with_the_haste_and_begins_again() -> None:
    """Within a second; who looks later finds it again."""
    rig = Rig()
    rig.until = math.inf
    rig.haste.look()
    running = asyncio.create_task(rig.haste.run())
    while not rig.checked:
        await asyncio.sleep(0)
    rig.wanted = False
    while rig.asked < 2:
        await asyncio.sleep(0)
    assert 10 == len(rig.checked)
    for wanted in (False, True):
        rig.wanted = wanted
        rig.haste.look()
    while len(rig.checked) == 10:
        await asyncio.sleep(0)
    running.cancel()


async def test_checks_that_hang_are_bounded() -> None:
    """A far end that loses everything does not gather them without end."""
    rig = Rig(hangs=True)
    await rig.run(60.0)
    assert MOST_AT_ONCE == len(rig.checked)


async def test_without_neighbours_it_has_nothing_to_do() -> None:
    """The service is no neighbour."""
    rig = Rig()
    rig.haste.set_targets([SERVICE])
    await rig.run(3.0)
    assert [] == rig.checked
