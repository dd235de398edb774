"""All open connections of a server: how many there may be, and how long each may take.

Owns the caps and deadlines, nothing of what a connection says. The rule at a cap: the
connection that has been silent longest makes room; a new one is never turned away.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_CONNECTIONS: Final = 1_500
READ_SIZE: Final = 16_384
MAX_DRAINING: Final = 32
"""Answers that wait for a slow reader hold memory: few of them may."""


class Stage(Enum):
    """What a connection is doing; the value is how many seconds it may take."""

    READING = 5.0
    """From the accept, or the first byte of a further request, to its last (TLS included)."""
    ANSWERING = 10.0
    """Until the client has taken the whole answer."""
    IDLE = 120.0
    """Between two requests, as kubenurse's IdleTimeout."""
    LINGERING = 1.0
    """After a refusal: what is still coming is thrown away, so that no reset eats the answer."""


class Member(Protocol):
    """What is asked of a connection here."""

    stage: Stage | None

    def abort(self) -> None:
        """Close at once and leave."""

    def finish(self) -> None:
        """End as soon as no answer is under way."""


class Connections:
    """The open connections by stage, each stage's in the order in which they entered it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        limit: int | None = None,
        draining_limit: int = MAX_DRAINING,
    ) -> None:
        self._loop = loop
        if limit is None:
            limit = _default_limit(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        self._limit = limit
        self._draining_limit = draining_limit
        self._entered: dict[Stage, dict[Member, float]] = {stage: {} for stage in Stage}
        self._sweep: asyncio.TimerHandle | None = None
        self.buffer: Final = memoryview(bytearray(READ_SIZE))
        """Shared by all: what is read is parsed before the next read."""
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return sum(map(len, self._entered.values()))

    def __iter__(self) -> Iterator[Member]:
        return iter([member for members in self._entered.values() for member in members])

    def count(self, stage: Stage) -> int:
        return len(self._entered[stage])

    def enter(self, member: Member, stage: Stage) -> None:
        """Move ``member`` to ``stage`` now; a new member may cost the most silent one its place."""
        if member.stage is not None:
            del self._entered[member.stage][member]
        elif len(self) >= self._limit:
            self.make_room()
        if stage is Stage.ANSWERING and len(self._entered[stage]) >= self._draining_limit:
            next(iter(self._entered[stage])).abort()
        now = self._loop.time()
        self._empty.clear()
        member.stage = stage
        self._entered[stage][member] = now
        deadline = now + stage.value
        if self._sweep is None or deadline < self._sweep.when():
            self._wake_at(deadline)

    def leave(self, member: Member) -> None:
        if member.stage is not None:
            del self._entered[member.stage][member]
            member.stage = None
            if not any(self._entered.values()):
                self._empty.set()

    def make_room(self) -> bool:
        """Abort the connection that has been silent longest; False when there is none."""
        oldest = [next(iter(members.items())) for members in self._entered.values() if members]
        if not oldest:
            return False
        min(oldest, key=lambda entry: entry[1])[0].abort()
        return True

    async def close(self, seconds: float) -> None:
        """End every connection: idle ones now, the others when answered, in ``seconds`` at most."""
        for member in self:
            member.finish()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), seconds)
        for member in self:
            member.abort()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def _wake_at(self, deadline: float) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        self._sweep = self._loop.call_at(deadline, self._end_the_late)

    def _end_the_late(self) -> None:
        self._sweep = None
        now = self._loop.time()
        following: list[float] = []
        for stage, members in self._entered.items():
            late = []
            for member, entered in members.items():
                if entered + stage.value > now:
                    following.append(entered + stage.value)
                    break
                late.append(member)
            for member in late:
                member.abort()
        if following:
            self._wake_at(min(following))


def _default_limit(open_files: int) -> int:
    """Return at most half of the descriptors that we may open: checks need the others."""
    if open_files == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(min(MAX_CONNECTIONS, open_files // 2), 1)
