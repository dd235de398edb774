"""collect.py: many are asked at once, within bounds: each comes back, with a reason at least."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from servers import FaultServer, answer
from servers.behaviours import answer_bytes, big_body, cut, reset_on_accept, silent_after_request

from kubenurse_otel import collect
from kubenurse_otel.collect import AT_ONCE, Collected, NoAnswerError, Source
from kubenurse_otel.config.urls import parse_url


def source(ask: Callable[[], Awaitable[bytes]], name: str = "a") -> Source:
    return Source(name, ask)


async def test_answers_come_in_the_order_given() -> None:
    """Whoever is first."""

    async def say(number: int) -> bytes:
        await asyncio.sleep(0)
        return b"%d" % number

    sources = [Source(f"{number}", lambda number=number: say(number)) for number in range(200)]
    found = await collect.collect(sources)
    assert [Collected(f"{number}", number) for number in range(200)] == found


async def test_64_are_asked_at_once_and_no_more() -> None:
    """The next one when one is done."""
    asked: list[asyncio.Event] = []

    async def hang() -> bytes:
        asked.append(asyncio.Event())
        await asked[-1].wait()
        return b"1"

    all_of_them = asyncio.create_task(
        collect.collect([source(hang)] * (AT_ONCE + 3), each_seconds=60, all_seconds=60)
    )
    for wanted in (AT_ONCE, AT_ONCE + 1, AT_ONCE + 2, AT_ONCE + 3):
        while len(asked) < wanted:
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert wanted == len(asked)
        asked[wanted - AT_ONCE].set()
    for one in asked:
        one.set()
    assert AT_ONCE + 3 == len(await all_of_them)


async def test_all_answers_together_are_bounded() -> None:
    """However many agents say as much as one may: who comes too late for it is named."""
    asked = 0

    async def say() -> bytes:
        nonlocal asked
        asked += 1
        return b'"' + b"a" * 998 + b'"'

    found = await collect.collect([source(say)] * 200, all_bytes=3_500)
    problem = "not read: all answers together have more than 3500 bytes"
    assert [one.problem for one in found] == [""] * 3 + [problem] * 197
    assert asked <= AT_ONCE + 4


async def test_who_does_not_answer_is_named_with_the_reason() -> None:
    """Each within its time, and all within theirs."""

    async def hang() -> bytes:
        await asyncio.Event().wait()
        return b""

    (late,) = await collect.collect([source(hang)], each_seconds=0.01)
    assert "no answer within 0.01 s" == late.problem
    many = await collect.collect([source(hang)] * (AT_ONCE + 1), each_seconds=60, all_seconds=0.05)
    assert "not asked within 0.05 s" == many[-1].problem
    assert AT_ONCE == sum(one.problem == "no answer within 60 s" for one in many)


@pytest.mark.parametrize(
    ("raised", "problem"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('10.0.0.1', 80)"), "connection refused"),
        (NoAnswerError("it answered 500"), "it answered 500"),
        (NoAnswerError("\x1b[31mred"), "\\x1b[31mred"),
    ],
)
async def test_reasons_are_for_people(raised: Exception, problem: str) -> None:
    """No address twice, and nothing that acts on a terminal."""

    async def fail() -> bytes:
        raise raised

    (found,) = await collect.collect([source(fail)])
    assert problem == found.problem


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"nul"])
async def test_what_is_no_json_is_no_answer(body: bytes) -> None:
    """Nested deeper than Python goes, too."""

    async def say() -> bytes:
        return body

    (found,) = await collect.collect([source(say)])
    assert "its answer is no JSON" == found.problem


@pytest.mark.parametrize(
    ("behaviour", "problem"),
    [
        (answer(404), "it has no diagnosis: an older agent, or KUBENURSE_DIAGNOSIS is false"),
        (answer(429), "it was asked too often"),
        (answer(302), "it answered 302"),
        (answer_bytes(b"\x00" * 100), "its answer is no HTTP"),
        (answer_bytes(b"HTTP/1.1 200 OK\r\nA: b\r\n"), "its answer is no HTTP"),
        (cut, "its answer is no HTTP"),
        (reset_on_accept, "connection reset by peer"),
        (big_body(10_000_000), "its answer has more than 2097152 bytes"),
        (silent_after_request, "no answer within 0.5 s"),
    ],
)
async def test_what_a_far_end_may_do(behaviour: Callable[..., None], problem: str) -> None:
    """None of it is more than a reason."""
    with FaultServer(behaviour) as server:
        url = parse_url(server.url("/"))
        (found,) = await collect.collect(
            [source(lambda: collect.get(url, context=None))], each_seconds=0.5
        )
    assert problem == found.problem


async def test_a_body_is_read_to_its_end() -> None:
    """In pieces, as TCP brings it."""
    with FaultServer(answer(body=b'{"a": 1}', piece_bytes=3, requests=1)) as server:
        url = parse_url(server.url("/"))
        (found,) = await collect.collect([source(lambda: collect.get(url, context=None))])
    assert Collected("a", {"a": 1}) == found
    assert server.requests[0].line.endswith("HTTP/1.0")
