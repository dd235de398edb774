"""Whole agents as processes: what their users see from outside."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from agents import Agent, environment, inherited, launch, running, wait_for, write_neighbours
from ports import free_port
from servers import FaultServer, answer

NODES = {"node-a": "127.0.1.1", "node-b": "127.0.1.2", "node-c": "127.0.1.3"}


@pytest.fixture
def port() -> int:
    """A port that is free on every address now."""
    return free_port()


@pytest.fixture
def neighbours(tmp_path: Path) -> Path:
    file = tmp_path / "neighbours.yaml"
    write_neighbours(file, NODES)
    return file


def of_node(node: str, port: int, neighbours: Path, **more: str) -> dict[str, str]:
    """The environment of its agent."""
    return environment(NODES[node], node, port, KUBENURSE_NEIGHBOURS_FILE=str(neighbours), **more)


def checked(agent: Agent, *types: str) -> dict[str, str]:
    """Wait until all of these have been checked; returns their words in /alive."""

    def results() -> dict[str, str] | None:
        found = agent.alive()["last_check_result"]
        return found if set(types) <= set(found) else None

    found: dict[str, str] = wait_for(results, seconds=10, what=f"checks of {types}")
    return found


def test_agents_check_each_other_and_their_service(
    tmp_path: Path, neighbours: Path, port: int
) -> None:
    """Three agents: /alive is 200 with every path ok, the five metrics are there, none failed."""
    neighbours.write_text("[]\n")  # until all of them answer
    environs = [
        of_node(node, port, neighbours, KUBENURSE_SERVICE_URL=f"http://{address}:{port}")
        for node, address in NODES.items()
    ]
    with running(environs, tmp_path) as agents:
        first = agents[0]
        write_neighbours(neighbours, NODES)
        results = checked(first, "me_service", "path_node-b", "path_node-c")
        assert results["path_node-b"] == "ok"
        assert results["me_service"] == "ok"
        assert results["me_ingress"] == "skipped"
        wait_for(lambda: first.get("/alive").status == 200, seconds=10, what="/alive is 200")
        metrics = wait_for(
            lambda: (
                (found := first.metrics())["kubenurse_neighbourhood_incoming_checks"] >= 2 and found
            ),
            seconds=10,
            what="both neighbours asked us",
        )
        for series in (
            'kubenurse_httpclient_request_duration_seconds_bucket{type="path_node-b",le="1"}',
            "kubenurse_httpclient_trace_request_duration_seconds_count"
            '{type="path_node-b",event="got_first_resp_byte"}',
            'kubenurse_httpclient_requests_total{type="me_service",code="200",method="GET"}',
            'kubenurse_network_round_trip_seconds_count{type="path_node-c"}',
            'kubenurse_far_end_duration_seconds_count{type="me_service"}',
            'kubenurse_own_delay_seconds_count{type="path_node-b"}',
            'kubenurse_check_success{type="path_node-b"}',
        ):
            assert metrics[series] >= 1, series
        assert not [series for series in metrics if series.startswith("kubenurse_errors_total")]
        assert not [series for series in metrics if "missed" in series]
        details = first.alive()["details"]["targets"]["path_node-b"]
        assert details["answering_node"] == "node-b"
        assert details["timing_source"] == "kernel"


def test_a_stopped_neighbour_is_one_error_a_check(
    tmp_path: Path, neighbours: Path, port: int
) -> None:
    """A refused connection: one error by event and by cause, /alive 500, one line in the log."""
    environ = of_node("node-a", port, neighbours, KUBENURSE_SHUTDOWN_DURATION="60s")
    write_neighbours(neighbours, {"node-b": "127.0.1.2"})
    with running([environ], tmp_path) as (agent,):
        wait_for(
            lambda: "path_node-b" in agent.alive()["last_check_result"], seconds=30, what="a check"
        )
        assert agent.get("/alive").status == 500
        agent.process.send_signal(signal.SIGTERM)
        wait_for(lambda: agent.get("/ready").status == 503, seconds=30, what="/ready is 503")
        metrics = agent.metrics()
        errors = metrics['kubenurse_errors_total{type="path_node-b",event="connect_done"}']
        failures = metrics[
            "kubenurse_check_failures_total"
            '{type="path_node-b",error_type="connection_refused",phase="connect"}'
        ]
        requests = metrics[
            "kubenurse_httpclient_requests_total"
            '{type="path_node-b",code="round_trip_error",method="GET"}'
        ]
        assert errors == failures == requests >= 1
        assert len([s for s in metrics if s.startswith("kubenurse_errors_total")]) == 1
        assert agent.stop() == 128 + signal.SIGTERM
        assert agent.log().count("path_node-b is bad") == 1


def test_another_agent_at_a_neighbours_address_is_no_good_check(
    tmp_path: Path, neighbours: Path, port: int
) -> None:
    """Node c's agent has node b's address: wrong_peer, with both names; a Service may be anyone."""
    write_neighbours(neighbours, {"node-b": NODES["node-c"]})
    of_a = of_node(
        "node-a", port, neighbours, KUBENURSE_SERVICE_URL=f"http://{NODES['node-c']}:{port}"
    )
    (tmp_path / "none.yaml").write_text("[]")
    of_c = environment(
        NODES["node-c"], "node-c", port, KUBENURSE_NEIGHBOURS_FILE=str(tmp_path / "none.yaml")
    )
    failed = (
        'kubenurse_check_failures_total{type="path_node-b",error_type="wrong_peer",phase="status"}'
    )
    with running([of_c, of_a], tmp_path) as (_, agent):
        told = "expected node node-b, answered node node-c"

        def results() -> bool:  # The first checks may have come before c listened.
            found = agent.alive()["last_check_result"]
            return told in found.get("path_node-b", "") and found.get("me_service") == "ok"

        wait_for(results, seconds=10, what="a wrong peer, and a Service that is well")
        assert agent.get("/alive").status == 500
        wait_for(lambda: failed in agent.metrics(), seconds=10, what="it is counted")
        metrics = agent.metrics()
        good = 'kubenurse_check_success{type="path_node-b"}'
        assert (metrics[good], metrics[good.replace("path_node-b", "me_service")]) == (0, 1)
        assert not [s for s in metrics if "round_trip_seconds" in s and "node-b" in s]


def test_dead_neighbours_delay_nobody_else(tmp_path: Path, neighbours: Path, port: int) -> None:
    """Ten peers that never answer: the one that does misses no tick, theirs are counted."""
    silent = [socket.create_server((f"127.0.2.{n}", port), backlog=1) for n in range(1, 11)]
    write_neighbours(
        neighbours,
        {f"dead-{n}": f"127.0.2.{n}" for n in range(1, 11)} | {"node-b": "127.0.1.2"},
    )
    environs = [
        of_node(node, port, neighbours, KUBENURSE_NEIGHBOUR_LIMIT="0", KUBENURSE_CHECK_TIMEOUT="2s")
        for node in list(NODES)[:2]
    ]
    ticks = 'kubenurse_httpclient_requests_total{type="path_node-b",code="200",method="GET"}'
    try:
        with running(environs, tmp_path) as (agent, _):
            wait_for(
                lambda: any("missed" in series for series in agent.metrics()),
                seconds=30,
                what="the dead ones' ticks are missed",
            )
            before = agent.metrics().get(ticks, 0)
            wait_for(
                lambda: agent.metrics().get(ticks, 0) >= before + 8, seconds=30, what="8 ticks"
            )
            missed = [series for series in agent.metrics() if "missed" in series]
            assert not [series for series in missed if "node-b" in series]
            assert len(missed) == 10
    finally:
        for server in silent:
            server.close()


@pytest.mark.parametrize(
    ("exporters", "more"),
    [("none", {}), ("otlp", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})],
)
def test_metrics_are_served_only_where_prometheus_is_an_exporter(
    tmp_path: Path, neighbours: Path, port: int, exporters: str, more: dict[str, str]
) -> None:
    """A scrape of an agent that only pushes fails, and says why: nothing is stored twice."""
    environ = of_node("node-a", port, neighbours, OTEL_METRICS_EXPORTER=exporters, **more)
    with running([environ], tmp_path) as (agent,):
        answer = agent.get("/metrics")
        assert (answer.status, b"OTEL_METRICS_EXPORTER" in answer.body) == (404, True)
        assert agent.get("/alwayshappy").status == 200


def test_sigterm_stops_checks_at_once_and_answering_later(
    tmp_path: Path, neighbours: Path, port: int
) -> None:
    """/ready turns 503, /alwayshappy goes on for the shutdown time, exit 0 soon after."""
    environ = of_node("node-a", port, neighbours, KUBENURSE_SHUTDOWN_DURATION="6s")
    with running([environ], tmp_path) as (agent,):
        agent.process.send_signal(signal.SIGTERM)
        told = time.monotonic()
        wait_for(lambda: agent.get("/ready").status == 503, seconds=5, what="/ready is 503")
        assert b"shutting_down" in agent.get("/ready").body
        assert agent.get("/alwayshappy").status == 200
        assert agent.process.wait(60) == 0
        assert time.monotonic() - told >= 6


def test_a_second_signal_ends_at_once(tmp_path: Path, neighbours: Path, port: int) -> None:
    """Whoever presses Ctrl-C twice does not want to wait."""
    environ = of_node("node-a", port, neighbours, KUBENURSE_SHUTDOWN_DURATION="60s")
    with running([environ], tmp_path) as (agent,):
        agent.process.send_signal(signal.SIGINT)
        wait_for(lambda: agent.get("/ready").status == 503, seconds=30, what="/ready is 503")
        assert agent.stop(number=signal.SIGINT) == 128 + signal.SIGINT


def test_a_changed_neighbours_file_is_followed(tmp_path: Path, neighbours: Path, port: int) -> None:
    """New ones are checked, gone ones leave /alive and, with the check's state, the metrics."""
    write_neighbours(neighbours, {"node-b": "127.0.1.2"})
    environ = of_node("node-a", port, neighbours)
    with running([environ], tmp_path) as (agent,):
        checked(agent, "path_node-b")
        write_neighbours(neighbours, {"node-c": "127.0.1.3"})
        results = checked(agent, "path_node-c")
        assert "path_node-b" not in results
        assert 'kubenurse_check_success{type="path_node-b"}' not in agent.metrics()
        neighbours.write_text("- {podName: [broken")
        wait_for(
            lambda: agent.alive()["last_check_result"]["neighbourhood_state"] != "ok",
            seconds=10,
            what="a bad state",
        )
        assert "path_node-c" in agent.alive()["last_check_result"]


