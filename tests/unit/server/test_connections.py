"""Caps and deadlines of connections, on a clock of the test."""

from __future__ import annotations

import resource
import socket
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from kubenurse_otel.semconv import Refusal
from kubenurse_otel.server.clients import MAX_CONNECTIONS, Client
from kubenurse_otel.server.connections import (
    CROWD,
    SHARE_DRAINING,
    Connections,
    Stage,
    _default_limit,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Timer:
    at: float
    callback: Callable[[], None]
    cancelled: bool = False

    def when(self) -> float:
        return self.at

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Loop:
    """An event loop's clock, moved by hand."""

    now: float = 0.0
    timers: list[Timer] = field(default_factory=list)

    def time(self) -> float:
        return self.now

    def call_at(self, at: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(at, callback))
        return self.timers[-1]

    call_later = call_at

    def pending(self) -> list[Timer]:
        return [timer for timer in self.timers if not timer.cancelled]

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for timer in self.pending():
            if timer.at <= self.now:
                timer.cancelled = True
                timer.callback()


class Member:
    """A connection that only knows how to go."""

    def __init__(self, connections: Connections, client: Client) -> None:
        self.connections = connections
        self.client = client
        self.stage: Stage | None = None
        self.entered_at = 0.0
        self.aborted = False
        self.reason: Refusal | None = None
        self.finished = False
        self.has_rested = False

    def abort(self, reason: Refusal | None = None) -> None:
        self.aborted = True
        self.reason = reason
        self.connections.leave(self)

    def finish(self) -> None:
        self.finished = True
        if self.stage is Stage.IDLE:
            self.abort()

    def rested(self) -> None:
        self.has_rested = True
        self.connections.enter(self, Stage.IDLE)

    def serve(self) -> bool:
        return True

    def pause(self) -> None: ...


def crowd(
    count: int, stage: Stage, *, addresses: int = 1, **options: Any
) -> tuple[Loop, Connections, list[Member]]:
    loop = Loop()
    options = {"limit": 100, "refusals": Counter()} | options
    connections = Connections(loop, **options)  # type: ignore[arg-type]
    clients = [Client(f"10.0.0.{number}") for number in range(addresses)]
    members = [Member(connections, clients[number % addresses]) for number in range(count)]
    for member in members:
        connections.enter(member, stage)
        loop.now += 0.001
    return loop, connections, members


@pytest.mark.parametrize("stage", Stage)
def test_each_stage_has_its_deadline(stage: Stage) -> None:
    """A connection that stays longer than its stage allows is ended, not earlier."""
    loop, connections, (member,) = crowd(1, stage)
    loop.advance(stage.value - 0.1)
    assert not member.aborted
    loop.advance(0.2)
    assert member.has_rested is (stage is Stage.RESTING)
    assert member.aborted is (stage is not Stage.RESTING)
    slow = stage in (Stage.READING, Stage.ANSWERING)
    assert member.reason is (Refusal.SLOW if slow else None)
    loop.advance(Stage.IDLE.value + 1)
    assert len(connections) == 0
    assert loop.pending() == []


def test_one_timer_follows_the_nearest_deadline() -> None:
    """However many connections, one timer runs, and an earlier deadline moves it."""
    loop, connections, members = crowd(3, Stage.IDLE)
    assert len(loop.pending()) == 1
    connections.enter(members[2], Stage.READING)
    assert [timer.at for timer in loop.pending()] == [pytest.approx(loop.now + 5)]
    loop.advance(6)
    assert [member.aborted for member in members] == [False, False, True]
    loop.advance(120)
    assert len(connections) == 0


def test_few_answers_may_wait_for_slow_readers() -> None:
    """Beyond the limit of unread answers the slowest of them is dropped."""
    _, connections, members = crowd(3, Stage.ANSWERING, addresses=3, draining_limit=2)
    assert [member.reason for member in members] == [Refusal.SLOW, None, None]
    assert connections.count(Stage.ANSWERING) == 2


def test_few_answers_may_wait_for_one_client() -> None:
    """A client's slowest reader is dropped for its next one, whatever others have."""
    _, _, members = crowd(2 * SHARE_DRAINING + 2, Stage.ANSWERING, addresses=2)
    assert [member.aborted for member in members] == [True] * 2 + [False] * 2 * SHARE_DRAINING


def test_a_reader_that_gets_on_is_not_the_slowest() -> None:
    """Who took more of its answer entered anew."""
    loop, connections, members = crowd(2, Stage.ANSWERING, addresses=2, draining_limit=2)
    loop.advance(Stage.ANSWERING.value - 1)
    connections.enter(members[0], Stage.ANSWERING)
    loop.advance(2)
    assert [member.aborted for member in members] == [False, True]


def test_a_crowd_is_told() -> None:
    """Who gives memory back afterwards hears of many connections, and of every refusal."""
    told: list[None] = []
    _, connections, _ = crowd(CROWD, Stage.IDLE, on_crowd=lambda: told.append(None))
    assert not told
    connections.enter(Member(connections, Client("10.0.0.9")), Stage.IDLE)
    assert len(told) == 1
    with socket.socket() as refused:
        connections.refuse(refused)
    assert len(told) == 2


def test_room_cannot_be_made_among_nobody() -> None:
    """Without connections there is nothing to end."""
    _, connections, _ = crowd(0, Stage.IDLE)
    assert connections.make_room() is False


def test_leaving_twice_is_leaving_once() -> None:
    """A connection that is gone may be said to leave again."""
    _, connections, (member,) = crowd(1, Stage.IDLE)
    connections.leave(member)
    connections.leave(member)
    assert len(connections) == 0


async def test_closing_ends_the_idle_and_waits_for_the_busy_until_it_is_enough() -> None:
    """Idle ones end at once, busy ones are asked to and ended when the time is over."""
    loop, connections, (idle, busy) = crowd(2, Stage.IDLE)
    connections.enter(busy, Stage.READING)
    await connections.close(0.01)
    assert idle.aborted
    assert busy.finished
    assert busy.aborted
    assert loop.pending() == []
    await connections.close(0.01)


@pytest.mark.parametrize(
    ("soft", "limit"),
    [(1024, 256), (1_000_000, MAX_CONNECTIONS), (resource.RLIM_INFINITY, MAX_CONNECTIONS), (1, 1)],
)
def test_half_of_the_descriptors_are_left_for_checks(soft: int, limit: int) -> None:
    """The cap follows the limit of open files."""
    assert _default_limit(soft) == limit
