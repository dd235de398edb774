"""All open connections of a server: what each is doing, and how long it may take.

Owns the deadlines, nothing of what a connection says; whose it is and what that client may have is
clients.py's, in whose turn it is served turns.py's. Both are joined here.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

from kubenurse_otel.semconv import Refusal
from kubenurse_otel.server import clients
from kubenurse_otel.server.clients import MAX_CONNECTIONS, Clients
from kubenurse_otel.server.refused import MAX_HELD, Refused
from kubenurse_otel.server.turns import Turns

if TYPE_CHECKING:
    import socket
    from collections import Counter
    from collections.abc import Callable, Iterator

    from kubenurse_otel.server.clients import Client

READ_SIZE: Final = 16_384
MAX_DRAINING: Final = 32
"""The most answers that may wait for a slow reader: each holds memory, ours and the kernel's."""
SHARE_DRAINING: Final = 4
CROWD: Final = 64
"""This many connections, or any refusal, is more than a cluster's checks cause."""


class Stage(Enum):
    """What a connection is doing; the value is how many seconds it may take."""

    READING = 5.0
    """From the accept, or the first byte of a further request, to its last (TLS included)."""
    ANSWERING = 10.0
    """Until the client has taken the next PROGRESS_BYTES of its answer, or all."""
    IDLE = 120.0
    """Between two requests, as kubenurse's IdleTimeout."""
    LINGERING = 1.001
    """After a refusal: what is still coming is thrown away, so that no reset eats the answer."""
    RESTING = 1.0
    """After 429: its next request is read when the second is over."""


class Member(clients.Member, Protocol):
    """What this module needs of a connection, in addition to clients.Member."""

    stage: Stage | None

    def finish(self) -> None:
        """End as soon as no answer is under way."""

    def rested(self) -> None:
        """Go on after RESTING."""


class Connections:
    """The open connections by stage, each stage's in the order in which they entered it.

    ``on_crowd`` is called (often) while there are more clients than there should be.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        refusals: Counter[Refusal],
        limit: int | None = None,
        draining_limit: int = MAX_DRAINING,
        on_crowd: Callable[[], None] = lambda: None,
    ) -> None:
        if limit is None:
            limit = _default_limit(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        self.refusals: Final = refusals
        self.clients: Final = Clients(limit=limit, refusals=refusals)
        self.turns: Final = Turns(loop)
        self.refused: Final = Refused(loop, limit=min(MAX_HELD, limit))
        self.buffer: Final = memoryview(bytearray(READ_SIZE))
        """Shared by all: what is read is parsed or kept before the next read."""
        self._loop = loop
        self._draining_limit = draining_limit
        self._on_crowd = on_crowd
        self._entered: dict[Stage, dict[Member, None]] = {stage: {} for stage in Stage}
        self._sweep: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self.clients)

    def __iter__(self) -> Iterator[Member]:
        return iter([member for members in self._entered.values() for member in members])

    def count(self, stage: Stage) -> int:
        return len(self._entered[stage])

    def refuse(self, accepted: socket.socket) -> None:
        """Take a connection that its client may not have."""
        self._on_crowd()
        self.refused.hold(accepted)

    def make_room(self) -> bool:
        """Free a descriptor; False when there is none to be had."""
        return self.refused.release() or self.clients.make_room()

    def enter(self, member: Member, stage: Stage) -> None:
        """Move ``member`` to ``stage`` now; too many slow readers cost the slowest its place."""
        if member.stage is None:
            self._empty.clear()
            self.clients.enter(member.client, member)
            if len(self.clients) > CROWD:
                self._on_crowd()
        else:
            del self._entered[member.stage][member]
            self.clients.heard(member.client, member)
        if stage is Stage.ANSWERING:
            self._make_room_for_an_answer(member.client)
        now = self._loop.time()
        member.stage, member.entered_at = stage, now
        self._entered[stage][member] = None
        deadline = now + stage.value
        if self._sweep is None or deadline < self._sweep.when():
            self._wake_at(deadline)

    def leave(self, member: Member) -> None:
        if member.stage is not None:
            del self._entered[member.stage][member]
            self.clients.leave(member.client, member)
            member.stage = None
            if not len(self.clients):
                self._empty.set()

    def _make_room_for_an_answer(self, client: Client) -> None:
        draining = self._entered[Stage.ANSWERING]
        slowest = next(iter(draining)) if len(draining) >= self._draining_limit else None
        own = [member for member in draining if member.client is client]
        if len(own) >= SHARE_DRAINING:
            slowest = own[0]
        if slowest is not None:
            slowest.abort(Refusal.SLOW)

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
        self.turns.close()
        self.refused.close()

    def _wake_at(self, deadline: float) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        self._sweep = self._loop.call_at(deadline, self._end_the_late)

    def _end_the_late(self) -> None:
        self._sweep = None
        now = self._loop.time()
        following: list[float] = []
        for stage, members in self._entered.items():
            late: list[Member] = []
            for member in members:
                deadline = member.entered_at + stage.value
                if deadline > now:
                    following.append(deadline)
                    break
                late.append(member)
            for member in late:
                self._end(member, stage)
        if following:
            self._wake_at(min(following))

    @staticmethod
    def _end(member: Member, stage: Stage) -> None:
        if stage is Stage.RESTING:
            member.rested()
        else:
            member.abort(Refusal.SLOW if stage in (Stage.READING, Stage.ANSWERING) else None)


def _default_limit(open_files: int) -> int:
    """Return at most a quarter of the descriptors that we may open.

    As many may be refused connections (refused.py); checks need the others.
    """
    if open_files == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(min(MAX_CONNECTIONS, open_files // 4), 1)
