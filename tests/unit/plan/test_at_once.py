"""plan/at_once.py: what is wanted is checked, each target once at a time, and not too many."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from judges import NEIGHBOURS, target

from kubenurse_otel.model import Target
from kubenurse_otel.plan.at_once import MOST_AT_ONCE, AtOnce

PATHS = [target(node) for node in NEIGHBOURS]


async def _run(wanted: list[Target], *, looks: int, hangs: bool) -> list[str]:
    checked: list[str] = []

    async def check(one: Target) -> None:
        checked.append(one.key)
        if hangs:
            await asyncio.Event().wait()

    at_once = AtOnce(check, wanted=lambda: wanted)
    running = asyncio.create_task(at_once.run())
    for _ in range(looks):
        at_once.look()
        for _ in range(2 * len(wanted) + 2):
            await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    return checked


async def test_what_is_wanted_is_checked_whenever_it_is() -> None:
    keys = [one.key for one in PATHS]
    assert await _run(PATHS, looks=3, hangs=False) == keys * 3
    assert await _run([], looks=3, hangs=False) == []


async def test_none_runs_twice_at_once() -> None:
    assert await _run(PATHS, looks=3, hangs=True) == [one.key for one in PATHS]


async def test_not_too_many_run_at_once() -> None:
    many = [replace(PATHS[0], key=f"full_size_{number}") for number in range(3 * MOST_AT_ONCE)]
    assert len(await _run(many, looks=3, hangs=True)) == MOST_AT_ONCE
