from __future__ import annotations

import asyncio
import itertools
import math
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from check_results import target as a_target
from clock import ManualClock

from kubenurse_otel.model import Target, Url
from kubenurse_otel.plan.schedule import Schedule
from kubenurse_otel.plan.ticks import phase_of, tick_after, tick_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


def target(key: str, interval: float = 5.0, url: str = "http://127.0.0.1:1/alwayshappy") -> Target:
    return a_target(key, url=url, interval_seconds=interval)


PHASE = phase_of("node-a")
LONGEST = 1.25
"""Of an interval, between two ticks."""


def ticks(start: float, end: float, interval: float = 5.0) -> list[float]:
    """Of a target of node-a, after ``start`` and until ``end``."""
    numbers = range(tick_after(start, PHASE, interval), tick_after(end, PHASE, interval))
    return [tick_at(number, PHASE, interval) for number in numbers]


TARGETS = tuple(target(f"path_node-{n}") for n in range(14))


class Far:
    """Stands for the checks: writes down who was checked when; keys in ``dead`` hang."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.schedule: Schedule | None = None
        self.started: list[tuple[str, float]] = []
        self.running: Counter[str] = Counter()
        self.cancelled: list[str] = []
        self.missed: Counter[str] = Counter()
        self.missed_by_us = 0
        self.quiet: list[float] = []
        self.dead: set[str] = set()
        self.hang_seconds = math.inf
        self.bug: Exception | None = None
        self.urls: list[Url] = []
        self.takes_seconds = 0.0
        self.held_up_seconds: float | None = None
        self.most_at_once = 0
        self.when_checked: Callable[[], object] = lambda: None
        self.more_in_quiet = 0

    async def check(self, target: Target) -> float | None:
        self.started.append((target.key, self.clock.time()))
        self.urls.append(target.url)
        self.running[target.key] += 1
        assert self.running[target.key] == 1
        self.most_at_once = max(self.most_at_once, self.running.total())
        self.when_checked()
        try:
            if self.bug is not None:
                raise self.bug
            takes = self.hang_seconds if target.key in self.dead else self.takes_seconds
            if takes:
                released = asyncio.Event()
                timers = self.clock.timers_set  # this one is not the schedule's
                timer = self.clock.call_at(self.clock.time() + takes, released.set)
                self.clock.timers_set = timers
                try:
                    await released.wait()
                finally:
                    timer.cancel()
        except asyncio.CancelledError:
            self.cancelled.append(target.key)
            raise
        finally:
            self.running[target.key] -= 1
        return self.held_up_seconds

    def on_missed(self, target: Target, count: int, ours: int) -> None:
        self.missed[target.key] += count
        self.missed_by_us += ours

    def on_quiet(self) -> bool:
        self.quiet.append(self.clock.time())
        self.more_in_quiet -= 1
        return self.more_in_quiet >= 0

    def times(self, key: str) -> list[float]:
        return [time for started, time in self.started if started == key]


@asynccontextmanager
async def running(*targets: Target, now: float = 1000.0) -> AsyncIterator[Far]:
    clock = ManualClock(now)
    far = Far(clock)
    far.schedule = Schedule(
        far.check, on_missed=far.on_missed, on_quiet=far.on_quiet, node="node-a", clock=clock
    )
    far.schedule.set_targets(targets)
    run = asyncio.ensure_future(far.schedule.run())
    try:
        yield far
    finally:
        far.schedule.stop()
        await run


async def test_every_target_ticks_once_an_interval_without_drift() -> None:
    """After a thousand intervals the ticks still stand where their number says."""
    async with running(target("a", 0.1), target("b", 5.0)) as far:
        await far.clock.advance(100)

        assert far.times("a") == pytest.approx(ticks(1000, 1100, 0.1), abs=1e-6)
        assert far.times("b") == pytest.approx(ticks(1000, 1100), abs=1e-6)
        assert (len(far.times("a")), len(far.times("b"))) == (1000, 20)
        assert not far.missed


async def test_what_comes_and_goes_in_step_with_the_interval_is_met() -> None:
    """A link that is down for a twentieth of each interval, and when it is well."""
    async with running(target("a")) as far:
        await far.clock.advance(40 * 5)
        times = far.times("a")

        earliest = min((time - PHASE * 5) % 5 for time in times) + PHASE * 5
        for down in (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5):
            met = [down <= (time - earliest) % 5 < down + 0.25 for time in times]
            assert 1 <= sum(met) <= 8


async def test_a_round_is_one_train() -> None:
    """Starting an agent does not fire its checks together: they come one after the other."""
    async with running(*TARGETS) as far:
        far.takes_seconds = 0.001
        await far.clock.advance(5 * LONGEST)

        times = [time for _, time in far.started[:14]]
        assert sorted(key for key, _ in far.started[:14]) == sorted(t.key for t in TARGETS)
        assert all(0.0009 < b - a < 0.002 for a, b in itertools.pairwise(times))
        assert len(far.started) == 14 or far.started[14][1] - times[0] > 4


async def test_checks_of_a_train_never_run_at_once() -> None:
    """They would measure each other: the next one begins when the one before has ended."""
    async with running(*TARGETS) as far:
        far.takes_seconds = 0.015
        await far.clock.advance(50)

        assert far.most_at_once == 1
        assert len(far.started) == 140


async def test_a_dead_target_keeps_the_next_one_waiting_for_20_ms() -> None:
    """Then the train goes on without it."""
    async with running(*TARGETS[:2], target("dead")) as far:
        far.dead = {"dead"}
        far.hang_seconds = 5.001
        await far.clock.advance(50)

        for key in far.missed.keys() - {"dead"}:
            assert far.missed[key] == 0
        others = [time for key, time in far.started if key != "dead"]
        assert {
            round(min(time - tick for tick in ticks(1000, time + 1e-9)), 6) for time in others
        } <= {0.0, 0.02}
        assert [len(far.times(t.key)) for t in TARGETS[:2]] == [10, 10]


def gaps(started: list[tuple[str, float]], since: float) -> list[float]:
    """Seconds between the beginnings of two checks of one train."""
    began = [time for _, time in started if time >= since]
    apart = [round(after - before, 6) for before, after in itertools.pairwise(began)]
    return [seconds for seconds in apart if seconds < 0.5]


async def test_where_checks_are_held_up_by_us_there_is_a_pause_between_them() -> None:
    """Even shares of an interval, from the beginning of one to that of the next; no check is
    lost by it, and no dead target keeps anybody waiting for longer.
    """
    async with running(*TARGETS, target("dead")) as far:
        far.dead = {"dead"}
        far.hang_seconds = 5.001
        far.takes_seconds, far.held_up_seconds = 0.1, 0.09
        await far.clock.advance(10)
        settled = far.clock.time()
        await far.clock.advance(50)

        others = [(key, time) for key, time in far.started if key != "dead"]
        assert min(gaps(others, settled)) == round(0.75 * 5.0 / 15, 6)
        assert all(len(far.times(one.key)) in {11, 12} for one in TARGETS)
        assert not far.missed


async def test_a_target_keeps_its_place_in_a_train_that_is_spread_out() -> None:
    """From the first to the last is most of an interval, and runs are judged by the time."""
    async with running(*TARGETS) as far:
        far.held_up_seconds = 0.09
        await far.clock.advance(10)
        settled = far.clock.time()
        await far.clock.advance(100)

        for one in TARGETS:
            began = [time for time in far.times(one.key) if time > settled]
            assert all(4.2 < b - a < 6.3 for a, b in itertools.pairwise(began))


async def test_a_check_held_up_now_and_then_is_in_its_train_still() -> None:
    """One in fifteen: every process is, once in a while; and what is over is over."""
    async with running(*TARGETS) as far:
        far.held_up_seconds = 0.09
        await far.clock.advance(20)
        counted = itertools.count()

        def now_and_then() -> None:
            far.held_up_seconds = 0.09 if next(counted) % 15 == 0 else 0.001

        far.when_checked = now_and_then
        await far.clock.advance(20)
        settled = far.clock.time()
        await far.clock.advance(50)

        assert set(gaps(far.started, settled)) == {0.0}


async def test_a_target_that_goes_while_its_check_is_put_off_is_not_checked() -> None:
    """Nor do the others of its train wait for it."""
    async with running(*TARGETS) as far:
        far.held_up_seconds = 0.09
        await far.clock.advance(20)
        seen = len(far.started)
        while len(far.started) < seen + 2:  # in the midst of a train
            await far.clock.advance(0.01)
        before = Counter(key for key, _ in far.started)
        gone = next(
            one for one in TARGETS if far.schedule and before[one.key] == min(before.values())
        )
        far.schedule.set_targets([one for one in TARGETS if one is not gone])
        await far.clock.advance(20)

        assert len(far.times(gone.key)) == before[gone.key]
        assert all(len(far.times(one.key)) >= 7 for one in TARGETS if one is not gone)
        assert not far.missed


async def test_a_long_train_of_dead_targets_gets_through_in_time() -> None:
    """500 neighbours, most of them silent: nobody else misses a tick of theirs."""
    everybody = [target(f"path_{n}") for n in range(500)]
    async with running(*everybody) as far:
        far.dead = {t.key for t in everybody[:490]}
        far.hang_seconds = 5.001
        await far.clock.advance(50)

        assert {far.missed[t.key] for t in everybody[490:]} == {0}
        assert {len(far.times(t.key)) for t in everybody[490:]} == {10}


async def test_a_tick_while_its_check_waits_in_line_is_missed() -> None:
    """It does not stand in line twice."""
    short = target("short", interval=0.5)
    async with running(*TARGETS, short) as far:
        far.dead = {t.key for t in TARGETS}
        far.hang_seconds = 100.0
        await far.clock.advance(20)
        assert far.missed["short"] == 0  # a line of dead ones is no longer than half of 0.5 s
        await far.clock.jump(2.0)

        assert far.missed["short"] == 3


async def test_a_target_that_goes_while_it_is_in_line_is_not_checked() -> None:
    """Nor is one whose interval changed: it has a new place."""
    async with running() as far:
        wanted = [target(f"{n}") for n in range(6)]
        far.schedule.set_targets(wanted)
        far.takes_seconds = 0.001
        far.when_checked = lambda: far.schedule.set_targets(wanted[:1])
        await far.clock.advance(2.4)
        await far.clock.advance(20)

        gone = [key for key, _ in far.started if key != "0"]
        assert len(gone) <= 1  # the train's first


async def test_a_timer_serves_all_targets() -> None:
    """A check costs one timer, and the quiet after a train another, however many targets wait."""
    async with running(*TARGETS) as far:
        await far.clock.advance(50)

        assert len(far.started) == 140
        assert far.clock.timers_set <= 140 + 20 + 1


async def test_ten_dead_peers_cost_nobody_else_a_tick() -> None:
    """Checks that hang for their whole timeout lose their own targets' ticks only."""
    async with running(*TARGETS) as far:
        far.dead = {t.key for t in TARGETS[:10]}
        far.hang_seconds = 5.001
        await far.clock.advance(100)

        assert {t.key: far.missed[t.key] for t in TARGETS[10:]} == {t.key: 0 for t in TARGETS[10:]}
        for t in TARGETS[10:]:
            assert len(far.times(t.key)) == 20
        for t in TARGETS[:10]:
            assert far.missed[t.key] == 0
            assert len(far.times(t.key)) in {19, 20}


