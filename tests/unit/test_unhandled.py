"""Exceptions that nobody foresaw: each ends one thing, is counted, and is said once an hour."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, NoReturn

import httpx
import pytest
from bridge_doubles import checker, provider, target
from waiting import until

from kubenurse_otel import unhandled
from kubenurse_otel.discovery.informer import Informer, ListWatch
from kubenurse_otel.discovery.timings import Timings
from kubenurse_otel.model import Outcome
from kubenurse_otel.process.ending import bug_in_a_callback
from kubenurse_otel.unhandled import MAX_REMEMBERED, SAY_AGAIN_SECONDS, Part, Unhandled

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.makes_bugs


def an_error(text: str = "unforeseen") -> RuntimeError:
    try:
        raise RuntimeError(text)
    except RuntimeError as error:
        return error


def test_a_traceback_is_said_once_for_each_subject_and_hour(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Every one is counted; the log has one line a subject and hour, with its traceback."""
    now = [0.0]
    bugs = Unhandled(clock=lambda: now[0])
    for about in ("path_node-b", "path_node-b", "path_node-c"):
        bugs.caught(Part.CHECK, an_error(), about=about)
    now[0] = SAY_AGAIN_SECONDS
    bugs.caught(Part.CHECK, an_error(), about="path_node-b")

    assert bugs.counts() == dict.fromkeys(Part, 0) | {Part.CHECK: 4}
    said = [record.getMessage() for record in caplog.records]
    assert [text[:40] for text in said] == [
        "a bug ended one check (path_node-b) and ",
        "a bug ended one check (path_node-c) and ",
        "a bug ended one check (path_node-b) and ",
    ]
    assert caplog.text.count("RuntimeError: unforeseen") == 3


def test_what_is_remembered_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """A path that a client made up is a subject, too."""
    caplog.set_level(logging.CRITICAL)
    bugs = Unhandled()
    for number in range(MAX_REMEMBERED + 50):
        bugs.caught(Part.ANSWER, an_error(), about=f"/{number}\x1b[2J")
    assert len(bugs._said) == MAX_REMEMBERED


@pytest.mark.parametrize("raised", [RuntimeError, UnicodeError, KeyError, httpx.InvalidURL])
async def test_a_bug_in_a_check_is_its_own_failure(
    raised: Callable[[str], Exception], caplog: pytest.LogCaptureFixture
) -> None:
    """outcome failed, error_type unhandled_exception, no word of the exception's text."""
    checking, prober = checker(provider(ratio=1.0))

    async def bug(_: object) -> None:
        raise raised("secret")

    prober.script.before = bug
    counted = unhandled.counts()[Part.CHECK]
    wanted = target(f"bug {raised}")
    result = await checking.check(wanted)

    assert result.outcome is Outcome.FAILED
    assert result.failure is not None
    assert (result.failure.error_type, result.failure.event) == (
        "unhandled_exception",
        "round_trip_error",
    )
    assert "secret" not in result.failure.message
    assert unhandled.counts()[Part.CHECK] == counted + 1
    assert f"a bug ended one check ({wanted.key})" in caplog.text


class Server:
    """In the place of ApiServer: every question meets a bug."""

    def __init__(self) -> None:
        self.asked = 0

    def get(self, *_: object, **__: object) -> NoReturn:
        self.asked += 1
        raise RuntimeError("unforeseen")

    def renew(self) -> None:
        """No connection to forget."""


async def test_a_bug_in_a_round_of_discovery_is_not_the_last_round() -> None:
    """The thread goes on, and the neighbourhood's state says why it is stale."""
    server, stopping = Server(), threading.Event()
    informer: Informer[str] = Informer(
        server,  # type: ignore[arg-type]
        ListWatch(name="pods", path="/pods", query={}, decode=lambda _: ("", "")),
        Timings(backoff=0.001, max_backoff=0.001),
        stopping=stopping,
        on_change=lambda: None,
    )
    counted = unhandled.counts()[Part.DISCOVERY]
    informer.start()
    try:
        await until(lambda: server.asked > 2)
        problem = str(informer.snapshot().problem)
        assert problem == "following pods met a bug, RuntimeError: see the agent's log"
        assert unhandled.counts()[Part.DISCOVERY] > counted
    finally:
        stopping.set()
        informer.join(5)


async def test_a_bug_in_a_callback_of_the_loop_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where nobody awaits; what has no exception is asyncio's to say."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(bug_in_a_callback)
    counted = unhandled.counts()[Part.EVENT_LOOP]
    loop.call_soon({}.__getitem__, "unforeseen")
    await asyncio.sleep(0)
    assert unhandled.counts()[Part.EVENT_LOOP] == counted + 1
    loop.call_exception_handler({"message": "said by asyncio"})
    assert "said by asyncio" in caplog.text
    assert unhandled.counts()[Part.EVENT_LOOP] == counted + 1
