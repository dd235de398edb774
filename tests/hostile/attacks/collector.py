"""A collector that takes every export and answers it badly. Harmless bytes: zeros and blanks."""

from __future__ import annotations

import functools
import zlib
from typing import TYPE_CHECKING, Final

from servers.behaviours import head

from hostile import network
from hostile.attack import Attack, Group
from hostile.serving import grpc_answering, serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers import Behaviour
    from servers.fault_server import Connection

    from hostile.agent import Agent

PORT: Final = 4318
ENVIRONMENT: Final = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{network.COLLECTOR}:{PORT}",
    "OTEL_METRICS_EXPORTER": "prometheus,otlp",
    "OTEL_METRIC_EXPORT_INTERVAL": "1000",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "2000",
    "OTEL_BSP_SCHEDULE_DELAY": "1000",
    "KUBENURSE_TRACE_RATIO": "1",
}
FAILURES: Final = 3
"""At least so many in 10 s: an attempt takes 2 s, and the first are refused by nobody there."""


@functools.cache
def bomb() -> bytes:
    """400 KB that unpack to 400 MB of zeros."""
    packer = zlib.compressobj(wbits=31)
    return b"".join(packer.compress(bytes(1_000_000)) for _ in range(400)) + packer.flush()


def endless_answer(connection: Connection) -> None:
    connection.read_request()
    connection.send(head(200, [("Content-Type", "application/x-protobuf")]))
    while not connection.server.stopping.is_set():
        connection.socket.sendall(bytes(65_536))


def endless_headers(connection: Connection) -> None:
    connection.read_request()
    connection.send(b"HTTP/1.1 200 OK\r\n")
    while not connection.server.stopping.is_set():
        connection.socket.sendall(b"a:b\r\n" * 4_096)


def endless_header(connection: Connection) -> None:
    connection.read_request()
    connection.send(b"HTTP/1.1 200 OK\r\nX-Filler: ")
    while not connection.server.stopping.is_set():
        connection.socket.sendall(b"y" * 65_536)


def endless_interim(connection: Connection) -> None:
    connection.read_request()
    while not connection.server.stopping.is_set():
        connection.socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000)


def endless_trailers(connection: Connection) -> None:
    """A sound answer in chunks, whose last one is followed by trailers (RFC 9112 7.1.2)."""
    connection.read_request()
    connection.send(head(200, [("Transfer-Encoding", "chunked")]) + b"0\r\n")
    while not connection.server.stopping.is_set():
        connection.socket.sendall(b"a:b\r\n" * 4_096)


def gzip_bomb(connection: Connection) -> None:
    connection.read_request()
    headers = [
        ("Content-Type", "application/x-protobuf"),
        ("Content-Encoding", "gzip"),
        ("Content-Length", str(len(bomb()))),
    ]
    connection.send(head(200, headers) + bomb())
    connection.hold()


def trickle(connection: Connection) -> None:
    connection.read_request()
    connection.send(head(200, [("Content-Length", "100000")]))
    while connection.sleep(1.0):
        connection.send(b"\0")


def redirect_loop(connection: Connection) -> None:
    location = f"http://{network.COLLECTOR}:{PORT}/v1/metrics"
    while connection.read_request() is not None:
        connection.send(head(307, [("Location", location), ("Content-Length", "0")]))


def retry_later(connection: Connection) -> None:
    while connection.read_request() is not None:
        connection.send(head(503, [("Retry-After", "3153600000"), ("Content-Length", "0")]))


def silent(connection: Connection) -> None:
    connection.read_request()
    connection.hold()


def exports_are_given_up(agent: Agent) -> Callable[[], str]:
    """An export that ends neither well nor badly is counted nowhere and holds all that follow."""

    def failures() -> float:
        return agent.total("kubenurse_telemetry_exports_total", 'result="failure"')

    def judge() -> str:
        found = failures() - before
        return "" if found >= FAILURES else f"{found:.0f} exports counted as failed"

    before = failures()
    return judge


def _attack(name: str, what: str, load: str, behaviour: Behaviour) -> Attack:
    return Attack(
        f"collector-{name}",
        Group.COLLECTOR,
        what,
        load,
        serving(behaviour, network.COLLECTOR, PORT),
        environment=ENVIRONMENT,
        judge=exports_are_given_up,
    )


ATTACKS: Final = (
    _attack(
        "endless-answer",
        "the answer's body never ends",
        "as fast as the agent reads",
        endless_answer,
    ),
    _attack(
        "endless-headers",
        "the answer's headers never end",
        "5 bytes each, as fast as the agent reads",
        endless_headers,
    ),
    _attack(
        "endless-interim",
        "100 Continue comes again and again",
        "as fast as the agent reads",
        endless_interim,
    ),
    _attack(
        "endless-trailers",
        "the answer's trailers never end",
        "5 bytes each, as fast as the agent reads",
        endless_trailers,
    ),
    _attack(
        "endless-header",
        "one header of the answer never ends",
        "as fast as the agent reads",
        endless_header,
    ),
    _attack(
        "gzip-bomb",
        "the answer is packed and far too large",
        "400 KB that unpack to 400 MB",
        gzip_bomb,
    ),
    _attack("trickle", "the answer comes very slowly", "1 byte per second", trickle),
    _attack(
        "redirect-loop",
        "the answer is a redirect to the same URL",
        "one per request",
        redirect_loop,
    ),
    _attack(
        "retry-later",
        "the answer is 503, to be tried again in 100 years",
        "one per request",
        retry_later,
    ),
    _attack("silent", "the collector reads everything and never answers", "nothing", silent),
    Attack(
        "collector-grpc-large",
        Group.COLLECTOR,
        "the answer by gRPC is far too large",
        "64 MiB",
        grpc_answering(network.COLLECTOR, PORT, size=64 * 1024 * 1024),
        environment={**ENVIRONMENT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        judge=exports_are_given_up,
    ),
)
