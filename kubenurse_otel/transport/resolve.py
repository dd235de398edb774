"""Names to addresses: the seam for a resolver, and the one that asks the system's.

Owns the threads of getaddrinfo and their bounds. Timed in the thread, around the look-up itself.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final, Protocol

MAX_THREADS: Final = 32
MAX_THREADS_PER_HOST: Final = 2
MAX_ADDRESSES: Final = 10


class DeadlineExceededError(TimeoutError):
    """The check's time was up while the far end was waited for, since ``waiting_since_ns``."""

    def __init__(self, waiting_since_ns: int) -> None:
        super().__init__()
        self.waiting_since_ns = waiting_since_ns


@dataclass(frozen=True, slots=True)
class Answer:
    """What a look-up found: addresses in the order to try, and when it ran (monotonic ns)."""

    addresses: tuple[str, ...]
    started_ns: int
    ended_ns: int


class Resolve(Protocol):
    """Looks a name up. Raises socket.gaierror, or DeadlineExceededError at ``deadline``
    (event-loop time).
    """

    async def __call__(self, host: str, *, deadline: float) -> Answer: ...


def is_address(host: str) -> bool:
    """Whether there is nothing to look up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def interleave(addresses: list[tuple[int, str]]) -> tuple[str, ...]:
    """Alternate families, starting with the first one's (RFC 8305 section 4), without doubles.

    ``addresses`` are (address family, address) in the order of RFC 6724.
    """
    unique = list(dict.fromkeys(addresses))
    first = [a for family, a in unique if family == unique[0][0]]
    other = [a for family, a in unique if family != unique[0][0]]
    mixed = [a for pair in zip(first, other, strict=False) for a in pair]
    rest = first[len(other) :] or other[len(first) :]
    return tuple((mixed + rest)[:MAX_ADDRESSES])


class ThreadResolver:
    """getaddrinfo in daemon threads.

    A thread whose look-up hangs stays behind until the C library gives up, so that threads are
    bounded: in all, and for a name, lest one stuck name take every thread from the others.
    """

    def __init__(self) -> None:
        self._running: Counter[str] = Counter()
        self._lock = threading.Lock()

    async def __call__(self, host: str, *, deadline: float) -> Answer:
        loop = asyncio.get_running_loop()
        waiting_since_ns = time.monotonic_ns()
        if not self._enter(host):
            # Earlier look-ups of this name still hang: this one would only join them.
            raise DeadlineExceededError(waiting_since_ns)
        future: asyncio.Future[Answer] = loop.create_future()
        threading.Thread(
            target=self._look_up, args=(host, loop, future), name="resolve", daemon=True
        ).start()
        timer = loop.call_at(deadline, _expire, future, waiting_since_ns)
        try:
            return await future
        finally:
            timer.cancel()

    def _enter(self, host: str) -> bool:
        with self._lock:
            full = self._running.total() >= MAX_THREADS
            if full or self._running[host] >= MAX_THREADS_PER_HOST:
                return False
            self._running[host] += 1
            return True

    def _leave(self, host: str) -> None:
        with self._lock:
            self._running[host] -= 1
            if not self._running[host]:
                del self._running[host]

    def _look_up(
        self, host: str, loop: asyncio.AbstractEventLoop, future: asyncio.Future[Answer]
    ) -> None:
        result: Answer | Exception
        started_ns = time.monotonic_ns()
        try:
            found = socket.getaddrinfo(
                host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
            )
            ended_ns = time.monotonic_ns()
            addresses = interleave([(family, str(at[0])) for family, _, _, _, at in found])
            result = Answer(addresses, started_ns, ended_ns)
        except (OSError, UnicodeError) as error:
            result = error
        finally:
            self._leave(host)
        try:
            loop.call_soon_threadsafe(_settle, future, result)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return


def _settle(future: asyncio.Future[Answer], result: Answer | Exception) -> None:
    if future.done():
        return
    if isinstance(result, Answer):
        future.set_result(result)
    else:
        future.set_exception(result)


def _expire(future: asyncio.Future[Answer], waiting_since_ns: int) -> None:
    if not future.done():
        future.set_exception(DeadlineExceededError(waiting_since_ns))
