"""In which order connections are served: rare clients at once, busy clients one by one.

Owns the order and the share of time; what is done in a turn is the connection's. What is spent is
CPU time: a process that gets little of the machine does as much in a slice.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from kubenurse_otel.server.clients import Client, Member

SPACING_SECONDS: Final = 0.005
"""A client that was last served longer ago than this is served at once."""
SLICE_SECONDS: Final = 0.002
"""CPU seconds per slice of turns. Then everything else that the event loop has to do comes first.
"""
REST_SECONDS: Final = 0.010


class Turns:
    """Give clients their turns: one thing per turn, and one turn per client and round.

    A client that asks seldom is served at once, as long as that takes less than a slice per round
    of the event loop. Clients that wait get at most a sixth of the event loop's time. So checks,
    and clients that ask seldom, wait for little more than a slice and one thing. ``cpu`` gives this
    thread's CPU time in seconds.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._cpu = cpu
        self._first: deque[Client] = deque()
        """Clients that had nothing waiting before. They get the next turns, in order."""
        self._again: deque[Client] = deque()
        self._serving: Client | None = None
        self._handle: asyncio.Handle | None = None
        self._round: asyncio.Handle | None = None
        self._round_ends = 0.0

    def ask(self, member: Member) -> None:
        """Serve ``member`` now, or in its turn."""
        if not self.serve(member):
            self.wait(member)

    def serve(self, member: Member) -> bool:
        """Serve ``member`` if its turn is now, else return False.

        The round, which bounds how many are served so, begins with the first one's turn and is
        noted after it. A turn in which nothing was there is none, and no part of the round.
        """
        client = member.client
        now, spent = self._clock(), self._cpu()
        if (
            client.waiting
            or now - client.served_at < SPACING_SECONDS
            or (self._round is not None and spent >= self._round_ends)
        ):
            return False
        if not member.serve():
            self._round_ends += self._cpu() - spent
            return True
        client.served_at = now
        if self._round is None:
            self._round = self._loop.call_soon(self._end_round)
            self._round_ends = spent + SLICE_SECONDS
        return True

    def wait(self, member: Member) -> None:
        """Serve ``member`` in its turn."""
        member.pause()
        client = member.client
        if not client.queued and client is not self._serving:
            client.queued = True
            self._first.append(client)
        client.waiting[member] = None
        if self._handle is None:
            self._handle = self._loop.call_soon(self._give)

    def close(self) -> None:
        for handle in (self._handle, self._round):
            if handle is not None:
                handle.cancel()
        self._handle = self._round = None

    def _end_round(self) -> None:
        self._round = None

    def _give(self) -> None:
        ends = self._cpu() + SLICE_SECONDS
        self._serve_one_of(
            self._again
        )  # so that they have some, however many come for the first time
        while self._serve_one_of(self._first) or self._serve_one_of(self._again):
            if self._cpu() >= ends:
                self._handle = self._loop.call_later(REST_SECONDS, self._give)
                return
        self._handle = None

    def _serve_one_of(self, queue: deque[Client]) -> bool:
        """Give the next client of ``queue`` a turn; False where there is none."""
        while queue:
            client = queue.popleft()
            client.queued = False
            if client.waiting:
                now = self._clock()
                self._serving = client
                if client.next_waiting().serve():  # which may have it wait again
                    client.served_at = now
                self._serving = None
                if client.waiting:
                    client.queued = True
                    self._again.append(client)
                return True
            # Its connections have gone meanwhile.
        return False
