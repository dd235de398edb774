"""What docs/migration.md promises to who comes from kubenurse, where no other test shows it.

Whole agents as processes, with kubenurse's own variables; everything is seen from outside.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from agents import Agent, environment, running, wait_for
from apiserver.objects import node, pod
from apiserver.stand_in import Handler, StandIn, stand_in
from ports import free_port
from servers import Certificates, FaultServer, Kind, answer, redirect, silent

NEIGHBOURS = "app.kubernetes.io/name=kubenurse"
DEFAULT_LES = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10"]
DURATION = "kubenurse_httpclient_request_duration_seconds"
REQUESTS = "kubenurse_httpclient_requests_total"


@pytest.fixture
def port() -> int:
    """A port that is free on every address now."""
    return free_port()


@pytest.fixture
def alone(tmp_path: Path, port: int) -> Callable[..., dict[str, str]]:
    """The environment of an agent without neighbours, and what is put over it."""
    file = tmp_path / "neighbours.yaml"
    file.write_text("[]")

    def environ(**more: str) -> dict[str, str]:
        own = {"KUBENURSE_NEIGHBOURS_FILE": str(file), "KUBENURSE_CHECK_INTERVAL": "100ms"}
        return environment("127.0.4.1", "node-a", port, **own | more)

    return environ


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[StandIn]:
    """An API server that knows its version, and whose service account lies in a directory."""
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    with stand_in(folder) as server:
        server.always["get nodes"] = _version_or_node
        yield server


def _version_or_node(handler: Handler) -> None:
    name = handler.path.partition("?")[0].rpartition("/")[2]
    if name == "version":
        handler.answer({"gitVersion": "v1.34.4"})
    elif found := handler.server.state.objects["nodes"].get(name):
        handler.answer(found)
    else:
        handler.refuse(404)


def kubenurses_manifest(server: StandIn, address: str, host: str, port: int) -> dict[str, str]:
    """What kubenurse's chart and Kubernetes set, and what one machine for all pods needs."""
    return {
        "KUBENURSE_INSECURE": "true",
        "KUBERNETES_SERVICE_DNS": "127.0.0.1",
        "KUBENURSE_ALLOW_UNSCHEDULABLE": "false",
        "KUBENURSE_NAMESPACE": "kube-system",
        "KUBENURSE_NEIGHBOUR_FILTER": NEIGHBOURS,
        "KUBENURSE_NEIGHBOUR_LIMIT": "10",
        "KUBENURSE_EXPOSE_METADATA": "false",
        "KUBENURSE_VICTORIAMETRICS_HISTOGRAM": "false",
        "KUBENURSE_CHECK_API_SERVER_DIRECT": "true",
        "KUBENURSE_CHECK_API_SERVER_DNS": "true",
        "KUBENURSE_CHECK_ME_INGRESS": "true",
        "KUBENURSE_CHECK_ME_SERVICE": "true",
        "KUBENURSE_CHECK_NEIGHBOURHOOD": "true",
        "KUBENURSE_CHECK_INTERVAL": "500ms",
        "KUBENURSE_REUSE_CONNECTIONS": "false",
        "KUBENURSE_SHUTDOWN_DURATION": "500ms",
        "KUBENURSE_USE_TLS": "false",
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(server.port),
        "KUBENURSE_SERVICE_HOST": "10.96.7.7",
        "KUBENURSE_SERVICE_PORT": "8080",
        "HOSTNAME": host,
    } | {
        "KUBENURSE_NODE_NAME": "",  # the same as not set
        "KUBENURSE_LISTEN_ADDRESS": address,
        "KUBENURSE_PORT": str(port),
        "KUBENURSE_SERVICE_ACCOUNT_DIR": str(server.ca_file.parent),
    }


def results(agent: Agent) -> dict[str, Any]:
    found: dict[str, Any] = agent.alive()["last_check_result"]
    return found


