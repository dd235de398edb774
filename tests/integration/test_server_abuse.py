"""Clients that mean harm, or know no better: nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import struct
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running_server import LOOPBACK, PATIENCE_SECONDS, ask, client, get, running
from waiting import until

from kubenurse_otel.semconv import Refusal
from kubenurse_otel.server.connection import Connection
from kubenurse_otel.server.connections import Stage
from kubenurse_otel.server.reader import MAX_HEAD_BYTES

if TYPE_CHECKING:
    from kubenurse_otel.server import Server


def connections(server: Server) -> int:
    assert server._connections is not None
    return len(server._connections)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"garbage\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET /ready HTTP/1.1\r\n\r\n", 400),
        (b"GET /ready HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET /ready HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET /ready HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 413),
        (b"GET /ready HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200),
        (b"GET /ready HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx", 413),
        (b"GET /ready HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /ready HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        (b"BREW /ready HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"POST /ready HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 405),
        (b"CONNECT agent:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"GET /" + b"a" * 20_000, 431),
        (get("/ready", "X: " + "a" * 20_000), 431),
        (get("/ready", *(f"X-{number}: y" for number in range(3_000))), 431),
        (b"GET /ready HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 200),
    ],
)
async def test_what_is_refused_and_how(request_bytes: bytes, status: int) -> None:
    """What is no request of ours gets its status, whole, and the connection ends."""
    async with running() as here, client(here.port) as connection:
        connection.send(request_bytes)
        answer = await connection.answer()
        assert answer.status == status
        if status != 200:
            assert answer.headers["connection"] == "close"
            assert await connection.ended() == b""
        assert (await ask(here.port, "/ready")).status == 200


async def test_a_large_body_is_refused_readably_and_not_taken() -> None:
    """Who sends a body without end reads the refusal and is cut off after a bounded part."""
    async with running() as here, client(here.port) as connection:
        connection.send(b"POST /alive HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n")
        assert (await connection.answer()).status == 405
        with contextlib.suppress(OSError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while connections(here.server):
                    connection.send(b"x" * 65_536)
                    await connection.writer.drain()
        assert connections(here.server) == 0


async def test_who_lingers_after_a_refusal_is_ended() -> None:
    """A refused client that does not close is closed after a second."""
    async with running() as here, client(here.port) as connection:
        connection.send(b"garbage\r\n\r\n")
        assert (await connection.answer()).status == 400
        assert connections(here.server) == 1
        await until(lambda: connections(here.server) == 0)


async def test_slow_heads_are_ended_and_delay_nobody() -> None:
    """Silent and dribbling clients are ended by the deadline; others are answered meanwhile."""
    async with running() as here, client(here.port) as silent, client(here.port) as slow:
        started = asyncio.get_running_loop().time()
        slow.send(b"GET /ready HTTP/1.1\r\n")
        ended = asyncio.create_task(slow.ended())
        while not ended.done():
            with contextlib.suppress(OSError):
                slow.send(b"X: y\r\n")
            assert (await ask(here.port, "/alwayshappy")).status == 200
            await asyncio.sleep(0.1)
        with contextlib.suppress(OSError):
            await ended
        assert await silent.ended() == b""
        took = asyncio.get_running_loop().time() - started
        assert Stage.READING.value <= took < PATIENCE_SECONDS


async def test_a_thousand_idle_connections() -> None:
    """With 1,000 open connections of five clients the next request is answered like the first."""
    async with running(limit=1_500) as here:
        with ExitStack() as stack:
            for number in range(1_000):
                source = (f"127.0.0.{2 + number % 5}", 0)
                stack.enter_context(
                    socket.create_connection((LOOPBACK, here.port), source_address=source)
                )
            await until(lambda: connections(here.server) == 1_000)
            assert (await ask(here.port, "/alwayshappy")).status == 200
        await until(lambda: connections(here.server) == 0)


async def test_at_the_cap_the_most_silent_goes() -> None:
    """With the cap reached a new client is answered and the one silent longest is closed."""
    async with running(limit=3) as here, AsyncExitStack() as stack:
        clients = []
        for number in range(3):
            asking = client(here.port, source=f"127.0.0.{2 + number}")
            clients.append(await stack.enter_async_context(asking))
            clients[-1].send(get("/ready"))
            await clients[-1].answer()
        clients[0].send(get("/ready"))
        await clients[0].answer()
        assert (await ask(here.port, "/alwayshappy")).status == 200
        assert await clients[1].ended() == b""
        for kept in (clients[0], clients[2]):
            kept.send(get("/ready"))
            assert (await kept.answer()).status == 200
        assert here.around.refusals[Refusal.CONNECTIONS] == 1


async def test_pipelined_requests_are_answered_in_order() -> None:
    """Requests sent together get their answers in order, with others served in between."""
    paths = ["/ready", "/nothing", "/alwayshappy", "/"] * 50
    async with running() as here, client(here.port) as connection:
        connection.send(b"".join(get(path) for path in paths))
        assert (await ask(here.port, "/alwayshappy")).status == 200
        statuses = [(await connection.answer()).status for _ in paths]
        assert statuses == [200, 404, 200, 301] * 50
        connection.send(get("/ready") + get("/ready", "Connection: close") + get("/ready"))
        assert [(await connection.answer()).status for _ in range(2)] == [200, 200]
        assert await connection.ended() == b""


async def test_a_refusal_comes_after_what_was_asked_before_it() -> None:
    """Good requests before garbage are answered, then the garbage is refused."""
    async with running() as here, client(here.port) as connection:
        connection.send(get("/ready") + get("/alwayshappy") + b"garbage\r\n\r\n")
        statuses = [(await connection.answer()).status for _ in range(3)]
        assert statuses == [200, 200, 400]
        assert await connection.ended() == b""


async def test_a_request_in_single_bytes() -> None:
    """However a request is cut, it is answered once it is whole."""
    async with running() as here, client(here.port) as connection:
        connection.writer.get_extra_info("socket").setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )
        for byte in get("/alwayshappy", "X: y"):
            connection.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await connection.answer()).status == 200


async def test_a_slow_reader_gets_everything_and_delays_nobody() -> None:
    """A large answer waits for its reader; the next request on it comes after it."""
    async with running() as here:
        here.around.exposition = os.urandom(8_000_000)
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
            slow.connect((LOOPBACK, here.port))
            slow.sendall(get("/metrics") + get("/ready", "Connection: close"))
            assert here.server._connections is not None
            waiting = here.server._connections
            await until(lambda: waiting.count(Stage.ANSWERING) == 1)
            assert (await ask(here.port, "/alwayshappy")).status == 200
            slow.setblocking(False)
            loop = asyncio.get_running_loop()
            received = bytearray()
            async with asyncio.timeout(PATIENCE_SECONDS):
                while data := await loop.sock_recv(slow, 1_000_000):
                    received += data
        head, _, rest = bytes(received).partition(b"\r\n\r\n")
        assert b"Content-Length: 8000000" in head
        assert rest[:8_000_000] == here.around.exposition
        assert rest[8_000_000:].startswith(b"HTTP/1.1 200 OK")


async def test_who_reads_nothing_is_not_read_either() -> None:
    """While an answer waits for its reader, further requests stay in the kernel's buffers."""
    async with running() as here:
        here.around.exposition = os.urandom(8_000_000)
        with socket.create_connection((LOOPBACK, here.port)) as slow:
            slow.sendall(get("/metrics"))
            waiting = here.server._connections
            assert waiting is not None
            await until(lambda: waiting.count(Stage.ANSWERING) == 1)
            slow.setblocking(False)
            flood = get("/ready") * 20_000
            for _ in range(50):
                with contextlib.suppress(BlockingIOError):
                    slow.send(flood)
                await asyncio.sleep(0)
            (connection,) = waiting
            assert isinstance(connection, Connection)
            assert not connection._reader.held_bytes
            with pytest.raises(BlockingIOError):
                slow.send(flood)


