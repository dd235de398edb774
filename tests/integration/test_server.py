"""The endpoints over real sockets: what is answered, where, and to whom."""

from __future__ import annotations

import asyncio
import fcntl
import gzip
import json
import os
import socket
import termios
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from check_results import result, target
from opentelemetry.trace import NoOpTracer
from running_server import LOOPBACK, Surroundings, ask, client, get, running

from kubenurse_otel.config import Config, ServerConfig
from kubenurse_otel.model import Neighbourhood, TargetKind
from kubenurse_otel.server import Server, ServerError
from kubenurse_otel.server.arrival import receive
from kubenurse_otel.state.incoming import Incoming
from kubenurse_otel.state.known_agents import KnownAgents
from kubenurse_otel.state.results import Results

if TYPE_CHECKING:
    from pathlib import Path


async def test_alwayshappy() -> None:
    """200 with an empty body, our node's name, and how long the request waited and took."""
    async with running() as here:
        answer = await ask(here.port, "/alwayshappy", "KUBENURSE-NEIGHBOUR-ORIGIN: kubenurse-a")
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["kubenurse-node-name"] == "node-1"
        assert answer.headers["connection"] == "close"
        assert set(answer.timing) == {"wait", "app", "port", "synack"}
        assert answer.timing["synack"] == 0
        assert here.around.incoming.count() == 1
        assert len(answer.headers["server-timing"]) < 256


async def test_a_request_that_is_here_with_its_connection_is_answered_at_the_accept() -> None:
    """The event loop is not asked a second time before the answer is with the kernel."""
    async with running() as here:
        with socket.create_connection((LOOPBACK, here.port), timeout=10) as asker:
            asker.sendall(get("/alwayshappy"))
            while fcntl.ioctl(asker, termios.TIOCOUTQ, bytes(4)) != bytes(4):
                os.sched_yield()  # until the server's kernel has acknowledged all of it
            await asyncio.sleep(0)  # the loop looks for events; what they lead to comes behind us
            await asyncio.sleep(0)
            assert asker.recv(16).startswith(b"HTTP/1.1 200")  # the loop stands still meanwhile


async def test_invalid_origins_are_counted() -> None:
    """A header that is no pod's name is answered like any other and counted."""
    async with running() as here:
        answer = await ask(here.port, "/alwayshappy", "KUBENURSE-NEIGHBOUR-ORIGIN: a b")
        assert answer.status == 200
        assert (here.around.incoming.count(), here.around.incoming.invalid) == (0, 1)


async def test_a_connection_is_reused() -> None:
    """Keep-alive serves further requests; only the first tells of the handshake's SYN-ACK.

    Each says which port of the asker we see, as whoever stands in between may keep connections.
    """
    async with running() as here, client(here.port) as connection:
        told = []
        for _ in range(3):
            connection.send(get("/alwayshappy"))
            answer = await connection.answer()
            assert "connection" not in answer.headers
            told.append("synack" in answer.timing)
            assert answer.timing["port"] == connection.port
        assert told == [True, False, False]


async def test_the_wait_in_the_kernel_is_told_apart_from_our_work() -> None:
    """A request that finds the process busy says so: wait is long, app is short."""
    async with running() as here, client(here.port) as connection:
        connection.send(get("/alwayshappy"))
        await connection.answer()
        with socket.create_connection((LOOPBACK, here.port)) as asking:
            await asyncio.sleep(0)
            asking.sendall(get("/alwayshappy"))
            time.sleep(0.08)  # noqa: ASYNC251 - the event loop is meant to be blocked
            connection.send(get("/alwayshappy"))
            await connection.answer()
            asking.settimeout(10)
            head = (await asyncio.to_thread(asking.recv, 4096)).decode()
        entries = head.partition("Server-Timing: ")[2].partition("\r\n")[0].split(", ")
        timing = {name: float(value) for name, value in (e.split(";dur=") for e in entries)}
        assert timing["wait"] >= 75
        assert timing["app"] < timing["wait"] / 2