async def test_a_tick_waits_for_the_end_of_its_own_targets_check() -> None:
    """A dead peer whose check lasts as long as an interval is checked at every tick, one late."""
    async with running(target("dead"), target("b")) as far:
        far.dead = {"dead"}
        far.hang_seconds = 5.001
        await far.clock.advance(60)

        assert not far.missed
        began = far.times("dead")
        ended = [0.0, *(time + 5.001 for time in began)]
        wanted = [max(both) for both in zip(ended, ticks(1000, 1060), strict=False)]
        assert began == pytest.approx(wanted[: len(began)], abs=0.021)  # b may be before it
        assert len(began) >= 11
        assert far.most_at_once == 2


async def test_a_check_that_began_late_costs_no_tick() -> None:
    """As in a process that is kept from its core: it ends after its next tick."""
    async with running(target("frozen")) as far:
        far.dead = {"frozen"}
        far.hang_seconds = 4.5
        await far.clock.advance(60)
        (first, *_), seen = far.times("frozen"), len(far.started)
        while (far.clock.time() - first) % 5 < 4.9:
            await far.clock.advance(0.05)
        await far.clock.jump(2.0)
        await far.clock.advance(20)

        assert not far.missed
        assert len(far.started) == seen + 5


async def test_a_target_that_goes_while_its_tick_waits_is_not_checked_again() -> None:
    """Its check is cancelled, and what waits for its end is gone with it."""
    async with running(target("a"), target("b")) as far:
        far.dead = {"a"}
        await far.clock.advance(13)
        assert far.missed["a"] in {0, 1}
        far.schedule.set_targets([target("b")])
        await far.clock.advance(20)

        assert len(far.times("a")) == 1
        assert far.cancelled == ["a"]