def test_kubenurses_manifest_needs_only_another_image(
    tmp_path: Path,
    cluster: StandIn,
    port: int,
    certificates: Certificates,
    serve: Callable[..., FaultServer],
) -> None:
    """Two agents with kubenurse's variables alone find, check and count each other; all is ok."""
    ingress = serve(answer(), tls=certificates.context(Kind.SELF_SIGNED))
    hosts = {"127.0.4.1": "kubenurse-node-a", "127.0.4.2": "kubenurse-node-b"}
    for (address, host), name in zip(hosts.items(), ("node-a", "node-b"), strict=True):
        cluster.put(node(name), pod(name, address, name=host))
    with ExitStack() as stack:
        agents = []
        for address, host in hosts.items():
            folder = tmp_path / host
            folder.mkdir()
            environ = kubenurses_manifest(cluster, address, host, port) | {
                "KUBENURSE_INGRESS_URL": ingress.origin,
                "KUBENURSE_SERVICE_URL": f"http://{address}:{port}",
            }
            agents += stack.enter_context(running([environ], folder))
        first = agents[0]
        wait_for(lambda: "path_node-b" in results(first), seconds=20, what="a path check")
        wait_for(lambda: "me_ingress" in results(first), seconds=20, what="a check by ingress")
        wait_for(lambda: "me_service" in results(first), seconds=20, what="a check by service")
        wait_for(lambda: first.get("/alive").status == 200, seconds=20, what="/alive is 200")
        document = first.alive()
        found = document["last_check_result"]
        (neighbour,) = found.pop("neighbourhood")
        assert found.pop("full_size", "ok") == "ok"  # made every 30 s: maybe not yet
        assert found == {
            "api_server_direct": "ok",
            "api_server_dns": "ok",
            "me_ingress": "ok",
            "me_service": "ok",
            "neighbourhood_state": "ok",
            "path_node-b": "ok",
        }
        assert (neighbour["PodName"], neighbour["PodIP"]) == ("kubenurse-node-b", "127.0.4.2")
        assert list(neighbour) == ["PodName", "PodIP", "HostIP", "NodeName", "NodeHash"]
        kubenurses = ["hostname", "headers", "user_agent", "request_uri", "remote_addr"]
        assert list(document) == [*kubenurses, "last_check_result", "details"]
        assert [first.get(path).status for path in ("/", "/ready", "/alwayshappy")] == [
            301,
            200,
            200,
        ]
        metrics = wait_for(
            lambda: (
                (now := first.metrics()).get("kubenurse_neighbourhood_incoming_checks") == 1 and now
            ),
            seconds=10,
            what="the neighbour asked us",
        )
        les = [
            series.partition('le="')[2].partition('"')[0]
            for series in metrics
            if series.startswith(f'{DURATION}_bucket{{type="path_node-b"')
        ]
        assert les == [*DEFAULT_LES, "+Inf"]
        assert f'{REQUESTS}{{type="api_server_dns",code="200",method="GET"}}' in metrics
        assert b"#" not in first.get("/metrics").body
        # Room for who sets a memory limit of 128 MiB; what is used is in docs/migration.md.
        assert metrics["process_resident_memory_bytes"] < 112 * 2**20
    assert ingress.requests
    for request in ingress.requests:
        assert "authorization" not in request.headers
        assert not int(request.headers["traceparent"].rpartition("-")[2], 16) & 1  # not sampled


def test_without_an_api_server_checks_go_on_and_readiness_stays(
    tmp_path: Path, cluster: StandIn, port: int, serve: Callable[..., FaultServer]
) -> None:
    """It is away at the start, comes, and goes again: only what depends on it is bad."""
    web = serve(answer())
    serve(answer(), host="127.0.4.2", port=port)
    cluster.put(node("node-a"), pod("node-a", "127.0.4.1"))
    cluster.put(node("node-b"), pod("node-b", "127.0.4.2"))
    cluster.stop()
    environ = kubenurses_manifest(cluster, "127.0.4.1", "kubenurse-node-a", port)
    environ["KUBENURSE_EXTRA_CHECKS"] = f"web:{web.origin}/"
    with running([environ], tmp_path) as (agent,):
        wait_for(lambda: {"web", "api_server_direct"} <= set(results(agent)), seconds=10, what="it")
        found = results(agent)
        assert found["web"] == "ok"
        assert "refused the connection" in found["api_server_direct"]
        assert found["neighbourhood_state"] != "ok"
        assert agent.get("/ready").status == 200
        cluster.start()
        wait_for(lambda: results(agent).get("path_node-b"), seconds=20, what="a neighbour")
        cluster.stop()
        wait_for(
            lambda: results(agent)["neighbourhood_state"] != "ok", seconds=20, what="a bad state"
        )
        asked = f'{REQUESTS}{{type="path_node-b",code="200",method="GET"}}'
        before = agent.metrics()[asked]
        wait_for(lambda: agent.metrics()[asked] > before, seconds=10, what="it is checked on")
        assert agent.get("/ready").status == 200


