"""Read connections whose check is over, until the far end has closed them, too.

A far end may still send something: a banner, or TLS's session tickets. If our socket was closed
with that unread, or before it came, the kernel would answer with a reset, and the far end would log
an error.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from kubenurse_otel.probe import kernel

if TYPE_CHECKING:
    import socket

MOST_PARTING: Final = 128
PARTING_SECONDS: Final = 1.0
"""Seconds that a far end may take to close its side. Then we close, even if that causes a reset."""
MOST_READS: Final = 16
_READ_BYTES: Final = 16_384


class Parting:
    """Sockets that have sent their FIN, each for PARTING_SECONDS and MOST_READS at most."""

    def __init__(self) -> None:
        self._left: dict[socket.socket, _Last] = {}

    def take(self, sock: socket.socket) -> None:
        """Own ``sock`` from now on. Does not block."""
        if len(self._left) >= MOST_PARTING:
            self._end(next(iter(self._left)))
        loop = asyncio.get_running_loop()
        self._left[sock] = _Last(loop.call_later(PARTING_SECONDS, self._end, sock))
        loop.add_reader(sock.fileno(), self._read, sock)
        self._read(sock)  # often everything has come already

    async def wait(self) -> None:
        """Wait until all of them have ended."""
        while self._left:
            await next(iter(self._left.values())).ended.wait()

    def close(self) -> None:
        for sock in list(self._left):
            self._end(sock)

    def _read(self, sock: socket.socket) -> None:
        last = self._left[sock]
        with suppress(BlockingIOError):
            try:
                while sock.recv(_READ_BYTES) and last.reads < MOST_READS:
                    last.reads += 1
            except BlockingIOError:
                # Stamps that nobody took wake us up, too (EPOLLERR).
                kernel.drain_error_queue(sock)
                raise
            except OSError:  # it was reset: that is an end, too
                pass
            self._end(sock)

    def _end(self, sock: socket.socket) -> None:
        last = self._left.pop(sock)
        last.timer.cancel()
        asyncio.get_running_loop().remove_reader(sock.fileno())
        sock.close()
        last.ended.set()


class _Last:
    """What is left of a connection."""

    __slots__ = ("ended", "reads", "timer")

    def __init__(self, timer: asyncio.TimerHandle) -> None:
        self.timer = timer
        self.reads = 0
        self.ended = asyncio.Event()
