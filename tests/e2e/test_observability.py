"""Prometheus, Jaeger and the gateway on a machine of their own, with real agents and API objects.

No cluster: pods are objects of a real API server in the machine's network, and an agent runs at
each one's address.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, environment, running, write_neighbours
from apiserver.objects import NAMESPACE, node, pod
from apiserver.real import real_api_server

from e2e.cluster import gateway, observability, polling
from e2e.cluster.errors import ClusterError
from e2e.cluster.jaeger_api import Jaeger, Trace
from e2e.cluster.machine import Machine, network_of, remove_cgroups
from e2e.cluster.prometheus_api import Alerts, Prometheus
from kubenurse_otel import semconv

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes namespaces: needs root")
ADDRESSES = {"node-1": "10.90.0.11", "node-2": "10.90.0.12", "node-3": "10.90.0.13"}
"""No agent runs on node-3: its address refuses."""
PORT = 8080
COMPRESS = 60.0
ANNOTATIONS = {
    "prometheus.io/path": "/metrics",
    "prometheus.io/port": str(PORT),
    "prometheus.io/scheme": "http",
    "prometheus.io/scrape": "true",
}
PODS = 'up{job="kubernetes-pods"}'


@dataclass(frozen=True)
class Stack:
    control: Machine
    agents: list[Agent]
    prometheus: Prometheus
    jaeger: Jaeger
    arguments: dict[str, Any]
    """Of observability.start."""


def annotated(one: dict[str, Any], **labels: str) -> dict[str, Any]:
    one["metadata"]["annotations"] = ANNOTATIONS
    one["metadata"]["labels"] = one["metadata"]["labels"] | labels
    return one


def pods() -> list[dict[str, Any]]:
    """Two agents; one that has ended; and one that does not ask to be scraped."""
    agents = [annotated(pod(name, ADDRESSES[name]), cluster="e2e") for name in ("node-1", "node-2")]
    # A second container with ports must not make a second target.
    agents[0]["spec"]["containers"].append(
        {"name": "collector", "image": "otelcol", "ports": [{"containerPort": 4317}]}
    )
    ended = annotated(pod("node-2", ADDRESSES["node-3"], name="ended", phase="Succeeded"))
    return [*agents, ended, pod("node-2", ADDRESSES["node-3"], name="unasked")]


def agent_environment(name: str, neighbours: Path) -> dict[str, str]:
    return environment(
        ADDRESSES[name],
        name,
        PORT,
        KUBENURSE_NEIGHBOURS_FILE=str(neighbours),
        KUBENURSE_TRACE_RATIO="1",
        OTEL_BSP_SCHEDULE_DELAY="200",
        OTEL_METRIC_EXPORT_INTERVAL="1000",
        OTEL_METRICS_EXPORTER="prometheus,otlp",
        OTEL_RESOURCE_ATTRIBUTES="cluster=e2e",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://10.90.0.2:{gateway.HTTP_PORT}",
    )


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machine = Machine(
        cluster=f"kne-obs-{os.getpid()}",
        name="control",
        address="10.90.0.2",
        folder=tmp_path_factory.mktemp("control") / "machine",
    )
    machine.folder.mkdir()
    try:
        machine.start()
        machine.net("ip", "link", "add", "eth0", "type", "bridge")
        for address in (machine.address, *ADDRESSES.values()):
            machine.net("ip", "address", "add", f"{address}/24", "dev", "eth0")
        machine.net("ip", "link", "set", "eth0", "up")
        yield machine
    finally:
        machine.stop()
        remove_cgroups(machine.cluster)


@pytest.fixture(scope="module")
def stack(control: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """This thread is in the machine's network until the last test has ended."""
    folder = tmp_path_factory.mktemp("stack")
    neighbours = folder / "neighbours.yaml"
    write_neighbours(neighbours, ADDRESSES)
    with ExitStack() as running_now:
        running_now.enter_context(network_of(control.pid))
        api = running_now.enter_context(real_api_server(folder))
        api.put(*(node(name) for name in ADDRESSES), *pods())
        (folder / "token").write_text(api.admin_token)
        arguments: dict[str, Any] = {
            "api_url": f"https://127.0.0.1:{api.port}",
            "ca_file": folder / "ca.crt",
            "token_file": folder / "token",
            "compress": COMPRESS,
        }
        observability.start(control, **arguments)
        running_now.callback(observability.stop, control)
        observability.wait_until_ready(control)
        environs = [agent_environment(name, neighbours) for name in ("node-1", "node-2")]
        agents = running_now.enter_context(running(environs, folder))
        yield Stack(control, agents, Prometheus(), Jaeger(), arguments)


