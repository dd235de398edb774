"""resolve.py: names to addresses, in bounded threads."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel.probe.resolve import (
    MAX_ADDRESSES,
    MAX_THREADS,
    MAX_THREADS_PER_HOST,
    DeadlineExceededError,
    LookUpError,
    ThreadResolver,
    interleave,
)

V4, V6 = socket.AF_INET, socket.AF_INET6


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        ([(V6, "a"), (V6, "b"), (V4, "1"), (V4, "2")], ("a", "1", "b", "2")),
        ([(V4, "1"), (V6, "a"), (V6, "b")], ("1", "a", "b")),
        ([(V6, "a"), (V4, "1"), (V4, "2"), (V4, "2")], ("a", "1", "2")),
        ([(V4, "1")], ("1",)),
    ],
)
def test_families_alternate_beginning_with_the_first(
    addresses: list[tuple[int, str]], expected: tuple[str, ...]
) -> None:
    """RFC 8305 section 4, without doubles."""
    assert interleave(addresses) == expected


@given(st.lists(st.tuples(st.sampled_from([V4, V6]), st.text(min_size=1, max_size=2)), min_size=1))
def test_no_address_is_lost_or_made_up(addresses: list[tuple[int, str]]) -> None:
    """All of them once, up to the bound."""
    found = interleave(addresses)
    assert len(found) == min(MAX_ADDRESSES, len(set(addresses)))
    assert set(found) <= {address for _, address in addresses}


async def test_a_look_up_is_timed_in_its_thread() -> None:
    """The answer tells when it ran."""
    loop = asyncio.get_running_loop()
    answer = await ThreadResolver()("localhost", deadline=loop.time() + 5)
    assert answer.addresses
    assert answer.started_ns < answer.ended_ns


async def test_a_name_that_is_none_is_an_error_not_a_crash() -> None:
    """What getaddrinfo and the IDNA codec raise comes out, with the time that it took."""
    resolve = ThreadResolver()
    loop = asyncio.get_running_loop()
    with pytest.raises(LookUpError) as caught:
        await resolve("a" * 70 + ".invalid", deadline=loop.time() + 5)
    assert isinstance(caught.value.error, socket.gaierror | UnicodeError)
    assert caught.value.started_ns <= caught.value.ended_ns


async def test_a_deadline_that_has_passed_leaves_the_thread_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The await ends in time; the look-up's late answer goes nowhere."""
    late, look_up = threading.Event(), socket.getaddrinfo

    def slow(*arguments: Any, **options: Any) -> Any:
        late.wait(20)
        return look_up(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    resolve = ThreadResolver()
    with pytest.raises(DeadlineExceededError):
        await resolve("localhost", deadline=asyncio.get_running_loop().time() - 1)
    assert resolve._running
    late.set()
    async with asyncio.timeout(20):
        while resolve._running:
            await asyncio.sleep(0.01)


async def test_a_name_with_its_share_of_threads_is_joined() -> None:
    """Ten who ask at once are answered by two look-ups, timed from when they asked."""
    resolve = ThreadResolver()
    deadline = asyncio.get_running_loop().time() + 5
    asked_ns = time.monotonic_ns()
    asking = [asyncio.create_task(resolve("localhost", deadline=deadline)) for _ in range(10)]
    await asyncio.sleep(0)
    assert len(resolve._running["localhost"]) == MAX_THREADS_PER_HOST
    answers = await asyncio.gather(*asking)
    assert len({answer.addresses for answer in answers}) == 1
    assert all(asked_ns <= answer.started_ns <= answer.ended_ns for answer in answers)
    assert not resolve._running


async def test_a_stuck_name_takes_no_thread_from_others() -> None:
    """Who asks for it waits to its deadline; other names are answered meanwhile."""
    resolve = ThreadResolver()
    loop = asyncio.get_running_loop()
    resolve._running["stuck.example"] = [loop.create_future() for _ in range(MAX_THREADS_PER_HOST)]
    stuck = asyncio.create_task(resolve("stuck.example", deadline=loop.time() + 0.2))
    assert (await resolve("localhost", deadline=loop.time() + 5)).addresses
    with pytest.raises(DeadlineExceededError):
        await stuck


async def test_no_more_threads_than_the_bound() -> None:
    """With all of them stuck a new name gets none, and waits to its deadline."""
    resolve = ThreadResolver()
    loop = asyncio.get_running_loop()
    for number in range(MAX_THREADS):
        resolve._running[f"stuck-{number}.example"] = [loop.create_future()]
    with pytest.raises(DeadlineExceededError):
        await resolve("localhost", deadline=loop.time() + 0.05)


async def test_a_zone_stays_with_its_address() -> None:
    """A link-local address without it leads nowhere (RFC 4007); numbers as the kernel has them."""
    loop = asyncio.get_running_loop()
    answer = await ThreadResolver()("fe80::1%lo", deadline=loop.time() + 5)
    assert answer.addresses == (f"fe80::1%{socket.if_nametoindex('lo')}",)
