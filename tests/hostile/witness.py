"""Who looks at the agents while one is attacked: a prober and a scraper, each a process of its own.

The prober asks both agents for /alwayshappy on the clock, each time as a task of its own, so that a
slow answer hides no other. What it sees of the neighbour, which nobody attacks, is the machine's.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import math
import multiprocessing
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from hostile import network
from hostile.agent import PORT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Event

PROBE_EVERY_SECONDS: Final = 0.05
PROBE_TIMEOUT_SECONDS: Final = 5.0
SCRAPE_EVERY_SECONDS: Final = 1.0
SCRAPE_TIMEOUT_SECONDS: Final = 10.0
"""Prometheus' default."""
_REQUEST: Final = b"GET /alwayshappy HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n"
_ONE_METRIC: Final = b"\nkubenurse_build_info{"
_FORK: Final = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True)
class Testimony:
    """``p99_seconds`` and ``slowest_probe_seconds``: an answer that did not come counts as 5 s."""

    probes: int
    p99_seconds: float
    slowest_probe_seconds: float
    neighbour_p99_seconds: float
    scrapes: int
    whole_scrapes: int
    slowest_scrape_seconds: float


class Witness:
    """``with Witness() as witness:``, and in the block, at its end, ``witness.testify()``."""

    def __enter__(self) -> Self:
        self._over = _FORK.Event()
        self._told: list[Connection] = []
        self._processes = []
        for look in (_probe, _scrape):
            ours, theirs = _FORK.Pipe(duplex=False)
            process = _FORK.Process(target=look, args=(self._over, theirs), daemon=True)
            process.start()
            self._told.append(ours)
            self._processes.append(process)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for process in self._processes:
            process.join(SCRAPE_TIMEOUT_SECONDS + 5)
            process.kill()

    def testify(self) -> Testimony:
        self._over.set()
        (attacked, neighbour), scrapes = (one.recv() for one in self._told)
        whole = [seconds for seconds, is_whole in scrapes if is_whole]
        return Testimony(
            probes=len(attacked),
            p99_seconds=p99(attacked),
            slowest_probe_seconds=max(attacked, default=math.nan),
            neighbour_p99_seconds=p99(neighbour),
            scrapes=len(scrapes),
            whole_scrapes=len(whole),
            slowest_scrape_seconds=max((seconds for seconds, _ in scrapes), default=math.nan),
        )


def p99(seconds: Sequence[float]) -> float:
    """The nearest-rank quantile; NaN of nothing."""
    return sorted(seconds)[math.ceil(0.99 * len(seconds)) - 1] if seconds else math.nan


def _probe(over: Event, tell: Connection) -> None:
    with contextlib.suppress(OSError):  # without the right it is one process among others
        os.nice(-10)
    tell.send(asyncio.run(_probe_on_the_clock(over)))


async def _probe_on_the_clock(over: Event) -> tuple[list[float], list[float]]:
    loop = asyncio.get_running_loop()
    attacked: list[asyncio.Task[float]] = []
    neighbour: list[asyncio.Task[float]] = []
    next_at = loop.time()
    while not over.is_set():
        for address, tasks in ((network.AGENT, attacked), (network.NEIGHBOUR, neighbour)):
            tasks.append(loop.create_task(_ask(address)))
            next_at += PROBE_EVERY_SECONDS / 2
            await asyncio.sleep(next_at - loop.time())
    return await asyncio.gather(*attacked), await asyncio.gather(*neighbour)


async def _ask(address: str) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_connection(
                address, PORT, local_addr=(network.PROBER, 0)
            )
            with contextlib.closing(writer):
                writer.write(_REQUEST)
                if not (await reader.read()).startswith(b"HTTP/1.1 200"):
                    return PROBE_TIMEOUT_SECONDS
    except (OSError, TimeoutError):
        return PROBE_TIMEOUT_SECONDS
    return loop.time() - began


def _scrape(over: Event, tell: Connection) -> None:
    seen: list[tuple[float, bool]] = []
    while True:
        began = time.monotonic()
        is_whole = _scraped_whole()
        took = time.monotonic() - began
        seen.append((took, is_whole))
        if over.wait(max(0.0, SCRAPE_EVERY_SECONDS - took)):
            tell.send(seen)
            return


def _scraped_whole() -> bool:
    """Within Prometheus' time, every promised byte."""
    deadline = time.monotonic() + SCRAPE_TIMEOUT_SECONDS
    connection = http.client.HTTPConnection(
        network.AGENT,
        PORT,
        timeout=SCRAPE_TIMEOUT_SECONDS,
        source_address=(network.SCRAPER, 0),
    )
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/metrics")
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            return False
    return response.status == 200 and _ONE_METRIC in body and time.monotonic() <= deadline
