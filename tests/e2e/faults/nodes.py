"""A node or its agent stops, hangs, dies or is slow, while the network between the nodes is well."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from e2e.cluster import ingress
from e2e.faults.agents import wait_until_all_ready
from e2e.faults.fault import Fault
from e2e.misbehaving import server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.cluster import Cluster
    from e2e.cluster.jaeger_api import Span, Trace
    from e2e.faults.scene import Scene

LITTLE_CPU: Final = 0.1
"""Cores for a whole node: kubelet, containerd, kube-proxy and pods."""
SLOW_SECONDS: Final = 1.2
"""More than the slow threshold (its trace is kept), less than a check's timeout."""
SLOW_PORT: Final = 8099
FAST_SECONDS: Final = 0.02
"""A round trip on this machine is below 1 ms; with busy cores it has been seen at some."""
MOST_REFUSED: Final = 20
"""By one neighbour: the agent is back in 3 to 8 s, at one check a second."""


# --- how it is broken -----------------------------------------------------------------------------


@contextmanager
def frozen(cluster: Cluster, node: str) -> Iterator[None]:
    machine = cluster.nodes[node].machine
    machine.freeze()
    try:
        yield
    finally:
        machine.thaw()


@contextmanager
def agent_killed(cluster: Cluster, node: str) -> Iterator[None]:
    os.kill(cluster.agent_pid(node), signal.SIGKILL)
    try:
        yield
    finally:
        wait_until_all_ready(cluster)


@contextmanager
def agent_hanging(cluster: Cluster, node: str) -> Iterator[None]:
    pid = cluster.agent_pid(node)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # kubelet may have restarted it, after a minute.
            os.kill(pid, signal.SIGCONT)
        wait_until_all_ready(cluster)


@contextmanager
def cpu_starved(cluster: Cluster, node: str) -> Iterator[None]:
    machine = cluster.nodes[node].machine
    machine.limit_cpu(LITTLE_CPU)
    try:
        yield
    finally:
        machine.limit_cpu(None)
        wait_until_all_ready(cluster)


@contextmanager
def slow_application(cluster: Cluster, _node: str) -> Iterator[None]:
    """Behind the ingress, which is itself as fast as ever."""
    server.start(
        cluster.edge, server.SLOW, port=SLOW_PORT, host="127.0.0.1", delay_seconds=SLOW_SECONDS
    )
    answer = f"location = /alwayshappy {{ proxy_pass http://127.0.0.1:{SLOW_PORT}; }}"
    try:
        ingress.override(cluster.edge, extra=[answer])
        yield
    finally:
        ingress.override(cluster.edge)
        server.stop(cluster.edge, SLOW_PORT)


# --- what is seen of it ---------------------------------------------------------------------------


def proof_frozen(scene: Scene) -> None:
    takes_connections_and_never_answers(scene)
    # Half of the look-ups go to a CoreDNS there, a third of the requests to the Service: truly
    # broken until Kubernetes takes the node out, which is not as compressed as the alerts are.
    scene.may_alert("KubenurseDNSFailing", "KubenurseServiceFailing", "KubenurseIngressFailing")
    scene.shows(
        f'kubenurse_check_info{{type="path_{scene.node}", node_state="not_ready"}}',
        lambda value: value == 1,
        what=f"kubenurse_check_info type=path_{scene.node} node_state=not_ready",
        within=60,
    )


def proof_hanging(scene: Scene) -> None:
    takes_connections_and_never_answers(scene)
    scene.stays(
        f'kubenurse_check_info{{type="path_{scene.node}", node_state="ready"}}',
        lambda value: value == 1,
        what="node_state=ready: the node is well, its agent is not",
    )
    scene.unmoved(
        'kubenurse_errors_total{type=~"api_server_.+"}', what="errors of the API server's checks"
    )


