"""The demo's start: it waits while it goes on, and ends when nothing moves."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from alive import GOOD, document

from kubenurse_otel.demo.agents import Agent, DemoError
from kubenurse_otel.demo.patience import Patience, cpu_ticks
from kubenurse_otel.demo.play import until_up

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK = 25.0
"""Seconds of this machine's clock that a look takes: it is a very busy one."""


class Machine:
    """A cluster whose agents get on by one step a look, as ``said`` and ``used`` have it."""

    def __init__(
        self, said: Callable[[int], dict[str, Any]], used: Callable[[int], int] = lambda look: 0
    ) -> None:
        self.looks = 0
        self.agents = [Agent(1, 18080), Agent(2, 18080)]
        self._said = said
        self._used = used

    def clock(self) -> float:
        return self.looks * LOOK

    async def sleep(self, _: float) -> None:
        self.looks += 1

    def check_alive(self) -> None:
        """Nothing dies."""

    async def poll(self, **_: float) -> dict[str, Any]:
        return self._said(self.looks)

    def cpu_ticks(self, _: str) -> int:
        return self._used(self.looks)


def alive(*counts: int | None, of: int = 9) -> dict[str, Any]:
    """Of each agent so many targets were checked; None does not answer."""
    return {
        f"node-{number}": None
        if count is None
        else document(
            **{f"t{one}": GOOD if one < count else {"outcome": None} for one in range(of)}
        )
        for number, count in enumerate(counts, start=1)
    }


async def up(machine: Machine) -> None:
    patience = Patience(60.0, clock=machine.clock)
    await until_up(machine, patience=patience, sleep=machine.sleep)


async def test_a_start_that_goes_on_is_waited_for() -> None:
    """Nine looks of 25 s: each has one target more that was checked."""
    machine = Machine(lambda look: alive(min(look, 9), min(look, 9)))
    await up(machine)
    assert machine.looks == 9


async def test_agents_that_answer_nobody_yet_but_work_are_waited_for() -> None:
    """They load their modules, on a machine that has little time for them."""
    machine = Machine(
        lambda look: alive(9, 9) if look == 20 else alive(9, None), used=lambda look: look
    )
    await up(machine)
    assert machine.looks == 20


async def test_a_start_that_stands_still_ends_with_who_is_silent() -> None:
    """60 s in which nothing moves; node-2 answers, and checks no more."""
    machine = Machine(
        lambda look: alive(9, None if look < 3 else 4), used=lambda look: min(look, 2)
    )
    with pytest.raises(DemoError, match="nothing moved for 60 s") as caught:
        await up(machine)
    assert "node-2" in str(caught.value)
    assert machine.looks == 6


def test_a_process_that_works_uses_cpu() -> None:
    """Ours does; one that is gone has used none."""
    before = cpu_ticks(os.getpid())
    while cpu_ticks(os.getpid()) == before:
        sum(range(100_000))
    assert cpu_ticks(2**22 + 1) == 0