@pytest.mark.parametrize("stamped", [True, False])
def test_the_coarse_clock_serves_where_there_is_no_stamp(*, stamped: bool) -> None:
    """The stamp is exact; without it tcpi_last_data_recv tells the wait, in whole ms."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        if stamped:
            listener.setsockopt(socket.SOL_SOCKET, 35, 1)
        with socket.create_connection(listener.getsockname()) as asking:
            accepted, _ = listener.accept()
            with accepted:
                asking.sendall(b"hello")
                time.sleep(0.1)
                size, arrival = receive(accepted, memoryview(bytearray(64)))
    assert size == 5
    assert arrival.waited_seconds >= (0.1 if stamped else 0.08)
    assert arrival.retransmits == 0
    assert (arrival.waited_seconds * 1e3).is_integer() is not stamped


async def test_ready_says_why_not() -> None:
    """/ready is 200, or 503 with the reason."""
    async with running() as here:
        assert (await ask(here.port, "/ready")).status == 200
        here.around.reason = "node_leaving"
        answer = await ask(here.port, "/ready")
        assert (answer.status, answer.body) == (503, b"node_leaving\n")


@pytest.mark.parametrize(("override", "status"), [(None, 500), (200, 200)])
async def test_alive(override: int | None, status: int) -> None:
    """/alive is JSON; its status says whether all is well unless the configuration forbids it."""
    async with running(alive_status=override) as here:
        answer = await ask(here.port, "/alive?a=b", "X-Test: 1", "Authorization: Bearer sesame")
        document = json.loads(answer.body)
        assert (answer.status, document["request_uri"]) == (status, "/alive?a=b")
        assert answer.headers["content-type"] == "application/json"
        assert "sesame" not in answer.body.decode()
        assert document["remote_addr"].startswith("127.0.0.1:")
        assert document["details"]["node_name"] == "node-1"
        service = target("me_service", url="http://s/", kind=TargetKind.ME_SERVICE)
        here.around.results.set_targets([service])
        here.around.results.record(result(service))
        answer = await ask(here.port, "/alive")
        assert answer.status == 200
        assert json.loads(answer.body)["last_check_result"]["me_service"] == "ok"


async def test_metrics_by_accept_and_accept_encoding() -> None:
    """The renderer gets Accept; gzip is used where it is accepted."""
    async with running() as here:
        here.around.exposition = b"a_metric 1\n" * 1_000
        plain = await ask(here.port, "/metrics", "Accept: application/openmetrics-text")
        assert plain.body == here.around.exposition
        assert plain.headers["content-type"] == "text/plain; version=0.0.4"
        for _ in range(2):
            packed = await ask(here.port, "/metrics", "Accept-Encoding: gzip")
            assert packed.headers["content-encoding"] == "gzip"
            assert gzip.decompress(packed.body) == here.around.exposition
        assert here.around.accepted == ["application/openmetrics-text", "", ""]


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/", "GET", 301),
        ("/nothing", "GET", 404),
        ("/alive/", "GET", 404),
        ("/alwayshappy", "HEAD", 200),
        ("/alive", "HEAD", 500),
        ("/alwayshappy", "POST", 405),
        ("/alwayshappy", "DELETE", 405),
        ("http://agent/ready", "GET", 200),
        ("/", "OPTIONS", 200),
        ("/alive", "OPTIONS", 200),
        ("*", "OPTIONS", 200),
        ("/alive", "PURGE", 501),
    ],
)
async def test_paths_and_methods(path: str, method: str, status: int) -> None:
    """Only GET, HEAD and OPTIONS, only the known paths; / leads to /alive; no cache keeps it."""
    async with running() as here:
        answer = await ask(here.port, path, method=method)
        assert answer.status == status
        tells = status == 405 or method == "OPTIONS"
        assert answer.headers.get("allow") == ("GET, HEAD, OPTIONS" if tells else None)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers.get("location") == ("/alive" if status == 301 else None)
        names_node = status == 404 or (path == "/alwayshappy" and method == "HEAD")
        assert answer.headers.get("kubenurse-node-name") == ("node-1" if names_node else None)


async def test_the_admin_port_takes_what_is_not_for_probes() -> None:
    """With an admin port the probe port has /alwayshappy and /ready alone."""
    async with running(admin_port=0) as here:
        ports = here.server.ports
        assert ports.admin_port is not None
        paths = ("/alwayshappy", "/ready", "/metrics", "/alive", "/")
        probe = [(await ask(ports.port, path)).status for path in paths]
        admin = [(await ask(ports.admin_port, path)).status for path in paths]
        assert probe == [200, 200, 404, 404, 404]
        assert admin == [404, 404, 200, 500, 301]


async def test_all_addresses_are_ipv4_and_ipv6() -> None:
    """Without a listen address both loopbacks answer, and /alive shows a plain IPv6 address."""
    async with running(listen_address="") as here:
        for host in (LOOPBACK, "::1"):
            assert (await ask(here.port, "/alwayshappy", host=host)).status == 200
        document = json.loads((await ask(here.port, "/alive", host="::1")).body)
        assert document["remote_addr"].startswith("[::1]:")


async def test_the_node_name_is_discoverys_when_nobody_told_us() -> None:
    """Without KUBENURSE_NODE_NAME discovery's word is used; a name that fits no header is not."""
    names = [Neighbourhood()]
    server = Server(
        Config(server=ServerConfig(listen_address=LOOPBACK, port=0)),
        results=Results(),
        incoming=Incoming(),
        refusals=Counter(),
        neighbourhood=lambda: names[0],
        render=Surroundings().render,
        tracer=NoOpTracer(),
        ready=lambda: None,
        agents=KnownAgents(lambda: names[0]),
        judging=None,
    )
    await server.start()
    try:
        told = []
        for name in ("", "node-9", "bad\r\nname"):
            names[0] = replace(names[0], own_node_name=name)
            answer = await ask(server.ports.port, "/alwayshappy")
            told.append(answer.headers.get("kubenurse-node-name"))
        assert told == [None, "node-9", None]
    finally:
        await server.stop()