def takes_connections_and_never_answers(scene: Scene) -> None:
    """The far end's application is blamed, and not the network."""
    node, path = scene.node, f"path_{scene.node}"
    for other in scene.others:
        scene.shows(
            f'kubenurse_check_success{{type="{path}", node="{other}"}}',
            lambda value: value == 0,
            what=f"kubenurse_check_success type={path} from {other} is 0",
        )
        scene.counts(
            "kubenurse_check_failures_total"
            f'{{type="{path}", node="{other}", error_type="response_timeout", phase="request"}}',
            what=f"kubenurse_check_failures_total error_type=response_timeout phase=request by {other}",
            at_least=2,
        )
    scene.trace(
        lambda trace: _connected_and_waited(trace, path),
        what="the socket connect is well, the root says response_timeout in phase request, and "
        "kubenurse.network.round_trip is there and short",
        tags={"kubenurse.type": path, "kubenurse.error.type": "response_timeout"},
    )
    scene.alerts("KubenurseNodeUnreachable", node=node)
    scene.unmoved(
        f'kubenurse_check_failures_total{{type="{path}", phase!="request"}}',
        what=f"failures of type={path} in any phase but request",
    )
    _network_stays(scene, f'type="{path}"', what=f"round trip of type={path}")
    _others_unmoved(scene)


def _connected_and_waited(trace: Trace, path: str) -> bool:
    root, client = trace.root, client_of(trace)
    connects = trace.named("socket connect")
    return (
        root is not None
        and client is not None
        and root.attributes["kubenurse.type"] == path
        and root.attributes["kubenurse.error.type"] == "response_timeout"
        and root.attributes["kubenurse.error.phase"] == "request"
        and [span.status for span in connects] == ["UNSET"]
        and client.attributes["kubenurse.network.round_trip"] < FAST_SECONDS
        and "kubenurse.duration" not in client.attributes
        and not trace.named("GET /alwayshappy")
    )


def proof_killed(scene: Scene) -> None:
    node, path = scene.node, f"path_{scene.node}"
    scene.counts(
        f'kubenurse_check_failures_total{{type="{path}", error_type="connection_refused"}}',
        what=f"kubenurse_check_failures_total type={path} error_type=connection_refused",
    )
    scene.trace(
        lambda trace: _refused(trace, path),
        what="the socket connect is refused: error.type connection_refused, nothing after it",
        tags={"kubenurse.type": path, "kubenurse.error.type": "connection_refused"},
    )
    scene.shows(
        f'process_start_time_seconds{{node="{node}"}}',
        lambda value: value > scene.began_at - 1,
        what=f"process_start_time_seconds of {node} is new",
    )
    scene.wait(30)
    scene.stays(
        f'kubenurse_check_success{{type="{path}"}}', lambda value: value == 1, what="success again"
    )
    for other in scene.others:
        scene.unmoved(
            f'kubenurse_errors_total{{type="{path}", node="{other}"}}',
            what=f"more than {MOST_REFUSED} errors of type={path} at {other}",
            by=MOST_REFUSED,
        )
    scene.unmoved(
        f'kubenurse_check_failures_total{{type="{path}",'
        'error_type!~"connection_refused|connection_reset|connection_closed_early"}',
        what=f"failures of type={path} that are neither refused nor cut",
    )
    _network_stays(scene, f'type="{path}"', what=f"round trip of type={path}")
    _others_unmoved(scene)
    scene.no_alert_waits()


def _refused(trace: Trace, path: str) -> bool:
    root, client = trace.root, client_of(trace)
    connects = trace.named("socket connect")
    return (
        root is not None
        and client is not None
        and root.attributes["kubenurse.type"] == path
        and root.attributes["kubenurse.error.phase"] == "connect"
        and bool(connects)
        and all(span.status == "ERROR" for span in connects)
        and "kubenurse.network.round_trip" not in client.attributes
    )


def proof_starved(scene: Scene) -> None:
    node, path = scene.node, f"path_{scene.node}"
    scene.shows(
        _mean("kubenurse_own_delay_seconds", f'node="{node}"'),
        lambda value: value > 0.05,
        what=f"kubenurse_own_delay_seconds of {node} is above 50 ms in the mean",
        within=45,
    )
    for other in scene.others:
        scene.shows(
            _mean("kubenurse_far_end_duration_seconds", f'type="{path}", node="{other}"'),
            lambda value: value > 0.03,
            what=f"kubenurse_far_end_duration_seconds type={path} at {other} is above 30 ms",
            within=45,
        )
    scene.trace(
        lambda trace: _waited_for_its_process(trace, path),
        what="kubenurse.far_end.duration is long and kubenurse.network.round_trip short",
        tags={"kubenurse.type": path},
        within=60,
    )
    _network_stays(scene, f'type="{path}"', what=f"round trip of type={path}")
    _network_stays(
        scene, f'type=~"path_.+", node="{node}"', what=f"round trips that {node} measures"
    )
    _others_unmoved(scene)
    scene.alerts("KubenurseProberSick", node=node, within=150)


