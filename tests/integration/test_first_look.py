"""Who looks at the page for the first time has its code loaded: beside the event loop."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from waiting import until

from kubenurse_otel import unhandled
from kubenurse_otel.server.first_look import FirstLook
from kubenurse_otel.server.message import Peer, Request
from kubenurse_otel.unhandled import Part

if TYPE_CHECKING:
    from kubenurse_otel.server.pages import Pages

VIEWS = ("/", "/target?of=x", "/pair?from=a&to=b", "/agent")
# In a process of its own, for here all is imported already.
_LOOK = """
import asyncio, json, sys, threading
from running_server import ask, running

def note(event, about):
    if event == "import":
        found[threading.current_thread() is threading.main_thread()].append(about[0])

async def look(port, path):
    while (answer := await ask(port, path, "Accept: text/html")).status == 503:
        await asyncio.sleep(0.01)
    return answer.status

async def main():
    async with running() as server:
        sys.addaudithook(note)
        return [await look(server.port, path) for path in sys.argv[1:]]

found = {True: [], False: []}
print(json.dumps([asyncio.run(main()), found[True], found[False]]))
"""


def test_no_view_imports_anything_on_the_event_loop() -> None:
    """A check that is due is not kept waiting by somebody who looks."""
    done = subprocess.run(
        [sys.executable, "-c", _LOOK, *VIEWS],
        cwd=Path(__file__).parent,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    statuses, on_the_loop, beside_it = json.loads(done.stdout)
    assert statuses == [200, 404, 200, 200]
    assert {"htpy", "kubenurse_otel.page.pair", "kubenurse_otel.server.about"} <= set(beside_it)
    assert not [one for one in on_the_loop if one.startswith(("kubenurse_otel", "htpy"))]


@pytest.mark.makes_bugs
async def test_a_page_that_cannot_be_made_is_counted_and_tried_again() -> None:
    """By the next look; nothing else of the agent notices. Who looks is told where to read."""
    made = 0

    def make() -> Pages:
        nonlocal made
        made += 1
        raise RuntimeError("a bug in the page")

    page, request = FirstLook(make), Request(Peer("10.0.0.1", 1, tuple, secure=False), b"/")
    counted = unhandled.counts()[Part.ANSWER]
    for tried in (1, 2):
        assert page(request).status == 503
        again = page(request)  # one is under way
        assert (again.status, b"log says why" in again.body) == (503, True)
        await until(lambda tried=tried: unhandled.counts()[Part.ANSWER] == counted + tried)
        assert (made, page.pages) == (tried, None)
    page.close()
