"""In whose turn connections are served: who asks now and then at once, who asks a lot one by one.

Owns the order and the share of time; what is done in a turn is the connection's.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

    from kubenurse_otel.server.clients import Client, Member

SPACING_SECONDS: Final = 0.005
"""A client that was served longer ago is served at once."""
SLICE_SECONDS: Final = 0.002
"""Turns are given for so long; then whatever else the event loop has to do comes first."""
REST_SECONDS: Final = 0.010


class Turns:
    """One thing a turn, one turn a client, round and round.

    The time that is spent on those who wait is at most a sixth of the event loop's: checks, and
    clients that ask seldom, never wait for more than a slice and what one thing takes.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: deque[Client] = deque()
        self._handle: asyncio.Handle | None = None

    def ask(self, member: Member) -> None:
        """Serve ``member`` now, or in its turn."""
        client = member.client
        now = self._loop.time()
        if not client.waiting and now - client.served_at >= SPACING_SECONDS:
            client.served_at = now
            member.serve()
            return
        self.wait(member)

    def wait(self, member: Member) -> None:
        """Serve ``member`` in its turn."""
        member.pause()
        client = member.client
        if not client.waiting:
            self._queue.append(client)
        client.waiting[member] = None
        if self._handle is None:
            self._handle = self._loop.call_soon(self._give)

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _give(self) -> None:
        ends = self._loop.time() + SLICE_SECONDS
        while self._queue:
            now = self._loop.time()
            if now >= ends:
                self._handle = self._loop.call_later(REST_SECONDS, self._give)
                return
            client = self._queue.popleft()
            if not client.waiting:
                continue  # they have gone meanwhile
            member = client.next_waiting()
            if client.waiting:
                self._queue.append(client)
            client.served_at = now
            member.serve()  # which may have it wait again
        self._handle = None
