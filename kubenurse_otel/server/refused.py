"""Connections that were refused: held for a second before they are closed, as far as there is room.

So a client that reconnects without a pause is slowed down to once per second and connection. That
costs us one socket.
"""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

HELD_SECONDS: Final = 1.0
MAX_HELD: Final = 1_024
_LEAST_BYTES: Final = 1
"""The kernel makes it what it needs at least (2,304): more than came already is not taken."""


class Refused:
    """``hold`` keeps a socket that nobody reads. It is closed a second later."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, limit: int = MAX_HELD) -> None:
        self._loop = loop
        self._limit = limit
        self._held: deque[tuple[float, socket.socket]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def hold(self, refused: socket.socket) -> None:
        if len(self._held) >= self._limit:
            refused.close()
            return
        with contextlib.suppress(OSError):
            refused.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LEAST_BYTES)
        self._held.append((self._loop.time() + HELD_SECONDS, refused))
        if self._timer is None:
            self._timer = self._loop.call_later(HELD_SECONDS, self._close_due)

    def release(self) -> bool:
        """Close the socket that is held longest, because its descriptor is needed. False if there
        is none.
        """
        if not self._held:
            return False
        self._held.popleft()[1].close()
        return True

    def close(self) -> None:
        while self.release():
            pass
        if self._timer is not None:
            self._timer.cancel()

    def _close_due(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._held and self._held[0][0] <= now:
            self.release()
        if self._held:
            self._timer = self._loop.call_at(self._held[0][0], self._close_due)