async def test_haproxys_health_check() -> None:
    """OPTIONS / in HTTP/1.0 without Host, as `option httpchk` asks: 200, and on the probe port."""
    async with running(admin_port=0) as here, client(here.port) as connection:
        connection.send(b"OPTIONS / HTTP/1.0\r\n\r\n")
        answer = await connection.answer()
        assert (answer.status, answer.body) == (200, b"")
        assert await connection.ended() == b""


async def test_http_1_0_keeps_its_connection_where_it_asks_to() -> None:
    """A granted keep-alive says so, and the next request is answered."""
    async with running() as here, client(here.port) as connection:
        for path in ("/alive", "/ready", "/alwayshappy"):
            connection.send(get(path, "Connection: keep-alive", version="1.0"))
            assert (await connection.answer()).headers["connection"] == "keep-alive"
        connection.send(get("/ready", version="1.0"))
        assert (await connection.answer()).headers["connection"] == "close"
        assert await connection.ended() == b""


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_connection_ends_when_the_client_wants_it(version: str) -> None:
    """HTTP/1.0 and Connection: close are answered and closed."""
    async with running() as here, client(here.port) as connection:
        lines = ("Connection: close",) if version == "1.1" else ()
        connection.send(get("/ready", *lines, version=version))
        assert (await connection.answer()).headers["connection"] == "close"
        assert await connection.ended() == b""


async def test_an_upgrade_is_not_taken_up() -> None:
    """Who asks for HTTP/2 is answered in HTTP/1.1."""
    async with running() as here, client(here.port) as connection:
        connection.send(get("/ready", "Connection: Upgrade", "Upgrade: h2c"))
        assert (await connection.answer()).status == 200
        assert await connection.ended() == b""


@pytest.mark.makes_bugs
async def test_a_bug_in_one_answer_is_500_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An endpoint that raises answers 500; the server goes on."""
    async with running() as here:
        here.around.exposition = None
        assert (await ask(here.port, "/metrics")).status == 500
        assert "a bug ended one answer (/metrics)" in caplog.text
        assert (await ask(here.port, "/ready")).status == 200


async def test_a_taken_port_is_an_error_and_leaves_nothing_open() -> None:
    """start() says which variable's port is taken, and the first listener is closed again."""
    async with running() as here:
        with pytest.raises(ServerError, match=f"KUBENURSE_ADMIN_PORT {here.port} on 127.0.0.1"):
            async with running(admin_port=here.port):
                pytest.fail("started")


@pytest.mark.parametrize("missing", [True, False])
async def test_tls_without_a_good_pair_is_an_error(tmp_path: Path, *, missing: bool) -> None:
    """Without certificate and key, or with files that are none, the server does not start."""
    (tmp_path / "x").write_text("nonsense")
    files = {} if missing else {"cert_file": tmp_path / "x", "cert_key": tmp_path / "x"}
    with pytest.raises(ServerError, match="KUBENURSE_CERT_FILE"):
        async with running(use_tls=True, **files):
            pytest.fail("started")


async def test_stopping_ends_idle_connections_and_refuses_new_ones() -> None:
    """stop() closes idle connections, takes no new ones, and may be called again."""
    async with running() as here, client(here.port) as idle:
        idle.send(get("/ready"))
        await idle.answer()
        await here.server.stop()
        assert await idle.ended() == b""
        with pytest.raises(ConnectionRefusedError):
            await ask(here.port, "/ready")
        await here.server.stop()


async def test_stopping_answers_what_is_under_way() -> None:
    """A request that comes while the server stops is still answered, then closed."""
    async with running() as here, client(here.port) as connection:
        connection.send(b"GET /ready HT")
        await connection.writer.drain()
        await ask(here.port, "/ready")
        stopping = asyncio.create_task(here.server.stop())
        await asyncio.sleep(0)
        connection.send(b"TP/1.1\r\nHost: agent\r\n\r\n")
        assert (await connection.answer()).headers["connection"] == "close"
        await stopping
