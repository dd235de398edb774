"""The most that one answer of the API server may take: bytes on the wire and time, counted at the
socket.

Owns the count below http.client; the pools whose answers are counted are pools.py's. urllib3
bounds a line and what it unpacks at once. Neither it nor http.client bounds how many interim
answers, header lines, chunks or trailers there are, nor how long an answer lasts that sends a byte
before each read's timeout.
"""

from __future__ import annotations

import http.client
import io
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from kubenurse_otel.record import record

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

HEAD_BYTES: Final = 65_536
"""Status line and headers, interim answers included. Kubernetes' are below one KiB."""
LEAST_BYTES_A_SECOND: Final = 65_536
"""Bytes per second that an answer must bring to go on beyond its guaranteed time."""


@record(frozen=True, slots=True, kw_only=True)
class Limits:
    """``seconds`` are the time from the start. A ``progressing`` answer gets more time by its
    bytes.
    """

    max_bytes: int
    seconds: float
    progressing: bool = True


_NONE: Final = Limits(max_bytes=HEAD_BYTES, seconds=30.0)
_limits: ContextVar[Limits] = ContextVar("limits", default=_NONE)


class LimitError(OSError):
    """An answer is over its limits; the text says which."""


@contextmanager
def limited(limits: Limits) -> Iterator[None]:
    """Apply ``limits`` to every request that this thread makes within the block."""
    before = _limits.set(limits)
    try:
        yield
    finally:
        _limits.reset(before)


class _Counted(io.RawIOBase):
    """A raw stream over a socket that enforces the limits."""

    def __init__(self, sock: socket.socket, limits: Limits) -> None:
        self._socket = sock
        self._raw = sock.makefile(
            "rb", buffering=0
        )  # keeps the socket open, as http.client's would
        self._silence_seconds = sock.gettimeout()
        self._limits = limits
        self._started = time.monotonic()
        self._received = 0
        self.head = True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._left()
        self._socket.settimeout(max(0.001, min(left, self._silence_seconds or left)))
        try:
            count = self._raw.readinto(buffer) if left > 0 else None
        except TimeoutError:
            if self._left() > 0:
                raise  # a silence
            count = None
        if count is None:
            raise LimitError(f"it was not over after {time.monotonic() - self._started:.0f} s")
        self._received += count
        limit = HEAD_BYTES if self.head else self._limits.max_bytes
        if self._received > limit:
            raise LimitError(f"more than {limit} bytes came")
        return count

    def _left(self) -> float:
        seconds = self._limits.seconds
        if self._limits.progressing:
            seconds += self._received / LEAST_BYTES_A_SECOND
        return self._started + seconds - time.monotonic()

    def close(self) -> None:
        self._raw.close()
        super().close()


class _CountedSocket:
    """Stands in for a socket in http.client, which only makes a file of it."""

    def __init__(self, counted: _Counted) -> None:
        self._counted = counted

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._counted)


class Response(http.client.HTTPResponse):
    """http.client's response, over counted bytes."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        self._counted = _Counted(sock, _limits.get())
        super().__init__(_CountedSocket(self._counted), *arguments, **options)  # type: ignore[arg-type]  # see there

    def begin(self) -> None:
        super().begin()
        self._counted.head = False
