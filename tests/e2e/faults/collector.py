"""The collector beside each agent is broken, on every node: the agents check on as ever."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from e2e.cluster.cluster import AGENT_VALUES, CHART, NAMESPACE, RELEASE
from e2e.cluster.waiting import wait_for
from e2e.faults import bounds, run
from e2e.faults.agents import FAILURES, NO_LOAD, wait_until_all_ready, wait_until_ready_for
from e2e.faults.fault import Fault
from e2e.faults.gateway import traces_end_with

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from e2e.cluster.cluster import Cluster
    from e2e.faults.scene import Scene

BROKEN_SECONDS: Final = 150.0
CALM_SECONDS: Final = 5
"""No check fails for so long: the roll-out is over."""
AVAILABLE_SECONDS: Final = 20.0
"""More than the chart's minReadySeconds."""
HELD_BACK_AT: Final = 2
"""So many of three nodes the update reaches."""
SETTLED_SECONDS: Final = 60.0
_ENDPOINT: Final = "http://10.90.0.2:4317"
_AGENT: Final = "kubenurse"
_COLLECTOR: Final = "collector"
_NO_SUCH_RECEIVER: Final = {
    "receivers": {"nonsense": {}},
    "exporters": {"debug": {}},
    "service": {"pipelines": {"traces": {"receivers": ["nonsense"], "exporters": ["debug"]}}},
}
_TOO_LITTLE: Final = "5Mi"
"""It needs some 6 for itself when it starts; the pages of its program count elsewhere."""


@contextmanager
def broken(
    cluster: Cluster, _node: str, *, collector: Mapping[str, Any], reasons: frozenset[str]
) -> Iterator[None]:
    """Upgrade to a broken collector; return when the roll-out stands still because of it.

    Kubernetes goes no further than maxUnavailable (34 % of three nodes: two), by ``reasons``.
    """
    values = {
        **run.VALUES,
        "otel": {"metricsExporter": "prometheus"},
        "collector": {"endpoint": _ENDPOINT, **collector},
    }
    # What is not available yet is replaced at once, and holds nothing back.
    wait_until_ready_for(cluster, AVAILABLE_SECONDS)
    try:
        cluster.helm(
            *("upgrade", RELEASE, str(CHART), "--namespace", NAMESPACE),
            *("--values", str(AGENT_VALUES)),
            values=values,
        )
        wait_for(
            lambda: _is_broken(cluster, reasons),
            seconds=BROKEN_SECONDS,
            what="two agents that run beside broken collectors, and one that is as it was",
        )
        yield
    finally:
        cluster.install(run.VALUES)
        wait_until_all_ready(cluster)


def _is_broken(cluster: Cluster, reasons: frozenset[str]) -> bool | str:
    agents: set[str] = set()
    collectors: set[str] = set()
    said: set[str] = set()
    for pod in cluster.pods():
        if "deletionTimestamp" in pod["metadata"] or "nodeName" not in pod["spec"]:
            continue
        for status in pod["status"].get("containerStatuses", []):
            why = _reasons(status)
            said |= why
            if status["name"] == _AGENT and status["started"]:
                agents.add(pod["spec"]["nodeName"])
            elif status["name"] == _COLLECTOR and reasons & why:
                collectors.add(pod["spec"]["nodeName"])
    return (agents == set(cluster.nodes) and len(collectors) == HELD_BACK_AT) or (
        f"agents run on {sorted(agents)}, collectors are broken on {sorted(collectors)}: {said}"
    )


def _reasons(status: Mapping[str, Any]) -> set[str]:
    """Why a container does not run, or did not until it was started again."""
    states = [*status["state"].values(), *status.get("lastState", {}).values()]
    return {one["reason"] for one in states if "reason" in one}


def proof(scene: Scene) -> None:
    cluster, nodes = scene.cluster, len(scene.cluster.nodes)
    scene.shows(
        "count(kubenurse_build_info) or vector(0)",
        lambda value: value == nodes,
        what=f"{nodes} agents are scraped",
        within=SETTLED_SECONDS,
    )
    scene.shows(
        'count(kubenurse_check_info{type=~"path_.+"}) or vector(0)',
        lambda value: value == nodes * (nodes - 1),
        what="every agent checks every other",
        within=SETTLED_SECONDS,
    )
    scene.shows(
        f"count(min_over_time(kubenurse_check_success[{CALM_SECONDS}s]) == 0) or vector(0)",
        lambda value: value == 0,
        what="no check fails",
        within=SETTLED_SECONDS,
    )
    scene.begin()  # Anew: the roll-out is over.
    settled, ticks = time.time(), bounds.Ticks(scene, list(cluster.nodes))
    traces_end_with(scene, "failure", at_least=3)
    scene.alerts("KubenurseExportsFailing", signal="traces", within=240)
    for source in cluster.nodes:
        for target in cluster.nodes:
            if source == target:
                continue
            requests = (
                f'kubenurse_httpclient_requests_total{{node="{source}", type="path_{target}"}}'
            )
            grown = scene.grown(requests, since=settled)
            least = (time.time() - settled) / 3
            assert grown > least, f"{grown:g} checks of {target} by {source}, less than {least:.0f}"
    scene.unmoved(f"{FAILURES}{{{NO_LOAD}}}", what="failed checks of any type at any agent")
    ticks.none_is_lost()


def proof_image_missing(scene: Scene) -> None:
    """The pods are Pending: annotation scrapes leave them out, their neighbours do not."""
    pending = {
        node for node, pod in scene.cluster.agents().items() if pod["status"]["phase"] == "Pending"
    }
    (scraped,) = set(scene.cluster.nodes) - pending
    scene.begin()  # Anew: the roll-out stands still.
    settled = time.time()
    for node in sorted(pending):
        scene.alerts("KubenurseAgentNotReporting", node=node, within=240)
    for node in sorted(pending):
        requests = (
            f'kubenurse_httpclient_requests_total{{node="{scraped}", type="path_{node}", '
            'code="200"}'
        )
        least = (time.time() - settled) / 3
        scene.shows(
            f"increase({requests}[{time.time() - settled:.0f}s])",
            lambda grown, least=least: grown > least,
            what=f"{scraped} goes on checking {node}, whose pod is Pending",
        )
    scene.unmoved(f"{FAILURES}{{{NO_LOAD}}}", what="failed checks of any type")


def _fault(
    name: str,
    how: str,
    reasons: set[str],
    *,
    proof: Callable[[Scene], None] = proof,
    **collector: Any,
) -> Fault:
    return Fault(
        f"collector-{name}",
        f"The collector beside each agent {how}",
        "Nothing",
        "nothing: it has no traces",
        partial(broken, collector=collector, reasons=frozenset(reasons)),
        proof,
    )


FAULTS: Final = (
    _fault(
        "image-missing",
        "has an image that does not exist",
        {"ErrImageNeverPull"},
        proof=proof_image_missing,
        image={"tag": "no-such-tag", "pullPolicy": "Never"},
    ),
    _fault(
        "configuration-invalid",
        "has a configuration that it refuses",
        {"CrashLoopBackOff", "Error"},
        config=_NO_SUCH_RECEIVER,
    ),
    _fault(
        "out-of-memory",
        "is killed at each start, because it has too little memory",
        {"OOMKilled", "StartError", "RunContainerError"},
        resources={"requests": {"memory": _TOO_LITTLE}, "limits": {"memory": _TOO_LITTLE}},
    ),
)
