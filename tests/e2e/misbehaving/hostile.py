"""Clients that misbehave towards an agent's server. Each function returns what happened to it.

Owns the asking; whether the agent bore it is judged elsewhere. ``address`` is (host, port).
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

Address = tuple[str, int]
Findings = dict[str, object]

ORIGIN: Final = "KUBENURSE-NEIGHBOUR-ORIGIN"
"""As kubenurse's and our agents name the asking pod (semconv.HEADER_ORIGIN)."""
_ANSWER_SECONDS: Final = 10.0
_SPARE_FILES: Final = 100


async def forged_origins(address: Address, *, count: int = 10_000) -> Findings:
    """Ask /alwayshappy ``count`` times on one connection, each time as another pod."""
    outcomes: collections.Counter[str] = collections.Counter()
    started = time.monotonic()
    async with _connection(address) as (reader, writer):
        for number in range(count):
            outcome = await _ask(
                reader, writer, "/alwayshappy", f"{ORIGIN}: kubenurse-forged-{number}"
            )
            outcomes[outcome] += 1
            if not outcome.isdigit():
                break
    return {"answers": dict(outcomes), "seconds": _since(started)}


async def idle_connections(
    address: Address, *, count: int = 1_000, seconds: float = 30.0
) -> Findings:
    """Open ``count`` connections and say nothing for ``seconds``."""

    async def hold(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(1)

    return await _many(address, hold, count=count, seconds=seconds)


async def slow_loris(address: Address, *, count: int = 200, seconds: float = 30.0) -> Findings:
    """Open ``count`` connections, each with a request whose head grows by a header a second."""

    async def dribble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: agent\r\n")
        ended = asyncio.create_task(reader.read(1))
        while not ended.done():
            writer.write(b"X-Slow: x\r\n")
            await asyncio.wait({ended}, timeout=1.0)
        await ended

    return await _many(address, dribble, count=count, seconds=seconds)


async def big_head(address: Address, *, size: int = 1_000_000) -> Findings:
    """Send a request with ``size`` bytes of headers, as fast as they are taken."""
    line = b"X-Filler: " + b"y" * 988 + b"\r\n"
    started = time.monotonic()
    sent = 0
    async with _connection(address) as (reader, writer):
        outcome = ""
        try:
            writer.write(b"GET /alwayshappy HTTP/1.1\r\nHost: agent\r\n")
            while sent < size:
                writer.write(line)
                sent += len(line)
                await writer.drain()
            writer.write(b"\r\n")
            await writer.drain()
        except ConnectionError as error:
            outcome = f"{type(error).__name__} while sending"
        answered = await _answer(reader)
    return {
        "answers": {answered: 1},
        "sent_bytes": sent,
        "ended": outcome,
        "seconds": _since(started),
    }


async def scrapes(
    address: Address, *, seconds: float = 60.0, interval_seconds: float = 1.0
) -> Findings:
    """Ask for /metrics every ``interval_seconds``, each time on a connection of its own."""
    outcomes: collections.Counter[str] = collections.Counter()
    slowest = 0.0
    end = time.monotonic() + seconds
    while (started := time.monotonic()) < end:
        try:
            async with _connection(address) as (reader, writer):
                outcomes[await _ask(reader, writer, "/metrics")] += 1
        except OSError as error:
            outcomes[type(error).__name__] += 1
        slowest = max(slowest, time.monotonic() - started)
        await asyncio.sleep(max(0.0, started + interval_seconds - time.monotonic()))
    return {"answers": dict(outcomes), "slowest_seconds": round(slowest, 4)}


# --- many connections -----------------------------------------------------------------------------


async def _many(
    address: Address,
    hold: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    *,
    count: int,
    seconds: float,
) -> Findings:
    """Hold ``count`` connections at once; how they ended, and when the far end ended them."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(count + _SPARE_FILES, most), most))
    outcomes: collections.Counter[str] = collections.Counter()
    ends: list[float] = []
    started = time.monotonic()

    async def one() -> None:
        try:
            async with _connection(address) as (reader, writer):
                async with asyncio.timeout(seconds):
                    await hold(reader, writer)
        except TimeoutError:
            outcomes["held to the end"] += 1
            return
        except OSError as error:
            outcomes[type(error).__name__] += 1
        else:
            outcomes["ended by the far end"] += 1
        ends.append(time.monotonic() - started)

    await asyncio.gather(*(one() for _ in range(count)))
    return {
        "connections": dict(outcomes),
        "ended_seconds": [round(min(ends), 2), round(max(ends), 2)] if ends else [],
        "seconds": _since(started),
    }


# --- HTTP, as much as is needed -------------------------------------------------------------------


@asynccontextmanager
async def _connection(
    address: Address,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with asyncio.timeout(_ANSWER_SECONDS):
        reader, writer = await asyncio.open_connection(*address)
    try:
        yield reader, writer
    finally:
        writer.close()


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, header: str = ""
) -> str:
    lines = [f"GET {path} HTTP/1.1", "Host: agent", *([header] if header else []), "", ""]
    writer.write("\r\n".join(lines).encode())
    return await _answer(reader)


async def _answer(reader: asyncio.StreamReader) -> str:
    """Read one answer whole; its status, or what came instead of it."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = head.partition("content-length:")[2].partition("\r\n")[0].strip()
            await reader.readexactly(int(length or 0))
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        return type(error).__name__
    return head.split(" ", 2)[1]


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)


# --- the command line -----------------------------------------------------------------------------

KINDS: Final[dict[str, Callable[..., Awaitable[Findings]]]] = {
    "forged-origins": forged_origins,
    "idle-connections": idle_connections,
    "slow-loris": slow_loris,
    "big-head": big_head,
    "scrapes": scrapes,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", help="host:port of an agent")
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("forged-origins").add_argument("--count", type=int, default=10_000)
    for name, default in (("idle-connections", 1_000), ("slow-loris", 200)):
        many = kinds.add_parser(name)
        many.add_argument("--count", type=int, default=default)
        many.add_argument("--seconds", type=float, default=30.0)
    kinds.add_parser("big-head").add_argument("--size", type=int, default=1_000_000)
    scraper = kinds.add_parser("scrapes")
    scraper.add_argument("--seconds", type=float, default=60.0)
    scraper.add_argument("--interval-seconds", type=float, default=1.0)
    asked = vars(parser.parse_args())
    host, _, port = asked.pop("address").rpartition(":")
    kind = KINDS[asked.pop("kind")]

    async def run() -> Findings:
        return await kind((host, int(port)), **asked)

    sys.stdout.write(json.dumps(asyncio.run(run())) + "\n")


if __name__ == "__main__":
    main()
