"""Agents come and go as they should: a node is added, an update rolls, all restart at once."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from e2e.cluster.cluster import NAMESPACE, RELEASE
from e2e.faults.agents import FAILURES, NO_LOAD, wait_until_all_ready
from e2e.faults.fault import Fault
from e2e.faults.leaving import leave_for_good

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.cluster import Cluster
    from e2e.faults.scene import Scene

ROLL_SECONDS: Final = 180
WATCHED_SECONDS: Final = 15.0
"""From the new agent's start to a good check of it by every other; a scrape a second."""
CALM_SECONDS: Final = 20.0
"""So long after it is over nothing may be counted, and no alert may come."""
LATE_SECONDS: Final = 5.0
MOST_FAILURES: Final = 10
"""Of one agent and type when all restart: until the first has passed its readiness probe."""


@contextmanager
def node_added(cluster: Cluster, _node: str) -> Iterator[None]:
    before = set(cluster.nodes)
    try:
        cluster.add_node()
        yield
    finally:
        for name in set(cluster.nodes) - before:
            leave_for_good(cluster, name)


@contextmanager
def update_rolled(cluster: Cluster, _node: str) -> Iterator[None]:
    """Return when it is over: what it leaves behind is to be seen."""
    name = f"daemonset/{RELEASE}"
    cluster.kubectl("rollout", "restart", name, "--namespace", NAMESPACE)
    cluster.kubectl(
        *("rollout", "status", name, "--namespace", NAMESPACE, f"--timeout={ROLL_SECONDS}s")
    )
    yield


@contextmanager
def all_restarted(cluster: Cluster, _node: str) -> Iterator[None]:
    names = [pod["metadata"]["name"] for pod in cluster.agents().values()]
    cluster.kubectl("delete", "pods", *names, "--namespace", NAMESPACE)
    wait_until_all_ready(cluster)
    yield


def proof_node_added(scene: Scene) -> None:
    new = _newest(scene)
    for other in (name for name in scene.cluster.nodes if name != new):
        scene.shows(
            f'kubenurse_check_success{{type="path_{new}", node="{other}"}}',
            lambda value: value == 1,
            what=f"kubenurse_check_success type=path_{new} from {other} is 1",
            within=60,
        )
    seen = time.time()
    scene.shows(
        f'kubenurse_neighbours{{node="{new}", state="chosen"}}',
        lambda value: value == len(scene.cluster.nodes) - 1,
        what=f"kubenurse_neighbours state=chosen at {new} is all the others",
        within=60,
    )
    started = _started_at(scene.cluster.agents()[new])
    took = seen - started
    assert took < WATCHED_SECONDS, f"watched {took:.1f} s after the agent of {new} had started"
    scene.seen.shown.append(f"all agents checked it {took:.0f} s after its agent had started")
    time.sleep(CALM_SECONDS)
    _nothing_failed(scene)


def proof_rolled(scene: Scene) -> None:
    _all_are_new(scene)
    time.sleep(CALM_SECONDS)
    _nothing_failed(scene)


def proof_all_restarted(scene: Scene) -> None:
    _all_are_new(scene)
    back = time.time()
    time.sleep(CALM_SECONDS)
    for kind in ("me_service", "me_ingress"):
        for node in scene.cluster.nodes:
            scene.unmoved(
                f'kubenurse_errors_total{{type="{kind}", node="{node}"}}',
                what=f"more than {MOST_FAILURES} errors of type={kind} at {node}",
                by=MOST_FAILURES,
            )
    scene.unmoved(
        f'{FAILURES}{{type!~"me_service|me_ingress", {NO_LOAD}}}',
        what="errors of nodes and of the API server",
    )
    late = scene.grown(f"{FAILURES}{{{NO_LOAD}}}", since=back + LATE_SECONDS)
    assert late == 0, f"{late:g} failures later than {LATE_SECONDS} s after all were Ready"
    scene.no_alert_waits()


def _newest(scene: Scene) -> str:
    def made(name: str) -> str:
        node: dict[str, Any] = scene.cluster.api.must("GET", f"/api/v1/nodes/{name}")
        return str(node["metadata"]["creationTimestamp"])

    return max(scene.cluster.nodes, key=made)


def _started_at(pod: dict[str, Any]) -> float:
    """When the agent's container started, to the second."""
    (status,) = pod["status"]["containerStatuses"]
    return datetime.fromisoformat(status["state"]["running"]["startedAt"]).timestamp()


def _all_are_new(scene: Scene) -> None:
    nodes = len(scene.cluster.nodes)
    scene.shows(
        f"count(process_start_time_seconds > {scene.began_at:.0f}) or vector(0)",
        lambda value: value == nodes,
        what=f"process_start_time_seconds of {nodes} agents is new",
        within=60,
    )


def _nothing_failed(scene: Scene) -> None:
    scene.unmoved(
        f'{FAILURES}{{type=~"path_.+", error_type!="own_timeout"}}', what="failed checks of nodes"
    )
    scene.unmoved(f"{FAILURES}{{{NO_LOAD}}}", what="failed checks of any type at any agent")
    scene.no_alert_waits()


FAULTS: Final = (
    Fault(
        "node-added",
        "A node is added",
        "Nothing",
        "a new type path_<node> after the next list from the API server",
        node_added,
        proof_node_added,
    ),
    Fault(
        "rolling-update",
        "An update of the DaemonSet rolls over all nodes",
        "Nothing",
        "nothing on average; a neighbour that has left is checked until the next round",
        update_rolled,
        proof_rolled,
    ),
    Fault(
        "all-agents-restarted",
        "All agents are deleted at once",
        "Nothing; our own Service has no endpoint for some seconds",
        "errors of me_service and me_ingress until the first agent is ready",
        all_restarted,
        proof_all_restarted,
    ),
)
