"""What the server holds for clients is bounded in bytes, and a client's share is not another's."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import ssl
from contextlib import AsyncExitStack, ExitStack, suppress
from typing import TYPE_CHECKING

import pytest
import trustme
from running_server import LOOPBACK, PATIENCE_SECONDS, ask, client, get, running
from waiting import until

from kubenurse_otel.semconv import Refusal
from kubenurse_otel.server import LARGE_BURST
from kubenurse_otel.server.clients import (
    MAX_HANDSHAKES,
    SHARE_BYTES,
    SHARE_CONNECTIONS,
    SHARE_HANDSHAKES,
)
from kubenurse_otel.server.connections import READ_SIZE, SHARE_DRAINING, Connections, Stage

if TYPE_CHECKING:
    from pathlib import Path

    from running_server import Running

CROWD, OTHER = "127.0.0.2", "127.0.0.3"


def held(here: Running) -> Connections:
    assert here.server._connections is not None
    return here.server._connections


def connect(stack: ExitStack, port: int, *, source: str = CROWD) -> socket.socket:
    """A connection that reads nothing, in a small buffer."""
    sock = stack.enter_context(socket.socket())
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.bind((source, 0))
    sock.connect((LOOPBACK, port))
    return sock


async def read_to_the_end(sock: socket.socket) -> None:
    sock.setblocking(False)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await asyncio.get_running_loop().sock_recv(sock, 65_536):
            pass


async def test_unfinished_heads_cost_a_share() -> None:
    """Of 300 heads of 16 KB that never end a client's share is held, and others are answered."""
    async with running() as here:
        with ExitStack() as stack:
            for _ in range(300):
                sock = connect(stack, here.port)
                sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a:b\r\n" * 3_200)
                await asyncio.sleep(0)
            await until(lambda: here.around.refusals[Refusal.BYTES] > 0)
            assert (await ask(here.port, "/alwayshappy")).status == 200
            assert held(here).clients.held_bytes <= SHARE_BYTES + READ_SIZE
        await until(lambda: len(held(here)) == 0)
        assert held(here).clients.held_bytes == 0


async def test_few_unread_answers_of_a_client_are_kept() -> None:
    """Of 50 who ask for a large answer and read nothing few stay; another gets all of it."""
    async with running() as here:
        here.around.exposition = os.urandom(3_000_000)
        with ExitStack() as stack:
            for _ in range(8):
                connect(stack, here.port).sendall(get("/metrics"))
            await until(lambda: here.around.refusals[Refusal.SLOW] == 8 - SHARE_DRAINING)
            assert held(here).count(Stage.ANSWERING) == SHARE_DRAINING
            answer = await ask(here.port, "/metrics")
            assert answer.body == here.around.exposition
            assert (await ask(here.port, "/alwayshappy")).status == 200


async def test_what_waits_in_the_kernel_is_not_answered() -> None:
    """An answer that the kernel has whole and cannot send is one that waits for its reader."""
    async with running() as here:
        here.around.exposition = os.urandom(24_000)
        with ExitStack() as stack:
            for _ in range(SHARE_DRAINING + 3):
                connect(stack, here.port).sendall(get("/metrics"))
            await until(lambda: here.around.refusals[Refusal.SLOW] == 3)
            assert held(here).count(Stage.ANSWERING) == SHARE_DRAINING
            answer = await ask(here.port, "/metrics")
            assert answer.body == here.around.exposition


async def test_what_is_cut_off_stays_in_no_buffer() -> None:
    """The kernel keeps nothing of an answer whose reader was too slow: it gets a reset, no rest."""
    async with running() as here:
        here.around.exposition = os.urandom(3_000_000)
        with ExitStack() as stack:
            slow = [connect(stack, here.port) for _ in range(SHARE_DRAINING + 1)]
            for number, sock in enumerate(slow, start=1):
                sock.sendall(get("/metrics"))
                now = min(number, SHARE_DRAINING)
                await until(lambda: held(here).count(Stage.ANSWERING) == now)  # noqa: B023 - at once
            await until(lambda: here.around.refusals[Refusal.SLOW] == 1)
            with pytest.raises(ConnectionResetError):
                await read_to_the_end(slow[0])


async def test_unread_small_answers_are_not_made() -> None:
    """Who sends 600 requests and reads no answer is answered until its buffers are full."""
    async with running() as here:
        with ExitStack() as stack:
            for _ in range(20):
                sock = connect(stack, here.port)
                sock.setblocking(False)
                sock.send(get("/") * 600)
            await until(lambda: held(here).count(Stage.ANSWERING) == SHARE_DRAINING)
            assert (await ask(here.port, "/alwayshappy")).status == 200
            assert held(here).clients.held_bytes <= SHARE_BYTES


async def test_large_documents_have_a_rate() -> None:
    """Who asks again and again gets 429 and its next answer later; others get the document."""
    async with running() as here, client(here.port) as eager:
        for path in ("/alive", "/metrics"):
            given = -1
            answer = None
            while answer is None or answer.status != 429:
                given += 1
                eager.send(get(path))
                answer = await eager.answer()
            assert given >= LARGE_BURST
            assert answer.headers["retry-after"] == "1"
        loop = asyncio.get_running_loop()
        began = loop.time()
        eager.send(get("/alwayshappy"))
        async with client(here.port, source=OTHER) as other:
            for path, status in (("/alive", 500), ("/metrics", 200)):
                other.send(get(path))
                assert (await other.answer()).status == status
        assert (await ask(here.port, "/alwayshappy")).status == 200
        assert (await eager.answer()).status == 200
        assert loop.time() - began >= Stage.RESTING.value * 0.9
        assert here.around.refusals == {Refusal.RATE: 2}


