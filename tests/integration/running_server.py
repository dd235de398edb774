"""A server on loopback for the tests, and a client that speaks raw bytes to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field, replace
from gzip import compress
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import NoOpTracer

from kubenurse_otel.config import Config, IdentityConfig, ServerConfig
from kubenurse_otel.model import Neighbourhood
from kubenurse_otel.semconv import Refusal
from kubenurse_otel.server import Server
from kubenurse_otel.state.incoming import Incoming
from kubenurse_otel.state.known_agents import KnownAgents
from kubenurse_otel.state.results import Results

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

LOOPBACK = "127.0.0.1"
PATIENCE_SECONDS = 20.0


@dataclass
class Exposition:
    """What telemetry's render returns, as far as the server knows it."""

    body: bytes
    content_type: str
    content_encoding: str = ""


@dataclass
class Surroundings:
    """Everything the server shows, for a test to change."""

    results: Results = field(default_factory=Results)
    incoming: Incoming = field(default_factory=Incoming)
    refusals: Counter[Refusal] = field(default_factory=Counter)
    neighbourhood: Neighbourhood = field(default_factory=Neighbourhood)
    reason: str | None = None
    exposition: bytes | None = b"# TYPE a gauge\na 1\n"
    """None: rendering fails."""
    accepted: list[str] = field(default_factory=list)

    def render(self, accept: str, *, gzip: bool) -> Exposition:
        if self.exposition is None:
            raise RuntimeError("a bug in the renderer")
        self.accepted.append(accept)
        form = "text/plain; version=0.0.4"
        if gzip:
            return Exposition(compress(self.exposition), form, "gzip")
        return Exposition(self.exposition, form)


@dataclass
class Running:
    server: Server
    around: Surroundings

    @property
    def port(self) -> int:
        return self.server.ports.port


@contextlib.asynccontextmanager
async def running(
    *, tracer: Any = None, limit: int | None = None, **config: Any
) -> AsyncIterator[Running]:
    """Start a server on free ports (config: ServerConfig's fields) and stop it at the end."""
    around = Surroundings()
    settings = replace(
        ServerConfig(listen_address=LOOPBACK, port=0, tls_port=0, shutdown_seconds=0), **config
    )
    server = Server(
        Config(identity=IdentityConfig(node_name="node-1"), server=settings),
        results=around.results,
        incoming=around.incoming,
        refusals=around.refusals,
        neighbourhood=lambda: around.neighbourhood,
        render=around.render,
        tracer=tracer or NoOpTracer(),
        ready=lambda: around.reason,
        agents=KnownAgents(lambda: around.neighbourhood),
        judging=None,
        connection_limit=limit,
    )
    await server.start()
    try:
        yield Running(server, around)
    finally:
        await server.stop()


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def timing(self) -> dict[str, float]:
        """Server-Timing's durations by name."""
        entries = (entry.split(";dur=") for entry in self.headers["server-timing"].split(", "))
        return {name: float(value) for name, value in entries}


class Client:
    """One connection that sends what it is told and reads answers one by one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @property
    def port(self) -> int:
        """The port at our end."""
        return int(self.writer.get_extra_info("sockname")[1])

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, *, head: bool = False) -> Answer:
        async with asyncio.timeout(PATIENCE_SECONDS):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            fields = (line.partition(":") for line in lines[1:-2])
            headers = {name.lower(): value.strip() for name, _, value in fields}
            length = 0 if head else int(headers["content-length"])
            return Answer(int(lines[0].split()[1]), headers, await self.reader.readexactly(length))

    async def ended(self) -> bytes:
        """Wait until the server closes; return what came before."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.reader.read()


@contextlib.asynccontextmanager
async def client(
    port: int,
    host: str = LOOPBACK,
    *,
    tls: ssl.SSLContext | None = None,
    name: str | None = None,
    source: str | None = None,
) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection(
        host,
        port,
        ssl=tls,
        server_hostname=name,
        limit=2**24,
        local_addr=(source, 0) if source else None,
    )
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def get(path: str, *lines: str, method: str = "GET", version: str = "1.1") -> bytes:
    """Return a request's bytes; ``lines`` are further header lines."""
    head = (f"{method} {path} HTTP/{version}", "Host: agent", *lines, "", "")
    return "\r\n".join(head).encode("latin-1")


async def ask(
    port: int, path: str, *lines: str, host: str = LOOPBACK, method: str = "GET"
) -> Answer:
    """Send one request on a connection of its own, as agents do."""
    async with client(port, host) as connection:
        connection.send(get(path, *lines, "Connection: close", method=method))
        return await connection.answer(head=method == "HEAD")
