"""Clients of the agent's ports: from one pod, or from many."""

from __future__ import annotations

import asyncio
import random
import ssl
from typing import Final

from hostile.agent import PORT, TLS_PORT
from hostile.attack import Attack, Group
from hostile.crowd import Client, Connection, crowd


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join((f"GET {path} HTTP/1.1", "Host: agent", *headers, "", "")).encode()


HAPPY: Final = get("/alwayshappy")
SMALL: Final = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def _client_hello() -> bytes:
    """A whole ClientHello of this Python, and nothing after it."""
    outgoing = ssl.MemoryBIO()
    session = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="a")
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake without a peer")


CLIENT_HELLO: Final = _client_hello()


async def pipelining(connection: Connection) -> None:
    while True:
        await connection.send(SMALL * 600)
        for _ in range(10):
            await connection.read()


async def pipelining_unread(connection: Connection) -> None:
    await connection.send(SMALL * 600)
    await connection.stay()


async def unfinished_head(connection: Connection) -> None:
    await connection.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a:b\r\n" * 3_200)
    await connection.stay()


async def never_reading(connection: Connection) -> None:
    await connection.send(get("/alive"))
    await connection.stay()


async def reading_slowly(connection: Connection) -> None:
    await connection.send(get("/alive"))
    while True:
        await connection.read(1)
        await asyncio.sleep(0.5)


async def asking_for_alive(connection: Connection) -> None:
    while True:
        await connection.send(get("/alive"))
        await connection.read()


async def scraping(connection: Connection) -> None:
    await connection.send(
        get("/metrics", "Accept: application/openmetrics-text", "Connection: close")
    )
    await connection.read_all()


async def idle(connection: Connection) -> None:
    await connection.stay()


async def idle_after_an_answer(connection: Connection) -> None:
    await connection.send(HAPPY)
    await connection.stay()


async def head_by_bytes(connection: Connection) -> None:
    for byte in get("/alwayshappy", *(f"X-{number}: y" for number in range(100))):
        await connection.send(bytes([byte]))
        await asyncio.sleep(1.0)


async def body_by_bytes(connection: Connection) -> None:
    await connection.send(b"POST /alive HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n")
    while True:
        await connection.send(b"x")
        await asyncio.sleep(0.5)


async def body_without_end(connection: Connection) -> None:
    await connection.send(b"POST /alive HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await connection.send(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")


async def garbage(connection: Connection) -> None:
    await connection.send(random.randbytes(2_000))
    await connection.read_all()


async def ending_at_once(connection: Connection) -> None:
    await connection.send(HAPPY)


async def asking_as_agents_do(connection: Connection) -> None:
    await connection.send(get("/alwayshappy", "Connection: close"))
    await connection.read_all()


async def unfinished_handshake(connection: Connection) -> None:
    await connection.send(CLIENT_HELLO)
    await connection.stay()


async def handshakes(connection: Connection) -> None:
    await connection.send(CLIENT_HELLO)
    await connection.read()


MIXED: Final = (
    pipelining,
    pipelining_unread,
    unfinished_head,
    never_reading,
    reading_slowly,
    asking_for_alive,
    scraping,
    idle,
    idle_after_an_answer,
    head_by_bytes,
    body_by_bytes,
    body_without_end,
    garbage,
    ending_at_once,
)


def _attack(
    name: str,
    what: str,
    load: str,
    *clients: Client,
    connections: int,
    addresses: int = 1,
    times: float = 1.0,
    small_buffers: bool = True,
    tls: bool = False,
) -> Attack:
    port = TLS_PORT if tls else PORT
    return Attack(
        name,
        Group.CLIENTS,
        what,
        load,
        crowd(*clients, port=port, small_buffers=small_buffers),
        connections=connections,
        addresses=addresses,
        times=times,
        tls=tls,
    )


ATTACKS: Final = (
    _attack(
        "mixed",
        "all clients below that need no TLS, at the same time",
        "each as below",
        *MIXED,
        connections=5_000,
        addresses=32,
        times=6,
    ),
    _attack(
        "pipelined",
        "clients send many small requests in one segment, and read the answers",
        "600 requests (16 KB), again and again",
        pipelining,
        connections=1_500,
    ),
    _attack(
        "pipelined-unread",
        "clients send many small requests in one segment, and never read the answers",
        "600 requests (16 KB)",
        pipelining_unread,
        connections=1_500,
    ),
    _attack(
        "unfinished-heads",
        "clients send requests whose head never ends",
        "3,200 headers of 5 bytes",
        unfinished_head,
        connections=1_500,
    ),
    _attack(
        "never-reading",
        "clients ask for /alive and never read the answer",
        "an answer of 0.2 MB",
        never_reading,
        small_buffers=False,
        connections=1_500,
    ),
    _attack(
        "never-reading-many",
        "the same, from 32 addresses",
        "an answer of 0.2 MB",
        never_reading,
        small_buffers=False,
        connections=1_500,
        addresses=32,
    ),
    _attack(
        "slow-readers",
        "clients ask for /alive and read one byte every half second",
        "an answer of 0.2 MB",
        reading_slowly,
        connections=500,
    ),
    _attack(
        "alive-flood",
        "clients ask for /alive and read it, again and again without a pause",
        "answers of 0.2 MB",
        asking_for_alive,
        connections=1_000,
    ),
    _attack(
        "scrapers",
        "clients ask for /metrics, each time on a new connection",
        "answers of 60 KB",
        scraping,
        connections=200,
        addresses=8,
    ),
    _attack("idle", "clients connect and send nothing", "nothing", idle, connections=5_000),
    _attack(
        "idle-after-an-answer",
        "clients ask once and keep the connection open",
        "one request",
        idle_after_an_answer,
        connections=5_000,
    ),
    _attack(
        "slow-heads",
        "clients send a request's head very slowly",
        "1 byte per second",
        head_by_bytes,
        connections=1_500,
    ),
    _attack(
        "slow-bodies",
        "clients announce a body of 1 GB and send it very slowly",
        "2 bytes per second",
        body_by_bytes,
        connections=1_500,
    ),
    _attack(
        "endless-bodies",
        "clients send a chunked body that never ends",
        "as fast as the agent reads",
        body_without_end,
        connections=100,
    ),
    _attack("garbage", "clients send random bytes", "2,000 bytes", garbage, connections=200),
    _attack(
        "ending-at-once",
        "clients send a request and close before the answer",
        "one request",
        ending_at_once,
        connections=100,
    ),
    _attack(
        "crowd",
        "clients ask for /alwayshappy as agents do, but too many of them",
        "one request per connection",
        asking_as_agents_do,
        connections=100,
        addresses=32,
    ),
    _attack(
        "unfinished-handshakes",
        "clients send a ClientHello and nothing more",
        "0.5 KB",
        unfinished_handshake,
        connections=1_500,
        tls=True,
    ),
    _attack(
        "handshakes",
        "clients end the TLS handshake after the server's part",
        "0.5 KB, again and again",
        handshakes,
        connections=50,
        tls=True,
    ),
)
