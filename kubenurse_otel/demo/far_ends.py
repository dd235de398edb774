"""Stand-ins for the API server and the ingress: `python -m kubenurse_otel.demo.far_ends FOLDER`.

It is a process of its own, so that drawing tables delays no answer. It writes its ports to stdout,
reads commands from stdin (delay SECONDS, certificate FILE, backends HOST:PORT...), and ends when
stdin does.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_HEAD_END: Final = b"\r\n\r\n"
_ANSWER_SECONDS: Final = 30.0


class ApiServer:
    """Answers GET /version, if the request has the token."""

    def __init__(self, token: str) -> None:
        self._authorization = f"Bearer {token}"

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(_HEAD_END)).decode("latin-1")
        request, *headers = head.split("\r\n")
        given = [
            value.strip()
            for name, _, value in (header.partition(":") for header in headers)
            if name.lower() == "authorization"
        ]
        if given != [self._authorization]:
            status, body = "401 Unauthorized", {"message": "Unauthorized"}
        elif request.split(" ")[:2] != ["GET", "/version"]:
            status, body = "404 Not Found", {"message": "Not Found"}
        else:
            status, body = "200 OK", {"gitVersion": "v1.34.4-demo"}
        content = json.dumps(body).encode()
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n"
            f"Content-Length: {len(content)}\r\n\r\n".encode()
            + content
        )
        await writer.drain()


class Ingress:
    """Ends TLS, and passes each request on to the next agent, after ``delay`` seconds."""

    def __init__(self) -> None:
        self.delay = 0.0
        self._backends: list[tuple[str, int]] = []
        self._turn = itertools.count()

    def set_backends(self, addresses: list[str]) -> None:
        """Each is host:port."""
        self._backends = [
            (host, int(port)) for host, _, port in (one.rpartition(":") for one in addresses)
        ]

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(_HEAD_END)
        await asyncio.sleep(self.delay)
        for _ in self._backends:
            host, port = self._backends[next(self._turn) % len(self._backends)]
            try:
                agent_reader, agent_writer = await asyncio.open_connection(host, port)
            except OSError:
                continue
            try:
                # For this hop only (RFC 9110 section 7.6.1): the connection is for one request.
                agent_writer.write(head.removesuffix(b"\r\n") + b"Connection: close\r\n\r\n")
                while chunk := await agent_reader.read(65536):
                    writer.write(chunk)
                    await writer.drain()
            finally:
                agent_writer.close()
            return
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()


def server_context(certificate: Path) -> ssl.SSLContext:
    """Make a server's context from a PEM file with key and chain."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def listen(serve: Serve, context: ssl.SSLContext) -> tuple[list[asyncio.Server], int]:
    """Listen on every address of localhost, on the same port. Return the servers and the port."""

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_ANSWER_SECONDS):
                await serve(reader, writer)
        writer.close()

    for attempt in range(20):
        sockets = [socket.create_server(("127.0.0.1", 0))]
        port: int = sockets[0].getsockname()[1]
        try:
            if _localhost_has_ipv6():
                sockets.append(socket.create_server(("::1", port), family=socket.AF_INET6))
        except OSError:
            sockets[0].close()
            if attempt == 19:
                raise
            continue
        break
    for sock in sockets:
        # Accepted sockets inherit this. asyncio sets it only on sockets that it made itself. Else
        # Nagle's algorithm would delay answers by 40 ms, behind the session tickets of TLS 1.3.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    servers = [await asyncio.start_server(serve_one, sock=sock, ssl=context) for sock in sockets]
    return servers, port


def _localhost_has_ipv6() -> bool:
    try:
        return bool(socket.getaddrinfo("localhost", None, socket.AF_INET6, socket.SOCK_STREAM))
    except socket.gaierror:
        return False


def obey(command: str, ingress: Ingress, context: ssl.SSLContext) -> None:
    """Do what a line of stdin says. A new certificate is for handshakes that begin later."""
    match command.split():
        case ["delay", seconds]:
            ingress.delay = float(seconds)
        case ["certificate", path]:
            context.load_cert_chain(path)
        case ["backends", *addresses]:
            ingress.set_backends(addresses)
        case _:
            raise ValueError(f"unknown command {command!r}")


async def run(folder: Path) -> None:
    """Serve until stdin ends."""
    token = (folder / "serviceaccount" / "token").read_text()
    ingress, context = Ingress(), server_context(folder / "ingress.pem")
    api_servers, api_port = await listen(
        ApiServer(token), server_context(folder / "api-server.pem")
    )
    ingress_servers, ingress_port = await listen(ingress, context)
    print(json.dumps({"api_server": api_port, "ingress": ingress_port}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        obey(line, ingress, context)
        print(line.strip(), flush=True)
    for server in (*api_servers, *ingress_servers):
        server.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(Path(sys.argv[1])))