async def test_a_tick_during_a_check_is_told_at_once() -> None:
    """A check that never ends costs every tick but the next, which waits for its end."""
    async with running(target("a")) as far:
        far.dead = {"a"}
        await far.clock.advance(5)
        assert far.missed["a"] == 0
        await far.clock.advance(15)

        assert far.missed["a"] == 2  # one waits
        assert far.missed_by_us == 0
        assert len(far.started) == 1


async def test_ticks_while_the_process_stood_still_are_missed_not_made_up_for() -> None:
    """After a stall of 50 s each target is checked once, and all other ticks are told as missed."""
    async with running(target("a"), target("b")) as far:
        await far.clock.advance(5 * LONGEST)
        before = Counter(key for key, _ in far.started)
        stood = ticks(far.clock.time(), far.clock.time() + 50)
        await far.clock.jump(50.0)

        assert Counter(key for key, _ in far.started) - before == {"a": 1, "b": 1}
        assert far.missed == {"a": len(stood) - 1, "b": len(stood) - 1}
        assert far.missed_by_us == 2 * (len(stood) - 1)
        now = far.clock.time()
        await far.clock.advance(5 * LONGEST)
        for key in "ab":
            assert [t for t in far.times(key) if t > now] == ticks(now, far.clock.time())


async def test_adding_and_removing_targets_leaves_the_others_ticks_alone() -> None:
    """A neighbour that comes or goes moves no one else's clock."""
    async with running(*TARGETS[:5]) as far:
        await far.clock.advance(7)
        far.schedule.set_targets([*TARGETS[2:5], *TARGETS[7:9]])
        await far.clock.advance(13)

        for t in TARGETS[2:5]:
            assert far.times(t.key) == ticks(1000, 1020)
        for t in TARGETS[7:9]:
            assert far.times(t.key) == ticks(1007, 1020)
        assert not far.missed