def test_every_problem_of_the_configuration_is_said_at_once(tmp_path: Path) -> None:
    """Exit 2 before anything starts, each problem with its variable."""
    log_file = tmp_path / "agent.log"
    process = launch(
        environment(
            "127.0.1.1",
            "node-a",
            70000,
            KUBENURSE_CHECK_INTERVAL="soon",
            KUBENURSE_TRACE_RATIO="2",
        ),
        log_file,
    )
    assert process.wait(10) == 2
    for variable in (
        "KUBENURSE_PORT",
        "KUBENURSE_CHECK_INTERVAL",
        "KUBENURSE_TRACE_RATIO",
        "KUBENURSE_NEIGHBOURS_FILE",
    ):
        assert variable in log_file.read_text()


def test_a_taken_port_is_said_and_is_exit_1(tmp_path: Path, neighbours: Path) -> None:
    """With the address, for who has to find the other process."""
    with socket.create_server(("127.0.1.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = launch(
            of_node("node-a", port, neighbours),
            tmp_path / "agent.log",
        )
        assert process.wait(20) == 1
    said = (tmp_path / "agent.log").read_text()
    assert str(port) in said
    assert "Traceback" not in said


def test_a_dead_collector_costs_no_check_and_no_time_at_the_end(
    tmp_path: Path, neighbours: Path, port: int
) -> None:
    """One that accepts and never answers: checks go on, failures are counted, shutdown is short."""
    write_neighbours(neighbours, {"node-b": "127.0.1.2"})
    with socket.create_server(("127.0.0.1", 0)) as collector:
        endpoint = f"http://127.0.0.1:{collector.getsockname()[1]}"
        environs = [
            of_node(
                node,
                port,
                neighbours,
                KUBENURSE_TRACE_RATIO="1",
                OTEL_METRICS_EXPORTER="prometheus,otlp",
                OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
                OTEL_EXPORTER_OTLP_TIMEOUT="300",
                OTEL_BSP_SCHEDULE_DELAY="200",
                OTEL_METRIC_EXPORT_INTERVAL="500",
            )
            for node in list(NODES)[:2]
        ]
        with running(environs, tmp_path) as (agent, _):
            wait_for(
                lambda: any('result="failure"' in series for series in agent.metrics()),
                seconds=20,
                what="a failed export is counted",
            )
            wait_for(
                lambda: checked(agent, "path_node-b")["path_node-b"] == "ok",
                seconds=10,
                what="a good check",
            )
            assert not [series for series in agent.metrics() if "missed" in series]
            told = time.monotonic()
            assert agent.stop() == 0
            assert time.monotonic() - told < 15  # OpenTelemetry's own shutdown takes 40 s here


def test_nothing_that_a_person_configures_ends_the_agent(tmp_path: Path, port: int) -> None:
    """A host that is no IDNA name, a CA without end, a token that nobody writes, a full disk."""
    account = tmp_path / "account"
    account.mkdir()
    for name in ("token", "ca.crt", "namespace"):
        os.mkfifo(account / name)
    with FaultServer(answer()) as proxy:
        environ = environment(
            "127.0.1.1",
            "node-a",
            port,
            KUBENURSE_NEIGHBOURS_FILE="/dev/zero",
            KUBENURSE_EXTRA_CHECKS="poo:HTTP://XN--ls8h.localhost/|tls:https://127.0.0.1:1/"
            f"|ca:{proxy.origin.replace('http', 'https')}/",
            KUBENURSE_USE_PROXY="true",
            HTTP_PROXY=f"user:s3cr3t@127.0.0.1:{proxy.port}",
            KUBENURSE_EXTRA_CA="/dev/zero",
            SSL_CERT_FILE=str(account / "token"),
            KUBENURSE_SERVICE_ACCOUNT_DIR=str(account),
            KUBENURSE_CHECK_API_SERVER_DIRECT="true",
            KUBERNETES_SERVICE_HOST="127.0.0.1",
            KUBERNETES_SERVICE_PORT=str(proxy.port),
            KUBENURSE_CHECK_TIMEOUT="1s",
            OTEL_TRACES_EXPORTER="console,zipkin",
            OTEL_TRACES_SAMPLER="jaeger_remote",
            OTEL_BSP_SCHEDULE_DELAY="100",
            OTEL_SDK_DISABLED="1",
            KUBENURSE_TRACE_RATIO="1",
        )
        log_file = tmp_path / "node-a.log"
        with log_file.open("wb") as log, Path("/dev/full").open("wb") as full:
            process = subprocess.Popen(
                [sys.executable, "-m", "kubenurse_otel"],
                env=inherited() | environ,
                stdout=full,
                stderr=log,
            )
        agent = Agent(process, "127.0.1.1", port, log_file, environ)
        try:
            wait_for(lambda: answers(agent), seconds=60, what="its start")
            results = checked(agent, "poo", "tls", "ca", "api_server_direct")
            assert results["poo"] == "ok"
            assert "EINVAL" not in results["tls"]
            wait_for(
                lambda: (
                    agent.metrics().get(
                        'kubenurse_telemetry_exports_total{signal="traces",result="failure"}', 0
                    )
                    > 0
                ),
                seconds=10,
                what="an export to a full disk that is counted as failed",
            )
            resident = agent.metrics()["process_resident_memory_bytes"]
            bugs = [v for k, v in agent.metrics().items() if k.startswith("kubenurse_unhandled")]
        finally:
            assert agent.stop() == 0, agent.log()
    assert resident < 200e6
    assert bugs
    assert sum(bugs) == 0
    assert proxy.requests[0].line == "GET http://xn--ls8h.localhost:80/ HTTP/1.1"
    assert "s3cr3t" not in agent.log()
    assert "Traceback" not in agent.log()


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_log_that_nobody_reads_holds_nothing_up(
    tmp_path: Path, neighbours: Path, port: int, style: str
) -> None:
    """Standard error is a full pipe from the start on: all is as ever, and SIGTERM ends it."""
    environ = of_node(
        "node-a",
        port,
        neighbours,
        KUBENURSE_EXTRA_CHECKS="refused:http://127.0.0.1:1/",
        KUBENURSE_CHECK_INTERVAL="50ms",
        KUBENURSE_LOG_FORMAT=style,
    )
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    process = subprocess.Popen(
        [sys.executable, "-m", "kubenurse_otel"], env=inherited() | environ, stderr=writer
    )
    os.close(writer)
    agent = Agent(process, "127.0.1.1", port, tmp_path / "no.log", environ)
    try:
        wait_for(lambda: answers(agent), seconds=60, what="its start")
        assert checked(agent, "refused")["refused"] != "ok"
        assert agent.metrics()["kubenurse_log_lines_dropped_total"] == 0
        started = time.monotonic()
        assert agent.stop() == 0
        assert time.monotonic() - started < 10  # 0.5 s of answering, and at most 4 s for the rest
    finally:
        process.kill()
        process.wait()
        os.close(reader)


def answers(agent: Agent) -> bool:
    assert agent.process.poll() is None
    try:
        return agent.get("/ready").status == 200
    except OSError:
        return False
