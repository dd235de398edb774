"""What kubenurse's own CI asks of a deployment, and what else people do with a release."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from e2e import flows
from e2e.cluster import ingress
from e2e.cluster.cluster import NAMESPACE, RELEASE, Cluster, is_ready
from e2e.cluster.credentials import INGRESS_HOST
from e2e.cluster.dns import INGRESS_ADDRESS
from e2e.cluster.observability import Jaeger, Prometheus
from e2e.cluster.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.jaeger_api import Trace

VALUES: dict[str, Any] = {
    "check_interval": "1s",
    "trace_ratio": 0.2,
    "otel": {"endpoint": "http://10.90.0.2:4318", "metricsExporter": "prometheus"},
}
STARVED = "gets too little CPU"
"""What an agent says of itself where its machine is busy."""
CHECKS = {"api_server_direct", "api_server_dns", "me_ingress", "me_service"}
"""Of every agent; a path check for each of the other nodes comes on top."""


def through_ingress(cluster: Cluster, path: str) -> tuple[int, str]:
    """GET a path of the agents through nginx, as someone outside of the cluster does."""
    context = ssl.create_default_context(cafile=str(cluster.credentials.ca_file))
    connection = http.client.HTTPSConnection(INGRESS_HOST, context=context, timeout=10)
    connection.sock = context.wrap_socket(
        socket.create_connection((INGRESS_ADDRESS, 443), timeout=10), server_hostname=INGRESS_HOST
    )
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def agent_page(cluster: Cluster, node: str, path: str) -> str:
    """GET a path of one node's agent."""
    address = cluster.agents()[node]["status"]["podIP"]
    connection = http.client.HTTPConnection(address, 8080, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def agent_logs(cluster: Cluster) -> dict[str, str]:
    """What each agent that runs now has logged, by node."""
    return {
        node: cluster.kubectl(
            "logs", f"--namespace={NAMESPACE}", pod["metadata"]["name"], "--container=kubenurse"
        )
        for node, pod in cluster.agents().items()
    }


def restarts(cluster: Cluster) -> list[int]:
    return [
        status["restartCount"]
        for pod in cluster.agents().values()
        for status in pod["status"]["containerStatuses"]
    ]


def every_check_was_made(cluster: Cluster) -> bool | str:
    """Each agent has figures of every type of check; else which agent lacks what.

    Path checks are not the last ones: an agent whose own address the Service or the ingress did
    not have yet when it became Ready checks these two later (kubenurse_otel/plan/first_checks.py).
    """
    nodes = set(cluster.nodes)
    for node in sorted(nodes):
        page = agent_page(cluster, node, "/metrics")
        types = CHECKS | {f"path_{other}" for other in nodes - {node}}
        lacking = sorted(one for one in types if f'_count{{type="{one}"}}' not in page)
        if lacking:
            return f"{node} has no figures of {lacking}"
    return True


@pytest.fixture(scope="module")
def installed(cluster: Cluster) -> Iterator[Cluster]:
    """The release of `helm install --wait`, restarted once as kubenurse's CI does."""
    cluster.install(VALUES)
    cluster.kubectl("rollout", "restart", f"--namespace={NAMESPACE}", "daemonset/kubenurse")
    cluster.wait_for_rollout()
    wait_for(lambda: every_check_was_made(cluster), seconds=60, what="all checks")
    return cluster


def test_ready_without_a_restart(installed: Cluster) -> None:
    """Every node has one agent; all are Ready and none was restarted."""
    agents = installed.agents()
    assert set(installed.nodes) == set(agents)
    assert all(map(is_ready, agents.values()))
    assert [0] * len(agents) == restarts(installed)


def test_helm_test_passes(installed: Cluster) -> None:
    """`helm test` runs a real check against the installed agent, and shows it; again and again."""
    for _ in range(2):
        printed = installed.helm("test", RELEASE, "--logs", "--namespace", NAMESPACE)
        assert "Phase:          Succeeded" in printed
        assert f"POD LOGS: {RELEASE}-check" in printed


def test_no_unexpected_log_line(installed: Cluster) -> None:
    """Agents that join a cluster with nothing wrong say nothing above INFO, but for their own CPU:
    where a few cores carry all clusters of the tests, that is true.
    """
    for node, log in agent_logs(installed).items():
        assert "starts on node" in log
        unexpected = [
            line for line in log.splitlines() if " INFO " not in line and STARVED not in line
        ]
        assert not unexpected, (node, unexpected)


def test_metrics_through_the_ingress(installed: Cluster) -> None:
    """kubenurse's figures, every neighbour, and no error."""
    status, text = through_ingress(installed, "/metrics")
    assert 200 == status
    assert "kubenurse_httpclient_request_duration_seconds_bucket{" in text
    assert "kubenurse_httpclient_requests_total{" in text
    assert len(installed.nodes) - 1 == len(
        {
            line
            for line in text.splitlines()
            if 'seconds_count{type="path_' in line
            and "request_duration_seconds_count" in line
            and "event" not in line
        }
    )
    assert "kubenurse_errors_total{" not in text


def test_alive_through_the_ingress(installed: Cluster) -> None:
    """All checks ok; the neighbours are listed as kubenurse lists them."""
    status, text = through_ingress(installed, "/alive")
    assert 200 == status
    assert '"neighbourhood_state": "ok"' in text
    found = json.loads(text)["last_check_result"]
    assert dict.fromkeys(CHECKS, "ok") == {name: found.get(name) for name in CHECKS}
    own = json.loads(text)["details"]["node_name"]
    listed = {one["NodeName"] for one in found["neighbourhood"]}
    assert set(installed.nodes) - {own} == listed


def test_no_failed_check_at_all(installed: Cluster) -> None:
    """No agent has counted an error since the restart; nobody complains."""
    prometheus = Prometheus()
    assert [] == prometheus.query("kubenurse_errors_total > 0")
    # That one is true where a few cores carry all clusters of the tests.
    assert set() == prometheus.alerts().firing.keys() - {"KubenurseProberSick"}
    assert {} == prometheus.rule_problems()


def test_a_sampled_trace_has_both_ends(installed: Cluster) -> None:
    """check > GET > connect at one agent, the SERVER span at the other, in one trace."""

    def whole(trace: Trace) -> bool:
        servers = [span for span in trace.spans if span.kind == "server"]
        node = "k8s.node.name"
        return trace.root is not None and any(
            server.resource[node] != trace.root.resource[node] for server in servers
        )

    trace, _ = Jaeger().until(
        whole, seconds=60, what="a trace with both ends", operation="check path", limit=200
    )
    assert [
        "GET",
        "GET /alwayshappy",
        "HTTP connection_setup",
        "check path",
        "socket connect",
    ] == sorted(span.name for span in trace.spans)
    (client,) = [span for span in trace.spans if span.kind == "client"]
    (server,) = [span for span in trace.spans if span.kind == "server"]
    assert client.id == server.parent
    assert client.start <= server.start <= client.start + client.duration


def test_default_ingress_publishes_one_path(installed: Cluster) -> None:
    """Without ingress.paths, /alwayshappy answers and /metrics does not."""
    installed.install(
        {**VALUES, "ingress": {"paths": [{"path": "/alwayshappy", "pathType": "Exact"}]}}
    )
    wait_for(
        lambda: through_ingress(installed, "/metrics")[0] == 404,
        seconds=20,
        what="404 for /metrics at the ingress",
    )
    ingress.wait_until_reloaded(installed.edge)
    assert 200 == through_ingress(installed, "/alwayshappy")[0]
    assert 404 == through_ingress(installed, "/alive")[0]


def test_upgrade_counts_no_error(installed: Cluster) -> None:
    """New values roll over all nodes, and no agent counts a failed check meanwhile."""
    before = {pod["metadata"]["uid"] for pod in installed.agents().values()}
    began = time.time()
    installed.install({**VALUES, "check_interval": "500ms", "log_format": "json"})
    wait_for(lambda: every_check_was_made(installed), seconds=60, what="all checks")
    after = {pod["metadata"]["uid"] for pod in installed.agents().values()}
    assert not before & after
    assert [0] * len(installed.nodes) == restarts(installed)
    prometheus = Prometheus()
    # Series of pods that have gone count, too: the highest value that any of them ever had.
    since = f"{time.time() - began + 5:.0f}s"
    failed = prometheus.query(f"max_over_time(kubenurse_errors_total[{since}]) > 0")
    assert [] == failed
    for log in agent_logs(installed).values():
        lines = [line for line in log.splitlines() if STARVED not in line]
        assert {"INFO"} == {json.loads(line)["severity"] for line in lines}, log


def test_sidecar_scrape_and_push_deliver(installed: Cluster) -> None:
    """A collector beside each agent pushes metrics and traces; the scrape goes on beside it."""
    values = {
        "check_interval": "1s",
        "trace_ratio": 0.2,
        "collector": {"endpoint": "http://10.90.0.2:4317"},
        "otel": {"metricsExporter": "prometheus,otlp"},
        "daemonset": {"extraEnvs": [{"name": "OTEL_METRIC_EXPORT_INTERVAL", "value": "2000"}]},
        "clusterName": "e2e",
    }
    installed.install(values)
    for pod in installed.agents().values():
        assert {"kubenurse", "collector"} == {
            one["name"].removeprefix("kubenurse-otel-") for one in pod["spec"]["containers"]
        }
    nodes = len(installed.nodes)
    prometheus = Prometheus()
    for how, selector in (("scraped", 'pod!=""'), ("pushed", 'pod=""')):
        agents = f'kubenurse_httpclient_requests_total{{{selector}, type=~"path_.*"}}'
        prometheus.until(
            f"count(count by (instance) ({agents}))",
            lambda found: [nodes] == [one.value for one in found],
            seconds=60,
            what=f"requests of {nodes} agents, {how}",
        )
    Jaeger().until(
        lambda trace: (
            trace.root is not None and trace.root.resource.get("k8s.cluster.name") == "e2e"
        ),
        seconds=60,
        what="a trace by the sidecars",
        limit=100,
        lookback=60,
    )


def test_network_policy_allows_every_flow(installed: Cluster) -> None:
    """What conntrack of the nodes has seen of the agents is allowed; what they never do is not."""
    policy = {"networkPolicy": {"enabled": True, "egress": True}}
    installed.install({**VALUES, **policy})
    spec = installed.api.must(
        "GET", f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies/{RELEASE}"
    )["spec"]
    assert {"Ingress", "Egress"} == set(spec["policyTypes"])
    wait_for(lambda: every_check_was_made(installed), seconds=60, what="all checks")
    seen = flows.of_pods(installed, {pod["status"]["podIP"] for pod in installed.agents().values()})
    # DNS, API server, neighbours and Service, ingress, OTLP: each was really there.
    ports = {(flow.protocol, flow.port) for flow in seen if flow.leaves}
    assert {("udp", 53), ("tcp", 6443), ("tcp", 8080), ("tcp", 443), ("tcp", 4318)} <= ports
    assert {("tcp", 8080)} == {(one.protocol, one.port) for one in seen if not one.leaves}
    refused = [flow for flow in seen if not flows.allowed(spec, flow)]
    assert not refused
    foreign = [
        flows.Flow("tcp", "10.91.1.9", 22, leaves=True),
        flows.Flow("udp", "10.90.0.9", 123, leaves=True),
        flows.Flow("tcp", "10.90.0.9", 5432, leaves=True),
        flows.Flow("udp", "10.91.1.9", 8080, leaves=True),
        flows.Flow("tcp", "10.91.1.9", 22, leaves=False),
        flows.Flow("udp", "10.91.1.9", 53, leaves=False),
    ]
    assert not [flow for flow in foreign if flows.allowed(spec, flow)]


def test_uninstall_leaves_nothing(installed: Cluster) -> None:
    """No object that helm or our chart made is left, and no process of ours on any node."""
    rendered = installed.helm("get", "manifest", RELEASE, "--namespace", NAMESPACE)
    kinds = {one["kind"] for one in yaml.safe_load_all(rendered) if one}
    assert {"DaemonSet", "Service", "Ingress", "ClusterRole"} <= kinds
    installed.uninstall()
    # The hook's pod, as the chart's README says: Helm owns no hooks.
    check = f"--selector=app.kubernetes.io/name={RELEASE}-check"
    installed.kubectl("delete", "pod", f"--namespace={NAMESPACE}", check)
    kinds |= {"Pod", "Secret", "ConfigMap", "EndpointSlice", "ControllerRevision"}
    selector = f"--selector=app.kubernetes.io/instance={RELEASE}"
    for kind in sorted(kinds):  # Pods answer for shutdown_duration.
        get = ("get", kind, "--all-namespaces", selector, "--output=name")
        wait_for(
            lambda get=get: installed.kubectl(*get) == "" or installed.kubectl(*get),
            seconds=40,
            what=f"no {kind} of ours",
        )
    owned = installed.kubectl("get", "secrets", f"--namespace={NAMESPACE}", "--output=name")
    assert "sh.helm.release" not in owned
    for name, node in installed.nodes.items():
        running = node.machine.run("ps", "-eo", "args")
        assert "kubenurse-otel" not in running, name