def test_the_systems_authorities_do_not_vouch_for_the_api_server(
    tmp_path: Path,
    alone: Callable[..., dict[str, str]],
    certificates: Certificates,
    serve: Callable[..., FaultServer],
) -> None:
    """One certificate, known to the system alone: good for an extra check, bad for /version."""
    server = serve(answer(), tls=certificates.context())
    (tmp_path / "ca.crt").write_bytes(certificates.stranger_ca_file.read_bytes())
    environ = alone(
        SSL_CERT_FILE=str(certificates.ca_file),
        KUBENURSE_SERVICE_ACCOUNT_DIR=str(tmp_path),
        KUBENURSE_CHECK_API_SERVER_DIRECT="true",
        KUBERNETES_SERVICE_HOST="127.0.0.1",
        KUBERNETES_SERVICE_PORT=str(server.port),
        KUBENURSE_EXTRA_CHECKS=f"web:{server.origin}/version",
    )
    checked = {"web", "api_server_direct"}
    with running([environ], tmp_path) as (agent,):
        wait_for(lambda: checked <= set(results(agent)), seconds=10, what="both checks")
        assert results(agent)["web"] == "ok"
        assert "is not trusted" in results(agent)["api_server_direct"]
    with running([environ | {"KUBENURSE_EXTRA_CA": str(certificates.ca_file)}], tmp_path) as (
        agent,
    ):
        wait_for(lambda: checked <= set(results(agent)), seconds=10, what="both checks")
        assert results(agent)["api_server_direct"] == "ok"


def test_twelve_failed_checks_are_twelve_errors(
    tmp_path: Path, alone: Callable[..., dict[str, str]], closed_port: int
) -> None:
    """Requests and errors by event come to the same number; no second event counts them again."""
    failed = f'{REQUESTS}{{type="web",code="round_trip_error",method="GET"}}'
    environ = alone(KUBENURSE_EXTRA_CHECKS=f"web:http://127.0.0.1:{closed_port}/")
    with running([environ], tmp_path) as (agent,):
        wait_for(lambda: agent.metrics().get(failed, 0) >= 12, seconds=20, what="twelve checks")
        agent.process.send_signal(signal.SIGTERM)
        wait_for(lambda: agent.get("/ready").status == 503, seconds=5, what="no more checks")
        metrics = agent.metrics()
        errors = {s: count for s, count in metrics.items() if s.startswith("kubenurse_errors")}
        assert errors == {
            'kubenurse_errors_total{type="web",event="connect_done"}': metrics[failed]
        }


def test_a_redirect_is_bad_unless_it_is_expected(
    tmp_path: Path, alone: Callable[..., dict[str, str]], serve: Callable[..., FaultServer]
) -> None:
    """One request with its own status; an error, but for who expects it; nobody is led away."""
    elsewhere = serve(answer())
    door = serve(redirect(elsewhere.url("/")))
    environ = alone(
        KUBENURSE_EXTRA_CHECKS=f"followed:{door.origin}/|wanted:{door.origin}/;expect=200-399"
    )
    with running([environ], tmp_path) as (agent,):
        wait_for(lambda: {"followed", "wanted"} <= set(results(agent)), seconds=10, what="both")
        assert results(agent)["wanted"] == "ok"
        assert "status 301" in results(agent)["followed"]
        metrics = agent.metrics()
        for name in ("followed", "wanted"):
            assert f'{REQUESTS}{{type="{name}",code="301",method="GET"}}' in metrics
        assert [series for series in metrics if series.startswith("kubenurse_errors_total")] == [
            'kubenurse_errors_total{type="followed",event="status_code_301"}'
        ]
    assert not elsewhere.requests