async def test_the_check_of_a_removed_target_is_cancelled() -> None:
    """What is no longer a target gets no result, and who stays is not disturbed."""
    async with running(target("a"), target("b")) as far:
        far.dead = {"a", "b"}
        await far.clock.advance(5)
        far.schedule.set_targets([target("b")])
        await far.clock.settle()
        assert far.cancelled == ["a"]
        await far.clock.advance(10)

        assert len(far.times("a")) == 1
        assert far.missed == {"b": 1}


@dataclass(frozen=True)
class Change:
    changed: Target
    cancelled: bool


@pytest.mark.parametrize(
    "change",
    [
        Change(replace(target("a"), timeout_seconds=1.0), cancelled=False),
        Change(target("a", url="http://127.0.0.2:1/"), cancelled=True),
        Change(target("a", interval=7.0), cancelled=True),
    ],
    ids=["timeout", "url", "interval"],
)
async def test_a_changed_target_is_what_the_next_tick_checks(change: Change) -> None:
    """A check to an address that is gone is cancelled; small changes wait for the next tick."""
    async with running(target("a")) as far:
        far.dead = {"a"}
        await far.clock.advance(5)
        far.schedule.set_targets([change.changed])
        far.dead = set()
        await far.clock.settle()

        assert far.cancelled == (["a"] if change.cancelled else [])
        await far.clock.advance(7)
        if change.cancelled:
            assert far.urls[1] == change.changed.url


async def test_a_check_cancelled_before_its_first_step_does_not_block_its_target() -> None:
    """A target that changes in the very moment of its tick is checked at the next one."""
    clock = ManualClock(1000.0)
    far = Far(clock)
    changed = target("a", url="http://127.0.0.2:1/")

    def missed(_: Target, __: int, ___: int) -> None:
        schedule.set_targets([changed])

    schedule = Schedule(far.check, on_missed=missed, node="node-a", clock=clock)
    schedule.set_targets([target("a")])
    run = asyncio.ensure_future(schedule.run())
    await clock.jump(20)  # starts the check, and in the same step tells of missed ticks
    assert far.started == []
    await clock.advance(5)
    schedule.stop()
    await run

    assert far.urls == [changed.url]


async def test_stop_cancels_running_checks_at_once() -> None:
    """At SIGTERM nobody waits for a dead peer's timeout."""
    async with running(target("a"), target("b")) as far:
        far.dead = {"a", "b"}
        await far.clock.advance(5)
        far.schedule.stop()
        await far.clock.settle()
        assert sorted(far.cancelled) == ["a", "b"]

        await far.clock.advance(20)
        assert len(far.started) == 2