def test_annotated_pods_are_scraped_with_the_labels_that_dashboards_use(stack: Stack) -> None:
    """One target a pod; an ended pod and one without annotations are none."""
    stack.prometheus.until(
        PODS,
        lambda found: [one.value for one in found] == [1, 1],
        seconds=30,
        what="both agents scraped",
    )
    labels = {one.labels["node"]: one.labels for one in stack.prometheus.query(PODS)}
    assert {
        "__name__": "up",
        "job": "kubernetes-pods",
        "instance": f"{ADDRESSES['node-1']}:{PORT}",
        "namespace": NAMESPACE,
        "pod": "kubenurse-node-1",
        "node": "node-1",
        "cluster": "e2e",
        "app_kubernetes_io_name": "kubenurse",
        "kubernetes_node": "node-1",
        "kubernetes_cluster_name": "my-cluster",
    } == labels["node-1"]
    assert {"node-1", "node-2"} == set(labels)


def test_every_rule_works(stack: Stack) -> None:
    """Each has been evaluated, and none has failed."""
    polling.until(
        stack.prometheus.rule_problems, lambda found: not found, seconds=20, what="healthy rules"
    )
    stack.prometheus.until(
        "kubenurse:agent:info",
        lambda found: {"node-1", "node-2"} == {one.labels["node"] for one in found},
        seconds=20,
        what="both agents, as the rules have them",
    )


def test_metrics_that_are_pushed_come_through_the_gateway(stack: Stack) -> None:
    """Under our names, with the resource's attributes that the documentation promotes."""
    stack.prometheus.until(
        'kubenurse_check_success{job="kubenurse-otel"}',
        lambda found: {"node-1", "node-2"} == {one.labels.get("k8s.node.name") for one in found},
        seconds=30,
        what="a pushed gauge of both",
    )
    stack.prometheus.until(
        'otelcol_receiver_accepted_metric_points{job="gateway"}',
        lambda found: found and found[0].value > 0,
        seconds=20,
        what="the gateway's own metrics",
    )


def test_a_query_gives_samples_numbers_or_nothing(stack: Stack) -> None:
    """One value where one is asked for; what is refused says why."""
    assert stack.prometheus.value("1 + 1") == 2
    assert stack.prometheus.value("vector(3)") == 3
    assert stack.prometheus.value("nothing_of_this_name") is None
    assert stack.prometheus.query("vector(1)", at=1000.0)[0].value == 1
    assert stack.prometheus.query(PODS, at=1000.0) == []
    with pytest.raises(ValueError, match="2 samples, not one"):
        stack.prometheus.value(PODS)
    with pytest.raises(ClusterError, match="parse error"):
        stack.prometheus.query("sum(")
    (series,) = stack.prometheus.range("vector(7)", seconds=10, step=2)
    assert [value for _, value in series.points] == [7] * 6
    assert series.points[-1][0] - series.points[0][0] == pytest.approx(10, abs=0.01)


def test_waiting_in_vain_says_what_was_seen_last(stack: Stack) -> None:
    """A fault's run is read by whoever has to find out why."""
    with pytest.raises(AssertionError, match=r"not within 0.6 s: a nine.*vector.*value=8"):
        stack.prometheus.until(
            "vector(8)", lambda found: found[0].value == 9, seconds=0.6, what="a nine"
        )
    with pytest.raises(AssertionError, match=r"not within 0.6 s: no server.*refused"):
        Prometheus("http://10.90.0.2:1").until(
            "vector(1)", lambda found: True, seconds=0.6, what="no server"
        )


def test_an_alert_fires_after_its_compressed_time(stack: Stack) -> None:
    """Two nodes fail to reach a third; scraped and pushed figures of one cluster are one alert."""
    stack.prometheus.until_alerts(
        lambda alerts: (
            [{"cluster": "e2e", "node": "node-3", "severity": "critical"}]
            == alerts.firing.get("KubenurseNodeUnreachable")
        ),
        seconds=40,
        what="KubenurseNodeUnreachable of node-3",
    )


