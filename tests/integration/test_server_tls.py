"""The TLS listener: same endpoints, certificates that change under load, bad handshakes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from running_server import LOOPBACK, PATIENCE_SECONDS, client, get, running
from servers.certificates import write_pair
from waiting import until

from kubenurse_otel.server.connections import Stage

if TYPE_CHECKING:
    from pathlib import Path


class Mounted:
    """A Secret's two files behind a symlink, and a client that trusts their authority."""

    def __init__(self, base: Path) -> None:
        self.authority = trustme.CA()
        self.base = base
        self.version = 0
        self.swap()
        self.client = ssl.create_default_context()
        self.authority.configure_trust(self.client)

    @property
    def config(self) -> dict[str, Any]:
        current = self.base / "current"
        return {
            "use_tls": True,
            "cert_file": current / "tls.crt",
            "cert_key": current / "tls.key",
        }

    def swap(self) -> None:
        self.version += 1
        leaf = self.authority.issue_cert("agent", organization_unit_name=f"v{self.version}")
        directory = self.base / f"v{self.version}"
        directory.mkdir()
        write_pair(leaf, directory)
        link = self.base / "new"
        link.symlink_to(directory)
        link.rename(self.base / "current")


@pytest.fixture
def mounted(tmp_path: Path) -> Mounted:
    return Mounted(tmp_path)


def shown(writer: asyncio.StreamWriter) -> str:
    """Return the version of the certificate that the server showed."""
    subject = dict(part[0] for part in writer.get_extra_info("peercert")["subject"])
    return str(subject["organizationalUnitName"])


async def test_both_listeners_answer(mounted: Mounted) -> None:
    """The TLS port serves what the plain one does, with reuse and Server-Timing."""
    async with running(**mounted.config) as here:
        tls_port = here.server.ports.tls_port
        assert tls_port not in (None, here.port)
        async with client(tls_port, tls=mounted.client, name="agent") as connection:
            for first in (True, False):
                connection.send(get("/alwayshappy"))
                answer = await connection.answer()
                assert answer.status == 200
                assert ("synack" in answer.timing) is first
            connection.send(get("/ready", "Connection: close"))
            assert (await connection.answer()).body == b"ok\n"
            assert await connection.ended() == b""


async def test_a_large_answer_over_tls(mounted: Mounted) -> None:
    """An answer beyond every buffer comes whole to a reader that takes its time."""
    async with running(**mounted.config) as here:
        here.around.exposition = bytes(range(256)) * 20_000
        port = here.server.ports.tls_port
        async with client(port, tls=mounted.client, name="agent") as connection:
            connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
            connection.send(get("/metrics") + get("/ready"))
            waiting = here.server._connections
            assert waiting is not None
            await until(lambda: waiting.count(Stage.ANSWERING) == 1)
            connection.writer.transport.resume_reading()  # type: ignore[attr-defined]
            assert (await connection.answer()).body == here.around.exposition
            assert (await connection.answer()).body == b"ok\n"


async def test_the_certificate_changes_under_load(mounted: Mounted) -> None:
    """A symlink swap is shown to new connections while requests go on, and none fails."""
    async with running(**mounted.config) as here:
        port = here.server.ports.tls_port
        seen: list[str] = []

        async def asking() -> None:
            while "v2" not in seen:
                async with client(port, tls=mounted.client, name="agent") as connection:
                    version = shown(connection.writer)
                    connection.send(get("/alwayshappy", "Connection: close"))
                    assert (await connection.answer()).status == 200
                    seen.append(version)

        async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(asking())
            await until(lambda: "v1" in seen)
            mounted.swap()
        assert set(seen) == {"v1", "v2"}


@pytest.mark.parametrize(
    "data", [b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\x00" * 50]
)
async def test_what_is_no_tls_is_ended(mounted: Mounted, data: bytes) -> None:
    """Plain HTTP and garbage on the TLS port end with an alert, and the next one is served."""
    async with running(**mounted.config) as here:
        port = here.server.ports.tls_port
        assert port is not None
        async with client(port) as connection:
            connection.send(data)
            assert len(await connection.ended()) < 50
        async with client(port, tls=mounted.client, name="agent") as connection:
            connection.send(get("/ready"))
            assert (await connection.answer()).status == 200


async def test_garbage_inside_tls_is_refused_readably(mounted: Mounted) -> None:
    """A bad request over TLS gets its 400."""
    async with running(**mounted.config) as here:
        port = here.server.ports.tls_port
        async with client(port, tls=mounted.client, name="agent") as connection:
            connection.send(b"garbage\r\n\r\n")
            assert (await connection.answer()).status == 400


async def test_a_handshake_that_never_ends_is_ended(mounted: Mounted) -> None:
    """Who says nothing on the TLS port is closed by the same deadline as a silent request."""
    async with running(**mounted.config) as here:
        port = here.server.ports.tls_port
        assert port is not None
        async with client(port) as silent:
            assert await silent.ended() == b""


async def test_a_reset_in_the_handshake(mounted: Mounted) -> None:
    """A client that goes in the middle of the handshake leaves nothing behind."""
    async with running(**mounted.config) as here:
        port = here.server.ports.tls_port
        assert port is not None
        hello = ssl.MemoryBIO()
        tls = mounted.client.wrap_bio(ssl.MemoryBIO(), hello, server_hostname="agent")
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        with socket.create_connection((LOOPBACK, port)) as rude:
            rude.sendall(hello.read())
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connections = here.server._connections
        assert connections is not None
        await until(lambda: len(connections) == 0)