def test_nobody_waits_for_a_silent_target(
    tmp_path: Path, alone: Callable[..., dict[str, str]], serve: Callable[..., FaultServer]
) -> None:
    """While one check hangs in its first try, another has had many, and /alive shows them."""
    good, hanging = serve(answer()), serve(silent)
    environ = alone(
        KUBENURSE_EXTRA_CHECKS=f"good:{good.origin}/|hanging:{hanging.origin}/",
        KUBENURSE_CHECK_TIMEOUT="30s",
    )
    with running([environ], tmp_path) as (agent,):
        wait_for(lambda: len(good.requests) >= 10, seconds=20, what="ten checks of the good one")
        found = results(agent)
        assert hanging.accepted == 1
        assert (found["good"], "hanging" in found) == ("ok", False)


def test_without_the_neighbourhood_the_other_results_are_there(
    tmp_path: Path, alone: Callable[..., dict[str, str]], serve: Callable[..., FaultServer]
) -> None:
    """KUBENURSE_CHECK_NEIGHBOURHOOD=false takes nothing else out of /alive."""
    web = serve(answer())
    environ = alone(
        KUBENURSE_CHECK_NEIGHBOURHOOD="false", KUBENURSE_EXTRA_CHECKS=f"web:{web.origin}/"
    )
    with running([environ], tmp_path) as (agent,):
        wait_for(lambda: "web" in results(agent), seconds=10, what="a check")
        assert results(agent) == {
            "api_server_direct": "skipped",
            "api_server_dns": "skipped",
            "me_ingress": "skipped",
            "me_service": "skipped",
            "neighbourhood_state": "skipped",
            "web": "ok",
        }


def test_a_scrape_has_no_go_metrics_and_le_as_its_format_has_it(
    tmp_path: Path, alone: Callable[..., dict[str, str]], serve: Callable[..., FaultServer]
) -> None:
    """HELP and TYPE, process_* but no go_*; le="1" as text, le="1.0" for who asks OpenMetrics."""
    web = serve(answer())
    environ = alone(KUBENURSE_EXTRA_CHECKS=f"web:{web.origin}/", KUBENURSE_METRICS="kubenurse")
    with running([environ], tmp_path) as (agent,):
        wait_for(
            lambda: f'{DURATION}_count{{type="web"}}' in agent.metrics(), seconds=10, what="one"
        )
        text = agent.get("/metrics").body.decode()
        assert f"# HELP {DURATION} " in text
        assert f'{DURATION}_bucket{{type="web",le="1"}}' in text
        names = {line.partition("{")[0].partition(" ")[0] for line in text.splitlines()} - {"#"}
        assert {name for name in names if name.startswith("process_")} == {
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_start_time_seconds",
        }
        assert not [name for name in names if not name.startswith(("kubenurse_", "process_"))]
        asked = {"Accept": "application/openmetrics-text; version=1.0.0"}
        assert f'{DURATION}_bucket{{type="web",le="1.0"}}' in (
            agent.get("/metrics", asked).body.decode()
        )


def test_series_of_a_gone_node_leave_after_the_ttl(
    tmp_path: Path, alone: Callable[..., dict[str, str]], serve: Callable[..., FaultServer]
) -> None:
    """A node that is no target any more is in no series; a target's series stay."""
    one, other = serve(answer(), host="127.0.4.2"), serve(answer(), host="127.0.4.3")
    file = tmp_path / "some.yaml"
    entries = [
        {"podName": f"kubenurse-{name}", "nodeName": name, "podIP": far.host, "port": far.port}
        for name, far in (("node-b", one), ("node-c", other))
    ]
    file.write_text(yaml.safe_dump(entries))
    environ = alone(KUBENURSE_NEIGHBOURS_FILE=str(file), KUBENURSE_SERIES_TTL="500ms")
    with running([environ], tmp_path) as (agent,):
        both = {"path_node-b", "path_node-c"}
        wait_for(lambda: both <= set(results(agent)), seconds=10, what="both are checked")
        file.write_text(yaml.safe_dump(entries[1:]))
        wait_for(
            lambda: not [series for series in agent.metrics() if "node-b" in series],
            seconds=20,
            what="the series are gone",
        )
        assert f'{DURATION}_count{{type="path_node-c"}}' in agent.metrics()
