"""A node or its agent stops, hangs or dies, while the network between the nodes is well."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from e2e.faults.agents import wait_until_all_ready
from e2e.faults.fault import Fault
from e2e.faults.figures import FAST_SECONDS, mean, network_stays, others_unmoved

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.cluster import Cluster
    from e2e.cluster.jaeger_api import Trace
    from e2e.faults.scene import Scene

MOST_REFUSED: Final = 20
"""By one neighbour: the agent is back in 3 to 8 s, at one check a second."""
KILLS: Final = 3
"""Neighbours leave out a pod that has not started: maybe no check met the gap before they knew."""
NOTICED_SECONDS: Final = 8.0


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
        what="node_state=ready: the node is good, its agent is not",
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
            what="kubenurse_check_failures_total error_type=response_timeout phase=request by "
            f"{other}",
            at_least=2,
        )
    scene.trace(
        lambda trace: _connected_and_waited(trace, path),
        what="the socket connect is good and short, nothing was lost or sent again, and the root "
        "says response_timeout in phase request",
        tags={"kubenurse.type": path, "kubenurse.error.type": "response_timeout"},
    )
    scene.alerts("KubenurseNodeUnreachable", node=node)
    scene.unmoved(
        f'kubenurse_check_failures_total{{type="{path}", phase!="request"}}',
        what=f"failures of type={path} in any phase but request",
    )
    # A check without an answer has no round trip: what the network took is in the connect.
    connect = f'type="{path}", phase="connect"'
    scene.stays(
        mean("kubenurse_check_phase_duration_seconds", connect),
        lambda value: value < FAST_SECONDS,
        what=f"connect of type={path} is as short as before",
    )
    scene.unmoved(f'kubenurse_loss_delay_seconds_count{{type="{path}"}}', what=f"loss of {path}")
    others_unmoved(scene)


def _connected_and_waited(trace: Trace, path: str) -> bool:
    root, client = trace.root, trace.client
    connects = trace.named("socket connect")
    return (
        root is not None
        and client is not None
        and root.attributes["kubenurse.type"] == path
        and root.attributes["kubenurse.error.type"] == "response_timeout"
        and root.attributes["kubenurse.error.phase"] == "request"
        and [span.status for span in connects] == ["UNSET"]
        and client.attributes["kubenurse.phase.connect"] < FAST_SECONDS
        and client.attributes["kubenurse.tcp.retransmits"] == 0
        and client.attributes["kubenurse.loss"] == 0
        and "kubenurse.duration" not in client.attributes
        and not trace.named("GET /alwayshappy")
    )


def _grows(scene: Scene, counter: str) -> bool:
    deadline = time.monotonic() + NOTICED_SECONDS
    while not scene.grown(counter):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def proof_killed(scene: Scene) -> None:
    node, path = scene.node, f"path_{scene.node}"
    refused = f'kubenurse_check_failures_total{{type="{path}", error_type="connection_refused"}}'
    for _ in range(KILLS - 1):
        if _grows(scene, refused):
            break
        wait_until_all_ready(scene.cluster)
        os.kill(scene.cluster.agent_pid(node), signal.SIGKILL)
    scene.counts(
        refused, what=f"kubenurse_check_failures_total type={path} error_type=connection_refused"
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
        within=90,  # After the third kill it is in back-off.
    )
    # Back-off again, and then neighbours have to hear that it has started.
    scene.shows(
        f'count(kubenurse_check_success{{type="{path}"}} == 1)',
        lambda value: value == len(scene.others),
        what=f"kubenurse_check_success type={path} is 1 at every other node",
        within=90,
    )
    scene.wait(30)
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
    network_stays(scene, f'type="{path}"', what=f"round trip of type={path}")
    others_unmoved(scene)
    scene.no_alert_waits()


def _refused(trace: Trace, path: str) -> bool:
    root, client = trace.root, trace.client
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


FAULTS: Final = (
    Fault(
        "node-frozen",
        "All processes of a node are stopped. Its kernel goes on",
        "Pods on the node accept connections and never answer",
        "errors at path_<node> from every other node (round_trip_error), and a new neighbour only "
        "when Kubernetes has removed the pod",
        frozen,
        proof_frozen,
    ),
    Fault(
        "pod-killed",
        "An agent's process is killed (SIGKILL); kubelet restarts it",
        "Only this pod is gone, for some seconds",
        "connect_done and round_trip_error at path_<node>, each failed check counted twice",
        agent_killed,
        proof_killed,
    ),
    Fault(
        "pod-hanging",
        "An agent's process hangs (SIGSTOP): it accepts connections and never answers",
        "Only this pod hangs",
        "round_trip_error at path_<node>, the same as for a dead network",
        agent_hanging,
        proof_hanging,
        "node-3",
    ),
)
