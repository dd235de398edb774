"""Nodes that leave: cordoned, drained, deleted, or marked by an autoscaler and then gone."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from e2e.cluster.errors import ClusterError
from e2e.cluster.waiting import wait_for
from e2e.faults.agents import FAILURES, NO_LOAD, wait_until_all_ready
from e2e.faults.fault import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.cluster import Cluster
    from e2e.faults.scene import Scene

AUTOSCALER: Final = "ToBeDeletedByClusterAutoscaler"
HARMLESS: Final = "e2e.example.test/moving"
"""A taint that says nothing of leaving: other pods go elsewhere."""
NOTICE_SECONDS: Final = 15.0
"""From the mark to the end of the machine."""
AWAY_SECONDS: Final = 40.0
"""So long the machine is gone and its Node object stays; alerts are compressed ten-fold."""
STAY_SECONDS: Final = 30.0
DROPPED_SECONDS: Final = 10.0
"""In which every other agent has dropped a marked node."""


# --- how they leave -------------------------------------------------------------------------------


@contextmanager
def cordoned(cluster: Cluster, node: str) -> Iterator[None]:
    cluster.kubectl("cordon", node)
    try:
        yield
    finally:
        _uncordon(cluster, node)


@contextmanager
def all_cordoned(cluster: Cluster, _node: str) -> Iterator[None]:
    nodes = list(cluster.nodes)
    try:
        cluster.kubectl("cordon", *nodes)
        yield
    finally:
        _uncordon(cluster, *nodes)


@contextmanager
def drained(cluster: Cluster, node: str) -> Iterator[None]:
    try:
        cluster.kubectl("drain", node, "--ignore-daemonsets", "--timeout=60s")
        yield
    finally:
        _uncordon(cluster, node)


@contextmanager
def deleted(cluster: Cluster, node: str) -> Iterator[None]:
    """The Node object first, as `kubectl delete node` does; then the machine. No cordon."""
    try:
        cluster.kubectl("taint", "node", node, f"{HARMLESS}:NoSchedule")
        _evict(cluster, node)
        cluster.kubectl("delete", "node", node)
        time.sleep(NOTICE_SECONDS)
        cluster.remove_node(node)
        yield
    finally:
        _bring_back(cluster, node)


@contextmanager
def vanished(cluster: Cluster, node: str) -> Iterator[None]:
    """As the cluster autoscaler does it, without a cordon; nobody deletes the Node object."""
    try:
        cluster.kubectl("taint", "node", node, f"{AUTOSCALER}={time.time():.0f}:NoSchedule")
        _evict(cluster, node)
        time.sleep(NOTICE_SECONDS)
        cluster.remove_node(node)
        yield
    finally:
        _bring_back(cluster, node)


def leave_for_good(cluster: Cluster, node: str) -> None:
    """Take a node away in order: marked, seen by all, its pods ended, its machine gone."""
    cluster.kubectl("cordon", node)
    time.sleep(3)
    _forget(cluster, node)
    cluster.remove_node(node)


def _evict(cluster: Cluster, node: str) -> None:
    """End what is no DaemonSet's in order, as who takes a node away does: CoreDNS."""
    cluster.kubectl(
        *("delete", "pods", "--namespace=kube-system", "--selector=k8s-app=kube-dns"),
        f"--field-selector=spec.nodeName={node}",
    )
    cluster.kubectl(
        *("rollout", "status", "deployment/coredns", "--namespace=kube-system", "--timeout=60s")
    )


def _uncordon(cluster: Cluster, *nodes: str) -> None:
    cluster.kubectl("uncordon", *nodes)
    wait_until_all_ready(cluster)


def _bring_back(cluster: Cluster, node: str) -> None:
    if node in cluster.nodes:
        cluster.remove_node(node)
    _forget(cluster, node)
    back = cluster.add_node()
    if back.name != node:
        raise ClusterError(f"{back.name} was added in place of {node}")
    wait_until_all_ready(cluster)


def _forget(cluster: Cluster, node: str) -> None:
    """Delete a Node object and what was bound to it; waits for neither."""
    cluster.kubectl("delete", "node", node, "--ignore-not-found", "--wait=false")
    cluster.kubectl(
        *("delete", "pods", "--all-namespaces", f"--field-selector=spec.nodeName={node}"),
        *("--force", "--grace-period=0", "--wait=false"),
    )

    def gone() -> bool | str:
        query = f"/api/v1/pods?fieldSelector=spec.nodeName={node}"
        left = cluster.api.must("GET", query)["items"]
        return not left or f"{len(left)} pods left"

    wait_for(gone, seconds=30, what=f"no pod on {node}")