def _waited_for_its_process(trace: Trace, path: str) -> bool:
    client = client_of(trace)
    return (
        client is not None
        and client.attributes["kubenurse.type"] == path
        and client.attributes.get("kubenurse.far_end.duration", 0) > 0.1
        and client.attributes["kubenurse.network.round_trip"] < FAST_SECONDS
    )


def proof_slow_application(scene: Scene) -> None:
    ours = 'type="me_ingress"'
    scene.shows(
        f"min({_mean('kubenurse_far_end_duration_seconds', ours)})",
        lambda value: value > SLOW_SECONDS * 0.9,
        what=f"kubenurse_far_end_duration_seconds type=me_ingress is {SLOW_SECONDS} s at every agent",
        within=45,
    )
    scene.trace(
        _waited_for_the_application,
        what="a slow trace: kubenurse.far_end.duration is nearly all of kubenurse.duration, connect, "
        "TLS and kubenurse.network.round_trip are short",
        tags={"kubenurse.type": "me_ingress"},
    )
    scene.wait(30)
    _network_stays(scene, ours, what="round trip of type=me_ingress")
    scene.unmoved("kubenurse_errors_total", what="errors of any type: slow is not failed")
    scene.stays(
        _mean("kubenurse_far_end_duration_seconds", 'type=~"path_.+"'),
        lambda value: value < SLOW_SECONDS / 4,
        what="far end of the checks of nodes",
    )
    scene.no_alert_waits()


def _waited_for_the_application(trace: Trace) -> bool:
    client = client_of(trace)
    if client is None or client.attributes.get("kubenurse.duration", 0) < SLOW_SECONDS:
        return False
    seen = client.attributes
    return (
        seen["kubenurse.far_end.duration"] > SLOW_SECONDS * 0.9
        and seen["kubenurse.network.round_trip"] < FAST_SECONDS
        and seen["kubenurse.phase.connect"] < FAST_SECONDS
        and client.status == "UNSET"
    )


def client_of(trace: Trace) -> Span | None:
    """The CLIENT span of a check."""
    return next((span for span in trace.spans if span.kind == "client"), None)


def _mean(histogram: str, labels: str) -> str:
    return (
        f"rate({histogram}_sum{{{labels}}}[10s]) / (rate({histogram}_count{{{labels}}}[10s]) > 0)"
    )


def _network_stays(scene: Scene, labels: str, *, what: str) -> None:
    scene.stays(
        _mean("kubenurse_network_round_trip_seconds", labels),
        lambda value: value < FAST_SECONDS,
        what=what,
    )
    scene.unmoved(f"kubenurse_loss_delay_seconds_count{{{labels}}}", what=f"loss of {labels}", by=2)


def _others_unmoved(scene: Scene) -> None:
    others = "|".join(scene.others)
    paths = "|".join(f"path_{other}" for other in scene.others)
    scene.unmoved(
        f'kubenurse_errors_total{{type=~"{paths}", node=~"{others}"}}',
        what="errors between the other nodes",
    )


FAULTS: Final = (
    Fault(
        "node-frozen",
        "A node's processes are all stopped; its kernel goes on",
        "Pods on the node take connections and never answer",
        "errors at path_<node> from every other node (round_trip_error), and a new neighbour only "
        "when Kubernetes has removed the pod",
        frozen,
        proof_frozen,
    ),
    Fault(
        "pod-killed",
        "An agent's process is killed (SIGKILL); kubelet restarts it",
        "Nothing but this pod is gone for some seconds",
        "connect_done and round_trip_error at path_<node>, each failed check counted twice",
        agent_killed,
        proof_killed,
    ),
    Fault(
        "pod-hanging",
        "An agent's process hangs (SIGSTOP): it accepts and never answers",
        "Nothing but this pod hangs",
        "round_trip_error at path_<node>, the same as for a dead network",
        agent_hanging,
        proof_hanging,
        "node-3",
    ),
    Fault(
        "node-cpu-starved",
        f"A node has {LITTLE_CPU} of a core for everything",
        "Everything on the node is slow, on a sound network",
        "every duration at the node and to it rises, as if the network were slow",
        cpu_starved,
        proof_starved,
        "node-1",
    ),
    Fault(
        "slow-application",
        f"The application behind the ingress answers after {SLOW_SECONDS} s, on a sound network",
        "Requests through the ingress are slow",
        "me_ingress is slow, without a word on network or application",
        slow_application,
        proof_slow_application,
    ),
)