@pytest.mark.parametrize("sent", ["whole", "half"])
@pytest.mark.parametrize("addresses", [MAX_HANDSHAKES, MAX_HANDSHAKES // SHARE_HANDSHAKES])
async def test_where_handshakes_are_too_many_the_oldest_goes(
    tmp_path: Path, addresses: int, sent: str
) -> None:
    """Whoever comes is served, however many others have begun one and said no more."""
    context, files, hello = tls(tmp_path)
    part = hello if sent == "whole" else hello[: len(hello) // 2]
    async with running(use_tls=True, **files) as here:
        port = here.server.ports.tls_port
        assert port is not None
        with ExitStack() as stack:
            for number in itertools.count():  # a busy machine may have ended the first ones
                if held(here).clients.handshakes == MAX_HANDSHAKES:
                    break
                connect(stack, port, source=f"127.0.1.{1 + number % addresses}").sendall(part)
                await asyncio.sleep(0.005)
            async with client(port, tls=context, name="agent", source=OTHER) as other:
                other.send(get("/alwayshappy"))
                assert (await other.answer()).status == 200
            assert here.around.refusals[Refusal.HANDSHAKES]
        await until(lambda: len(held(here)) == 0)
        assert held(here).clients.handshakes == 0


def tls(tmp_path: Path) -> tuple[ssl.SSLContext, dict[str, Path], bytes]:
    """A client's context, the server's files, and a ClientHello."""
    authority = trustme.CA()
    pair = authority.issue_cert("agent").private_key_and_cert_chain_pem
    pair.write_to_path(str(tmp_path / "pair.pem"))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="agent").do_handshake()
    files = {"cert_file": tmp_path / "pair.pem", "cert_key": tmp_path / "pair.pem"}
    return context, files, outgoing.read()


async def test_unfinished_handshakes_are_few(tmp_path: Path) -> None:
    """A client has few handshakes under way; another one's is ended."""
    context, files, hello = tls(tmp_path)
    async with running(use_tls=True, **files) as here:
        port = here.server.ports.tls_port
        assert port is not None
        with ExitStack() as stack:
            for _ in range(3 * SHARE_HANDSHAKES):
                connect(stack, port).sendall(hello)
            await until(lambda: here.around.refusals[Refusal.HANDSHAKES] == 2 * SHARE_HANDSHAKES)
            async with client(port, tls=context, name="agent", source=OTHER) as other:
                other.send(get("/alwayshappy"))
                assert (await other.answer()).status == 200
        await until(lambda: len(held(here)) == 0)
        assert held(here).clients.handshakes == 0


async def test_a_handshake_with_something_broken_behind_it_is_over(tmp_path: Path) -> None:
    """What comes with a handshake's last bytes may be no TLS: no place for others is lost by it."""
    context, files, _ = tls(tmp_path)
    async with running(use_tls=True, **files) as here:
        port = here.server.ports.tls_port
        assert port is not None
        for _ in range(SHARE_HANDSHAKES + 1):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            channel = context.wrap_bio(incoming, outgoing, server_hostname="agent")
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    try:
                        channel.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        writer.write(outgoing.read())
                        data = await reader.read(65_536)
                        assert data, "refused"
                        incoming.write(data)
                writer.write(outgoing.read() + b"no record" * 8)
                with suppress(ConnectionError):
                    while await reader.read(65_536):
                        pass
            writer.transport.abort()
        await until(lambda: len(held(here)) == 0)
        assert held(here).clients.handshakes == 0
        assert here.around.refusals == {Refusal.REQUEST: SHARE_HANDSHAKES + 1}


async def test_a_client_has_a_share_of_connections() -> None:
    """However many one opens, so many are served, and another is."""
    async with running() as here:
        with ExitStack() as stack:
            for _ in range(SHARE_CONNECTIONS + 10):
                connect(stack, here.port)
            await until(lambda: here.around.refusals[Refusal.CONNECTIONS] == 10)
            assert len(held(here)) == SHARE_CONNECTIONS
            async with client(here.port, source=OTHER) as other:
                other.send(get("/alwayshappy"))
                assert (await other.answer()).status == 200


async def test_a_crowd_of_one_does_not_delay_another() -> None:
    """While 200 connections of one client pipeline without end, another's answer says no wait."""
    async with running() as here, AsyncExitStack() as clients:
        crowd = [
            await clients.enter_async_context(client(here.port, source=CROWD)) for _ in range(200)
        ]
        for one in crowd:
            one.send(get("/nothing") * 100)
        served = asyncio.create_task(crowd[-1].answer())
        async with client(here.port, source=OTHER) as other:
            for _ in range(5):
                other.send(get("/alwayshappy"))
                assert (await other.answer()).status == 200
        waiting = held(here).turns
        assert waiting._again, "another was answered while the crowd still waited"
        assert (await served).status == 404


async def test_who_comes_anew_for_each_request_is_remembered() -> None:
    """A connection that is over with its first answer was its client's turn like any other."""
    async with running() as here:
        with ExitStack() as stack:
            sock = connect(stack, here.port)
            sock.sendall(b"GET /ready HTTP/1.0\r\n\r\n")  # before it is accepted
            await read_to_the_end(sock)
        assert len(held(here)) == 0
        known = held(here).clients.admit(CROWD, lambda: 0.0)
        assert known is not None
        assert known.served_at > 0


async def test_the_kernel_holds_little_of_a_connection() -> None:
    """What accepted sockets may queue in both directions is set, not left to the system."""
    async with running() as here, client(here.port) as connection:
        connection.send(get("/ready"))
        await connection.answer()
        (member,) = held(here)
        sock = member._wire.socket  # type: ignore[attr-defined]
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= 32_768
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 65_536
        assert sock.getsockopt(socket.IPPROTO_TCP, 25) == 4_096
