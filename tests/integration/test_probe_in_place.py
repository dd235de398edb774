"""A quick far end is waited for in the system call: when, and how long the loop stands still."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import pytest
from probing import Prober
from servers import BEHAVIOURS, answer
from waiting import until

from kubenurse_otel.errors import ErrorType
from kubenurse_otel.probe import kernel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from servers import FaultServer

STANDS_STILL_NS = 20_000_000
"""Two ticks of 4 ms, and what a machine adds that does other things, too."""
TRIES = 20


@pytest.fixture
async def prober() -> AsyncIterator[Prober]:
    async with Prober() as made:
        yield made


def quick(prober: Prober) -> set[str]:
    return prober.prober._shared.quick


async def make_quick(prober: Prober, url: str) -> None:
    """Check until every step took less than two milliseconds."""
    async with asyncio.timeout(20):
        while "extra" not in quick(prober):
            checked = await prober.check(url)
            assert checked.probe.failure is None


class Echo:
    """Datagrams to the event loop and back, both stamped by the kernel as they arrive."""

    def __init__(self) -> None:
        self.here, self.there = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(2))
        for one in (self.here, self.there):
            one.bind(("127.0.0.1", 0))
            one.settimeout(0.5)
            assert kernel._stamp(one, kernel._RX_FLAGS)
        self.here.setblocking(False)
        self.took_ns: list[int] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self.here, self._answer)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self.here)
        self._ended.set()
        self._thread.join()
        self.here.close()
        self.there.close()

    def _answer(self) -> None:
        data, arrived_ns = kernel.receive(self.here, 64)
        assert data
        self.here.sendto(struct.pack("=q", arrived_ns), self.there.getsockname())

    def _ask(self) -> None:
        while not self._ended.is_set():
            self.there.sendto(b"x", self.here.getsockname())
            try:
                data, back_ns = kernel.receive(self.there, 64)
            except TimeoutError:  # the end
                continue
            assert back_ns is not None
            self.took_ns.append(back_ns - struct.unpack("=q", data)[0])
            time.sleep(0.0005)


async def test_a_quick_far_end_that_is_silent_all_of_a_sudden_holds_the_loop_for_two_ticks(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """Of a second, by the kernel's stamps of what came to the loop meanwhile and went back."""
    good, silent = serve(answer()), serve(BEHAVIOURS["silent"])
    for _ in range(TRIES):
        await make_quick(prober, good.url())
        with Echo() as echo:
            checked = await prober.check(silent.url(), timeout_seconds=1.0)
        assert checked.probe.failure is not None
        assert "extra" not in quick(prober)
        assert len(echo.took_ns) > 10
        if max(echo.took_ns) <= STANDS_STILL_NS:
            break
    else:
        pytest.fail(f"the loop stood still for {max(echo.took_ns) / 1e6} ms")


async def test_a_quick_far_end_that_is_silent_is_a_response_timeout(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """Waiting in place is waiting for the far end."""
    good, silent = serve(answer()), serve(BEHAVIOURS["silent"])
    await make_quick(prober, good.url())

    checked = await prober.check_in_peace(silent.url(), timeout_seconds=0.3)

    assert checked.probe.failure is not None
    assert checked.probe.failure.error_type == ErrorType.RESPONSE_TIMEOUT


class Stalls:
    """Begins its answer when the event loop stands still, and never ends it."""

    def __init__(self) -> None:
        self.was_asked, self.may_begin, self.has_begun = (threading.Event() for _ in range(3))

    def __call__(self, connection: Any) -> None:
        connection.read_request()
        self.was_asked.set()
        assert self.may_begin.wait(20)
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        self.has_begun.set()
        connection.hold()


async def test_our_own_standing_still_is_own_timeout_with_a_quick_far_end_too(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """A wait in place does not make our time the far end's: its bytes were there all the time."""
    for _ in range(TRIES):
        quick(prober).add("extra")  # on a busy machine no check may ever be quick
        stalls = Stalls()
        checking = asyncio.create_task(prober.check(serve(stalls).url(), timeout_seconds=0.4))
        await until(lambda: stalls.was_asked.is_set() or checking.done())  # noqa: B023 - at once
        is_under_way = not checking.done()  # else the machine alone used up the time
        stalls.may_begin.set()
        if is_under_way:
            assert stalls.has_begun.wait(20)
            time.sleep(0.6)  # noqa: ASYNC251 - the loop stands still: beyond the time-out
        checked = await checking
        if is_under_way:
            break

    assert is_under_way
    assert checked.probe.failure is not None
    assert checked.probe.failure.error_type == ErrorType.OWN_TIMEOUT


async def test_who_is_not_checked_any_more_is_no_quick_one_either(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """What is remembered of targets goes with them."""
    await make_quick(prober, serve(answer()).url())

    prober.prober.retain(())

    assert quick(prober) == set()


@pytest.mark.parametrize("name", ["silent", "reset_after_request"])
async def test_a_failure_is_not_quick(
    serve: Callable[..., FaultServer], prober: Prober, name: str
) -> None:
    """The next check of it waits on the event loop from the start."""
    await make_quick(prober, serve(answer()).url())

    await prober.check(serve(BEHAVIOURS[name]).url(), timeout_seconds=0.3)

    assert quick(prober) == set()
