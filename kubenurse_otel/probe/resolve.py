"""What a resolver is (Resolve), and one that asks the system's getaddrinfo in threads.

Owns these threads and their bounds. A look-up is timed in its thread, around the call itself.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from kubenurse_otel.errors import without_frames
from kubenurse_otel.probe.addresses import with_zone
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubenurse_otel.probe.dns.reply import Reply

MAX_THREADS: Final = 32
MAX_THREADS_PER_HOST: Final = 2
MAX_ADDRESSES: Final = 10


class DeadlineExceededError(TimeoutError):
    """The check's time was up while it waited for the far end. It had waited since
    ``waiting_since_ns`` (CLOCK_MONOTONIC).
    """

    def __init__(self, waiting_since_ns: int, queries: tuple[Reply, ...] = ()) -> None:
        super().__init__()
        self.waiting_since_ns = waiting_since_ns
        self.queries = queries


@record(frozen=True, slots=True)
class Answer:
    """What a look-up found: addresses in the order in which to try them (with a zone if they need
    one), and when it ran (CLOCK_MONOTONIC ns).

    ``queries`` is what name servers were asked. Empty if nobody can tell.
    """

    addresses: tuple[str, ...]
    started_ns: int
    ended_ns: int
    queries: tuple[Reply, ...] = ()


class LookUpError(Exception):
    """A look-up failed. It has the error, and when the look-up ran (CLOCK_MONOTONIC ns).

    It may have begun before it was asked for, by an earlier check: only its whole time tells a
    time-out from a refusal.
    """

    def __init__(
        self,
        error: Exception,
        started_ns: int,
        ended_ns: int,
        queries: tuple[Reply, ...] = (),
    ) -> None:
        super().__init__()
        self.error = error
        self.started_ns = started_ns
        self.ended_ns = ended_ns
        self.queries = queries


# A failure is the result of this future and not its exception. Otherwise the future, the frame that
# waits for it, and the exception's traceback would hold each other.
_LookUp: TypeAlias = "asyncio.Future[Answer | LookUpError]"


class Resolve(Protocol):
    """Looks a name up. Raises LookUpError, or DeadlineExceededError at ``deadline`` (loop time)."""

    async def __call__(self, host: str, *, deadline: float) -> Answer: ...


def interleave(addresses: list[tuple[int, str]]) -> tuple[str, ...]:
    """Return the addresses with families in turn, the first one's first (RFC 8305 section 4).

    ``addresses`` are (address family, address) in the order of RFC 6724. Doubles are left out.
    """
    unique = list(dict.fromkeys(addresses))
    first = [a for family, a in unique if family == unique[0][0]]
    other = [a for family, a in unique if family != unique[0][0]]
    mixed = [a for pair in zip(first, other, strict=False) for a in pair]
    rest = first[len(other) :] or other[len(first) :]
    return tuple((mixed + rest)[:MAX_ADDRESSES])


class ThreadResolver:
    """getaddrinfo in daemon threads, used on one event loop.

    A thread whose look-up hangs lives until the C library gives up. So the number of threads is
    bounded, in all and per name, so that one stuck name cannot take all threads. If a name has all
    of its threads, a further request waits for the youngest of its look-ups.
    """

    def __init__(self) -> None:
        self._running: dict[str, list[_LookUp]] = {}

    async def __call__(self, host: str, *, deadline: float) -> Answer:
        loop = asyncio.get_running_loop()
        asked_ns = time.monotonic_ns()
        look_up = self._look_up(host, loop)
        await asyncio.wait((look_up,), timeout=max(0.0, deadline - loop.time()))
        if not look_up.done():
            raise DeadlineExceededError(asked_ns)
        answer = look_up.result()
        if isinstance(answer, LookUpError):
            raise LookUpError(answer.error, answer.started_ns, answer.ended_ns)
        # A look-up that had begun earlier took only as long as we waited for it.
        started_ns = max(asked_ns, answer.started_ns)
        return Answer(answer.addresses, started_ns, max(started_ns, answer.ended_ns))

    def _look_up(self, host: str, loop: asyncio.AbstractEventLoop) -> _LookUp:
        running = self._running.get(host, [])
        if len(running) >= MAX_THREADS_PER_HOST:
            return running[-1]
        future: _LookUp = loop.create_future()
        if sum(map(len, self._running.values())) >= MAX_THREADS:
            return future  # nothing sets its result, so the deadline ends the wait
        self._running[host] = [*running, future]
        threading.Thread(
            target=_ask, args=(host, loop, future, self._finished), name="resolve", daemon=True
        ).start()
        return future

    def _finished(self, host: str, future: _LookUp, result: Answer | LookUpError) -> None:
        """Take a thread's result. Runs on the loop."""
        left = [other for other in self._running[host] if other is not future]
        if left:
            self._running[host] = left
        else:
            del self._running[host]
        future.set_result(result)


def _ask(
    host: str,
    loop: asyncio.AbstractEventLoop,
    future: _LookUp,
    finished: Callable[[str, _LookUp, Answer | LookUpError], None],
) -> None:
    """Look the name up, and time the call itself. Runs in a thread."""
    result: Answer | LookUpError
    started_ns = time.monotonic_ns()
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        ended_ns = time.monotonic_ns()
        addresses = interleave([(family, _written(at)) for family, _, _, _, at in found])
        result = Answer(addresses, started_ns, ended_ns)
    except Exception as error:  # noqa: BLE001 - of any kind: whoever waits must hear of it
        result = LookUpError(without_frames(error), started_ns, time.monotonic_ns())
    try:
        loop.call_soon_threadsafe(finished, host, future, result)
    except RuntimeError:  # the loop is closed: nobody waits any more
        return


def _written(at: tuple[str | int | bytes, ...]) -> str:
    """Return the address of getaddrinfo's tuple, which for IPv6 is (address, port, flow, scope)."""
    return with_zone(str(at[0]), int(at[3]) if len(at) > 3 else 0)
