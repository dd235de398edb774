from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from kubenurse_otel.demo import far_ends
from kubenurse_otel.demo.certificates import Files, make_files
from kubenurse_otel.demo.far_ends import ApiServer, Ingress, listen, obey, run, server_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from kubenurse_otel.demo.far_ends import Serve


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return make_files(tmp_path_factory.mktemp("demo"))


@asynccontextmanager
async def serving(serve: Serve, context: ssl.SSLContext) -> AsyncIterator[int]:
    servers, port = await listen(serve, context)
    try:
        yield port
    finally:
        for server in servers:
            server.close()
        await asyncio.gather(*(server.wait_closed() for server in servers))


async def ask(port: int, files: Files, *headers: str, path: str = "/version") -> str:
    context = ssl.create_default_context(cafile=str(files.service_account / "ca.crt"))
    reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
    try:
        lines = [f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]
        writer.write("\r\n".join(lines).encode())
        async with asyncio.timeout(10):
            return (await reader.read()).decode()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_the_api_server_answers_who_holds_the_token(files: Files) -> None:
    """Its version for the bearer, 401 without or with another token, 404 elsewhere."""
    token = (files.service_account / "token").read_text()
    async with serving(ApiServer(token), server_context(files.api_server)) as port:
        good = f"Authorization: Bearer {token}"
        assert '"gitVersion"' in await ask(port, files, good)
        assert (await ask(port, files)).startswith("HTTP/1.1 401 ")
        assert (await ask(port, files, good + "x")).startswith("HTTP/1.1 401 ")
        assert (await ask(port, files, good, path="/api")).startswith("HTTP/1.1 404 ")


@asynccontextmanager
async def agent(name: str) -> AsyncIterator[str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + name.encode() + b"\n" + head)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture
def nobody() -> str:
    """An address that refuses."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{sock.getsockname()[1]}"


async def test_the_ingress_asks_one_agent_after_the_other(files: Files, nobody: str) -> None:
    """Agents that are down are passed over, and the request's headers reach who answers."""
    ingress = Ingress()
    context = server_context(files.ingress)
    async with agent("a") as a, agent("b") as b, serving(ingress, context) as port:
        obey(f"backends {a} {nobody} {b}", ingress, context)
        answers = [await ask(port, files, "traceparent: 00-1-2-01") for _ in range(4)]

    assert {answer.split("\r\n\r\n")[1].split("\n")[0] for answer in answers} == {"a", "b"}
    assert all("traceparent: 00-1-2-01\r\nConnection: close\r\n\r\n" in a for a in answers)


async def test_an_ingress_without_agents_says_503(files: Files, nobody: str) -> None:
    """Nothing behind it is an answer, too."""
    ingress = Ingress()
    ingress.set_backends([nobody])
    async with serving(ingress, server_context(files.ingress)) as port:
        assert (await ask(port, files)).startswith("HTTP/1.1 503 ")


async def test_the_ingress_is_late_by_what_it_is_told(files: Files) -> None:
    """A delay begins with the command and ends with the next."""
    ingress, context = Ingress(), server_context(files.ingress)
    async with serving(ingress, context) as port:
        obey("delay 60", ingress, context)
        waiting = asyncio.create_task(ask(port, files))
        obey("delay 0", ingress, context)
        assert (await ask(port, files)).startswith("HTTP/1.1 503 ")
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_the_stand_ins_obey_stdin_and_end_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They say their ports, repeat each command when it is done, and never outlive the demo."""
    files = make_files(tmp_path)
    reading, writing = os.pipe()
    with os.fdopen(reading) as stdin, os.fdopen(writing, "w", buffering=1) as commands:
        monkeypatch.setattr("sys.stdin", stdin)
        running = asyncio.create_task(run(tmp_path))
        commands.write("delay 0\n")
        shown = ""
        async with asyncio.timeout(10):
            while shown.count("\n") < 2:
                shown += capsys.readouterr().out
                await asyncio.sleep(0.01)
        ports, done = shown.splitlines()
        assert done == "delay 0"
        assert (await ask(json.loads(ports)["api_server"], files)).startswith("HTTP/1.1 401 ")
        commands.close()
        async with asyncio.timeout(10):
            await running


async def test_a_port_that_only_one_family_has_is_not_used(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """localhost is both families: the stand-ins listen on one port of both, or try another."""
    monkeypatch.setattr(far_ends, "_localhost_has_ipv6", lambda: True)
    create_server, refused = socket.create_server, []

    def refuse_once(address: tuple[str, int], **options: Any) -> socket.socket:
        if address[0] == "::1":
            if not refused:
                refused.append(address[1])
                raise OSError(errno.EADDRINUSE, "taken")
            return create_server(("127.0.0.2", address[1]))  # machines without IPv6 test this, too
        return create_server(address, **options)

    monkeypatch.setattr(socket, "create_server", refuse_once)
    async with serving(Ingress(), server_context(files.ingress)) as port:
        assert refused
        assert port != refused[0]


async def test_a_machine_that_has_no_port_says_so(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After twenty ports that one family does not have, the system's word is passed on."""
    monkeypatch.setattr(far_ends, "_localhost_has_ipv6", lambda: True)
    create_server = socket.create_server

    def refuse(address: tuple[str, int], **options: Any) -> socket.socket:
        if address[0] == "::1":
            raise OSError(errno.EADDRNOTAVAIL, "no IPv6")
        return create_server(address, **options)

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(OSError, match="no IPv6"):
        await listen(Ingress(), server_context(files.ingress))


async def test_an_expired_certificate_is_shown_to_who_comes_next(files: Files) -> None:
    """The swap needs no restart, and can be undone."""
    ingress, context = Ingress(), server_context(files.ingress)
    async with serving(ingress, context) as port:
        obey(f"certificate {files.expired}", ingress, context)
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            await ask(port, files)
        obey(f"certificate {files.ingress}", ingress, context)
        assert (await ask(port, files)).startswith("HTTP/1.1 503 ")


def test_an_unknown_command_is_a_bug(files: Files) -> None:
    """The demo and its stand-ins are one program."""
    with pytest.raises(ValueError, match="'sing'"):
        obey("sing", Ingress(), server_context(files.ingress))


def test_the_files_of_a_service_account_are_all_there(tmp_path: Path) -> None:
    """An agent finds what it would find in a pod."""
    files = make_files(tmp_path)

    assert {path.name for path in files.service_account.iterdir()} == {
        "token",
        "ca.crt",
        "namespace",
    }
    assert all(path.is_file() for path in (files.api_server, files.ingress, files.expired))