# --- what is seen of it ---------------------------------------------------------------------------


def proof_stays(scene: Scene) -> None:
    """The node is marked and goes on running."""
    node = scene.node
    _dropped(scene, node)
    _said_by_itself(scene, node)
    wait_for(
        lambda: node not in _serving(scene) or f"{node} still serves",
        seconds=DROPPED_SECONDS * 2,
        what=f"no ready endpoint of the Service on {node}",
    )
    scene.seen.shown.append(f"the Service's endpoint on {node} is not ready")
    scene.wait(STAY_SECONDS)
    _nothing_failed(scene, node)


def proof_all_cordoned(scene: Scene) -> None:
    for node in scene.cluster.nodes:
        _dropped(scene, node)
        _said_by_itself(scene, node)
    scene.wait(STAY_SECONDS)
    scene.unmoved('kubenurse_errors_total{type=~"path_.+"}', what="errors of any node")
    scene.unmoved(
        f'{FAILURES}{{type=~"api_server_.+", {NO_LOAD}}}',
        what="failures of the API server's checks",
    )
    scene.no_alert_waits()


def proof_gone(scene: Scene) -> None:
    """The node was marked, and its machine has gone."""
    node = scene.node
    dropped = _dropped(scene, node)
    left = _last_seen(scene, f'kubenurse_build_info{{node="{node}"}}')
    assert dropped < left, f"dropped {dropped:.0f} s after the start, gone after {left:.0f} s"
    scene.wait(NOTICE_SECONDS + AWAY_SECONDS)
    _nothing_failed(scene, node)


def _dropped(scene: Scene, node: str) -> float:
    """Seconds from the start until no agent had the node as a target."""
    targets = f'kubenurse_check_info{{type="path_{node}"}}'
    scene.shows(
        f"count({targets}) or vector(0)",
        lambda value: value == 0,
        what=f"no agent has a target path_{node}",
        within=DROPPED_SECONDS * 2,
    )
    took = _last_seen(scene, targets)
    scene.seen.shown.append(f"the last agent stopped checking it after {took:.0f} s")
    return took


def _last_seen(scene: Scene, expression: str) -> float:
    """How long after the start there was still a sample, to the second."""
    series = scene.prometheus.range(expression, time.time() - scene.began_at, 1)
    return max((one.points[-1][0] - scene.began_at for one in series), default=0.0)


def _said_by_itself(scene: Scene, node: str) -> None:
    scene.shows(
        f'min(kubenurse_ready{{node="{node}", reason="node_leaving"}})',
        lambda value: value == 0,
        what=f"kubenurse_ready reason=node_leaving of {node} is 0",
    )


def _serving(scene: Scene) -> set[str]:
    """The nodes of the Service's ready endpoints."""
    query = "/apis/discovery.k8s.io/v1/namespaces/kubenurse/endpointslices"
    return {
        endpoint["nodeName"]
        for one in scene.cluster.api.must("GET", query)["items"]
        for endpoint in one["endpoints"] or ()
        if endpoint["conditions"].get("ready")
    }


def _nothing_failed(scene: Scene, node: str) -> None:
    scene.unmoved(
        f'kubenurse_errors_total{{type="path_{node}"}}', what=f"errors of type=path_{node}"
    )
    scene.unmoved(f"{FAILURES}{{{NO_LOAD}}}", what="failed checks of any type at any agent")
    scene.no_alert_waits()


FAULTS: Final = (
    Fault(
        "node-cordoned",
        "A node is cordoned",
        "Nothing",
        "nothing: a cordoned node is left out of the next round",
        cordoned,
        proof_stays,
    ),
    Fault(
        "node-drained",
        "A node is drained. The pods of its DaemonSets stay",
        "Its other pods move",
        "nothing: a cordoned node is left out of the next round",
        drained,
        proof_stays,
    ),
    Fault(
        "node-deleted",
        "A Node object is deleted, then its machine is gone",
        "Nothing, except what was on the node",
        "errors at path_<node> until Kubernetes has removed the pod",
        deleted,
        proof_gone,
    ),
    Fault(
        "node-taken-by-autoscaler",
        f"A node is tainted {AUTOSCALER}, then its machine is gone while its Node object stays",
        "Nothing, except what was on the node",
        "errors at path_<node>: node.kubernetes.io/unschedulable is the only taint that it knows",
        vanished,
        proof_gone,
    ),
    Fault(
        "all-nodes-cordoned",
        "All nodes are cordoned at once",
        "Nothing; our own Service has no endpoint left",
        "no neighbours; errors of me_service and me_ingress, as no agent is ready",
        all_cordoned,
        proof_all_cordoned,
    ),
)