async def test_a_reset_in_the_middle_is_nobodys_problem() -> None:
    """Clients that reset, before, in and after a request, leave nothing behind."""
    async with running() as here:
        here.around.exposition = os.urandom(4_000_000)
        for data in (b"", b"GET /re", get("/ready"), get("/metrics")):
            with socket.create_connection((LOOPBACK, here.port)) as rude:
                rude.sendall(data)
                rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                await asyncio.sleep(0)
        await until(lambda: connections(here.server) == 0)
        assert (await ask(here.port, "/ready")).status == 200


async def test_a_client_that_closes_its_side_still_gets_the_answer() -> None:
    """A half-closed connection with a whole request is answered, then closed."""
    async with running() as here, client(here.port) as connection:
        connection.send(get("/ready"))
        connection.writer.write_eof()
        assert (await connection.answer()).status == 200
        assert await connection.ended() == b""


async def test_without_descriptors_the_most_silent_makes_room(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """When no file can be opened the server ends an old connection, or rests and tries again."""
    async with running() as here:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with ExitStack() as stack:
            asking = [stack.enter_context(socket.socket()) for _ in range(2)]
            for sock in asking:
                sock.connect((LOOPBACK, here.port))
                sock.sendall(get("/ready", "Connection: close"))
                sock.setblocking(False)
            probe = os.dup(0)
            os.close(probe)
            resource.setrlimit(resource.RLIMIT_NOFILE, (probe, hard))
            try:
                await until(lambda: "No connection can be accepted" in caplog.text)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(PATIENCE_SECONDS):
                for sock in asking:
                    assert (await loop.sock_recv(sock, 15)) == b"HTTP/1.1 200 OK"
            async with client(here.port) as idle:
                idle.send(get("/ready"))
                await idle.answer()
                with socket.socket() as late:
                    late.connect((LOOPBACK, here.port))
                    probe = os.dup(0)
                    os.close(probe)
                    resource.setrlimit(resource.RLIMIT_NOFILE, (probe, hard))
                    try:
                        assert await idle.ended() == b""
                    finally:
                        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    chunks=st.lists(
        st.one_of(
            st.binary(max_size=200),
            st.sampled_from(
                [
                    b"GET /ready HTTP/1.1\r\n",
                    b"Host: a\r\n",
                    b"\r\n",
                    b"Content-Length: 3\r\n",
                    b"Transfer-Encoding: chunked\r\n",
                    b"Connection: Upgrade\r\nUpgrade: x\r\n",
                    b"GET /alwayshappy HTTP/1.1\r\nHost: a\r\ntraceparent: 00-1\r\n\r\n",
                    b"x" * MAX_HEAD_BYTES,
                ]
            ),
        ),
        max_size=6,
    )
)
def test_no_bytes_break_it(chunks: list[bytes]) -> None:
    """Whatever comes is answered by HTTP or by an end, and the next client is served."""

    async def scenario() -> None:
        async with running() as here:
            async with client(here.port) as connection:
                for chunk in chunks:
                    connection.send(chunk)
                with contextlib.suppress(OSError):
                    connection.writer.write_eof()
                with contextlib.suppress(OSError):
                    answer = await connection.ended()
                    assert not answer or answer.startswith(b"HTTP/1.1 ")
            assert (await ask(here.port, "/ready")).status == 200
            await until(lambda: connections(here.server) == 0)

    asyncio.run(scenario())