def test_a_trace_has_both_ends(stack: Stack) -> None:
    """check > GET > connection_setup > socket connect by node-1, GET /alwayshappy by node-2."""

    def whole(trace: Trace) -> bool:
        root = trace.root
        return (
            root is not None
            and root.resource["k8s.node.name"] == "node-1"
            and bool(trace.named(semconv.SPAN_SERVER))
        )

    trace, _ = stack.jaeger.until(
        whole,
        seconds=40,
        what="a trace with both ends",
        operation="check path",
        tags={"kubenurse.target.node": "node-2"},
        limit=50,
    )
    root = trace.root
    assert root is not None
    (client,) = trace.children(root)
    (server,) = trace.named(semconv.SPAN_SERVER)
    assert ("internal", "client", "server") == (root.kind, client.kind, server.kind)
    assert "UNSET" == root.status == client.status
    assert server.parent == client.id
    assert server.resource["k8s.node.name"] == "node-2"
    assert server.resource["service.name"] == "kubenurse-otel"
    assert client.attributes[semconv.NETWORK_PEER_ADDRESS] == ADDRESSES["node-2"]
    assert "span.kind" not in client.attributes
    assert client.events[-1].name == semconv.EVENT_FIRST_BYTE
    assert client.events[-1].attributes["kubenurse.offset"] > 0
    assert client.start <= client.events[0].time <= client.start + client.duration + 1e-6
    assert abs(time.time() - root.start) < 300
    assert 0 < client.duration <= root.duration < 2
    assert trace.spans[0] == root


def test_a_failed_check_is_found_by_its_error(stack: Stack) -> None:
    """error=true finds the checks of the node without agent, and they say what failed."""
    trace, _ = stack.jaeger.until(
        lambda one: one.root is not None,
        seconds=40,
        what="a failed check",
        tags={"error": "true", "kubenurse.target.node": "node-3"},
        limit=1,
    )
    assert trace.root is not None
    assert trace.root.status == "ERROR"
    assert trace.root.attributes[semconv.FAILURE_ERROR_TYPE] == "connection_refused"
    assert [] == stack.jaeger.traces(tags={"kubenurse.target.node": "node-9"})
    with pytest.raises(AssertionError, match="a span of nobody"):
        stack.jaeger.until(lambda one: True, seconds=0.3, what="a span of nobody", service="nobody")


def test_the_gateway_alone_stops_and_comes_back(stack: Stack) -> None:
    """Its name is stable, and what agents send is stored again after a new start."""
    stack.control.end(gateway.NAME)
    assert not stack.control.runs(gateway.NAME)
    with pytest.raises(ClusterError, match="gateway"):
        observability.wait_until_ready(stack.control)
    assert [one.value for one in stack.prometheus.query(PODS)] == [1, 1]

    def waits(alerts: Alerts) -> bool:
        exports, node_3 = "KubenurseExportsFailing", "KubenurseNodeUnreachable"
        return exports in alerts.pending and node_3 in alerts.firing

    stack.prometheus.until_alerts(waits, seconds=30, what="an alert that waits, one that fires")
    observability.start_gateway(stack.control)
    observability.wait_until_ready(stack.control)
    back = time.time()
    stack.jaeger.until(
        lambda one: one.root is not None and one.root.start > back,
        seconds=30,
        what="a trace from after",
    )


def test_a_second_start_leaves_what_runs_alone(stack: Stack) -> None:
    """`up` twice is `up` once."""
    before = {name: stack.control.daemon_pids(name) for name in observability.NAMES}
    assert all(before.values())
    observability.start(stack.control, **stack.arguments)
    assert before == {name: stack.control.daemon_pids(name) for name in observability.NAMES}


def test_prometheus_keeps_what_it_knows_over_a_stop(stack: Stack) -> None:
    """All three end; after a new start the past can still be asked."""
    past = time.time() - 2
    assert [one.value for one in stack.prometheus.query(PODS, at=past)] == [1, 1]
    observability.stop(stack.control)
    observability.stop(stack.control)  # nothing more to do
    assert not any(stack.control.runs(name) for name in observability.NAMES)
    with pytest.raises(OSError, match="refused"):
        stack.prometheus.query(PODS)
    observability.start(stack.control, **stack.arguments)
    observability.wait_until_ready(stack.control)
    assert [one.value for one in stack.prometheus.query(PODS, at=past)] == [1, 1]
    stack.prometheus.until(
        PODS, lambda found: [one.value for one in found] == [1, 1], seconds=30, what="new scrapes"
    )