async def test_a_schedule_stopped_before_it_ran_starts_nothing() -> None:
    """A signal during start-up is not lost."""
    clock = ManualClock()
    far = Far(clock)
    schedule = Schedule(far.check, on_missed=far.on_missed, node="node-a", clock=clock)
    schedule.set_targets(TARGETS)
    schedule.stop()
    await schedule.run()

    assert far.started == []


async def test_a_schedule_without_targets_waits_for_some() -> None:
    """Discovery may be late."""
    async with running() as far:
        await far.clock.advance(60)
        far.schedule.set_targets([target("a")])
        await far.clock.advance(5)

        assert len(far.started) == 1


async def test_a_bug_in_a_check_ends_the_schedule() -> None:
    """An exception from check() is ours to fix, so it takes run() and the other checks down."""
    clock = ManualClock(1000.0)
    far = Far(clock)
    schedule = Schedule(far.check, on_missed=far.on_missed, node="node-a", clock=clock)
    schedule.set_targets(TARGETS)
    far.dead = {t.key for t in TARGETS}
    run = asyncio.ensure_future(schedule.run())
    await clock.advance(3)
    hanging = len(far.started)
    far.bug = ZeroDivisionError("a bug")
    await clock.advance(3)

    with pytest.raises(ExceptionGroup, check=lambda group: group.exceptions == (far.bug,)):
        await run
    assert len(far.cancelled) == hanging


async def test_cancelling_run_cancels_the_checks() -> None:
    """A schedule inside a failing task group leaves nothing behind."""
    clock = ManualClock(1000.0)
    far = Far(clock)
    far.dead = {"a"}
    schedule = Schedule(far.check, on_missed=far.on_missed, node="node-a", clock=clock)
    schedule.set_targets([target("a")])
    run = asyncio.ensure_future(schedule.run())
    await clock.advance(5)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run

    assert far.cancelled == ["a"]


async def test_without_a_clock_the_event_loops_own_is_used() -> None:
    """The default needs no wiring."""
    checked = asyncio.Event()

    async def check(_: Target) -> None:
        checked.set()

    schedule = Schedule(check, on_missed=lambda *_: None, node="node-a")
    schedule.set_targets([target("a", interval=0.01)])
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(schedule.run())
        await checked.wait()
        schedule.stop()


# --- quiet moments ------------------------------------------------------------------------------


async def test_a_moment_is_quiet_when_a_check_ended_and_none_is_near() -> None:
    """Each check of a lone target is followed by one quiet moment."""
    async with running(target("a")) as far:
        await far.clock.advance(20)

        assert far.quiet == far.times("a")


async def test_no_moment_is_quiet_while_a_young_check_runs_or_one_is_due() -> None:
    """Work for quiet moments waits while another check is in the middle of its exchange."""
    async with running(target("a"), target("b", interval=0.01)) as far:
        await far.clock.advance(10)
        assert far.quiet == []

    async with running(target("a", interval=0.5), target("b", interval=0.5)) as far:
        far.dead = {"a"}
        far.hang_seconds = 0.24
        await far.clock.advance(5)
        began = far.times("a")
        assert far.quiet
        assert not [t for t in far.quiet if any(a < t < a + 0.24 for a in began)]


async def test_a_check_that_waits_for_a_dead_peer_does_not_take_the_quiet_away() -> None:
    """With ten dead peers there are still quiet moments."""
    async with running(*TARGETS) as far:
        far.dead = {t.key for t in TARGETS[:10]}
        far.hang_seconds = 5.001
        await far.clock.advance(100)

        assert len(far.quiet) >= 15


async def test_a_bug_in_the_quiet_hook_ends_the_schedule() -> None:
    """Hooks are part of the agent: their exceptions are not swallowed."""
    clock = ManualClock(1000.0)
    far = Far(clock)

    def bug() -> None:
        raise ZeroDivisionError

    schedule = Schedule(
        far.check, on_missed=far.on_missed, on_quiet=bug, node="node-a", clock=clock
    )
    schedule.set_targets([target("a")])
    run = asyncio.ensure_future(schedule.run())
    await clock.advance(5)
    with pytest.raises(ExceptionGroup):
        await run


async def test_where_one_quiet_moment_is_not_enough_there_is_another() -> None:
    """5 ms later, as often as there is more to do."""
    async with running(target("a")) as far:
        far.more_in_quiet = 3
        await far.clock.advance(5)

        (ticked,) = far.times("a")
        assert far.quiet == pytest.approx([ticked, ticked + 0.005, ticked + 0.01, ticked + 0.015])
