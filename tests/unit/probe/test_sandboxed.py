"""Where the kernel says nothing (gVisor), nothing is said: no zeros for what nobody knows."""

from __future__ import annotations

import socket
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from opentelemetry.trace import NoOpTracer
from servers.sandboxed import SandboxedSocket

from kubenurse_otel import semconv
from kubenurse_otel.model import Neighbourhood
from kubenurse_otel.probe import kernel
from kubenurse_otel.server import arrival
from kubenurse_otel.server.alwayshappy import AlwaysHappy
from kubenurse_otel.server.arrival import Arrival
from kubenurse_otel.server.message import Peer, Request
from kubenurse_otel.state.incoming import Incoming
from kubenurse_otel.state.known_agents import KnownAgents

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pair() -> Iterator[tuple[SandboxedSocket, socket.socket]]:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        accepted, _ = server.accept()
        with SandboxedSocket(fileno=accepted.detach()) as inside:
            yield inside, client


def test_an_option_that_cannot_be_read_back_is_not_taken(
    pair: tuple[SandboxedSocket, socket.socket],
) -> None:
    """It was accepted, and no stamp would ever come."""
    inside, real = pair
    assert not kernel.enable_timestamps(inside)
    assert kernel.enable_timestamps(real)


def test_tcp_info_that_nobody_fills_is_none(pair: tuple[SandboxedSocket, socket.socket]) -> None:
    """Zero retransmissions would be taken for its word."""
    inside, real = pair
    assert kernel.tcp_info(inside) is None
    assert kernel.tcp_info(real) is not None


def test_how_long_a_request_waited_is_not_known(
    pair: tuple[SandboxedSocket, socket.socket],
) -> None:
    """No stamp came with it, and tcpi_last_data_recv is not filled in."""
    inside, real = pair
    arrival.stamp_arrivals(inside)
    real.sendall(b"GET /")
    buffer = memoryview(bytearray(64))
    size, arrived = arrival.receive(inside, buffer)
    assert bytes(buffer[:size]) == b"GET /"
    assert (arrived.waited_seconds, arrived.retransmits) == (None, None)


def test_the_end_of_a_stream_is_read_without_a_warning(
    pair: tuple[SandboxedSocket, socket.socket],
) -> None:
    """Nothing is asked for beside the bytes: its answer to that is what Python warns of."""
    inside, real = pair
    arrival.stamp_arrivals(inside)
    stamped = kernel.enable_timestamps(inside)
    real.shutdown(socket.SHUT_WR)
    assert kernel.receive(inside, 64, stamped=stamped) == (b"", None)
    assert arrival.receive(inside, memoryview(bytearray(64)))[0] == 0


@pytest.mark.parametrize(
    ("waited_seconds", "entries"), [(None, ["app", "port"]), (0.02, ["wait", "app", "port"])]
)
def test_the_answer_tells_no_wait_that_nobody_knows(
    waited_seconds: float | None, entries: list[str]
) -> None:
    """Who asked would take 0 for "it was read at once"."""
    handler = AlwaysHappy(
        node_name=lambda: "node-1",
        incoming=Incoming(),
        tracer=NoOpTracer(),
        refusals=Counter(),
        agents=KnownAgents(Neighbourhood),
        view=lambda: b"",
    )
    request = Request(
        peer=Peer("10.0.0.1", 40_000, lambda: ("10.0.0.2", 8080), secure=False),
        arrival=Arrival(waited_seconds, None, 0.0, 0),
    )
    told = dict(handler(request).headers)[semconv.HEADER_SERVER_TIMING.encode()].decode()
    assert [entry.partition(";")[0] for entry in told.split(", ")] == entries
