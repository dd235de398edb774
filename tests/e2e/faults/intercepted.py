"""A transparent TCP proxy before one node's agent, as a mesh's: its figures are not the network's.

It changes no byte: the answers are the agents' own.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from e2e.cluster import json_api
from e2e.cluster.errors import ClusterError
from e2e.cluster.polling import until
from e2e.faults.agents import FAILURES, NO_LOAD
from e2e.faults.fault import Fault
from e2e.misbehaving import proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.cluster import Cluster
    from e2e.cluster.jaeger_api import Trace
    from e2e.faults.scene import Scene

AGENT_PORT: Final = 8080
CHECKS: Final = 10
"""So many of each kind are looked at: one a second from each of two agents."""
_SETTLE_SECONDS: Final = 3.0
"""A check that went before the proxy came, and the scrape that shows it."""
_COUNTER: Final = "kubenurse_intercepted_checks_total"
_NETWORK_FIGURES: Final = (
    "kubenurse_network_round_trip_seconds_count",
    "kubenurse_far_end_duration_seconds_count",
    "kubenurse_loss_delay_seconds_count",
    'kubenurse_check_phase_duration_seconds_count{phase="connect"}',
)


@contextmanager
def proxied(cluster: Cluster, node: str, *, inbound: bool) -> Iterator[None]:
    """What the node's agent opens goes through the proxy; with ``inbound`` what comes to it."""
    machine, pid = cluster.nodes[node].machine, cluster.agent_pid(node)
    proxy.insert(machine, pid, outbound=not inbound, inbound_port=AGENT_PORT if inbound else None)
    try:
        yield
    finally:
        proxy.remove(machine, pid)


@dataclass(frozen=True, slots=True)
class Pair:
    """The checks of ``target`` by the agent of ``source``."""

    source: str
    target: str

    @property
    def type(self) -> str:
        return f"path_{self.target}"

    @property
    def labels(self) -> str:
        return f'type="{self.type}", node="{self.source}"'

    def is_called_intercepted(self, cluster: Cluster) -> bool | None:
        """/alive's word; None where there is no good check yet."""
        address = cluster.agents()[self.source]["status"]["podIP"]
        try:
            alive = json_api.get(f"http://{address}:{AGENT_PORT}/alive")
        except ClusterError:  # 500: some check is bad right now.
            return None
        about: dict[str, bool] = alive["details"]["targets"].get(self.type, {})
        return about.get("intercepted")


def _pairs(scene: Scene, *, inbound: bool) -> tuple[list[Pair], list[Pair]]:
    """Those with the proxy in between, and all others."""
    nodes = list(scene.cluster.nodes)
    pairs = [Pair(source, target) for source in nodes for target in nodes if source != target]
    behind = [one for one in pairs if scene.node == (one.target if inbound else one.source)]
    return behind, [one for one in pairs if one not in behind]


def proof(scene: Scene, *, inbound: bool) -> None:
    behind, beside = _pairs(scene, inbound=inbound)
    until(
        lambda: {one: one.is_called_intercepted(scene.cluster) for one in behind},
        lambda told: all(told.values()),
        seconds=30,
        what="/alive calls each of them intercepted",
    )
    took = time.time() - scene.began_at
    which = ", ".join(f"{one.type} from {one.source}" for one in behind)
    scene.seen.shown.append(f"/alive: intercepted is true for {which} ({took:.0f} s)")
    time.sleep(_SETTLE_SECONDS)
    settled = time.time()
    for one in behind:
        _wait_for_checks(scene, one, settled)
        for figure in _NETWORK_FIGURES:
            grown = scene.grown(_of(figure, one), since=settled)
            assert grown == 0, f"{figure} of {one} has grown by {grown:g} behind the proxy"
        counted = scene.grown(_of(_COUNTER, one), since=settled)
        assert counted > 0, f"{_COUNTER} of {one} has not grown"
    scene.seen.shown.append(f"{_COUNTER} of these checks only")
    scene.seen.unmoved.append("network round trip, connect, loss and far end of these checks")
    for one in beside:
        assert not scene.grown(_of(_COUNTER, one), since=settled), one
        assert one.is_called_intercepted(scene.cluster) is not True, one
        _wait_for_checks(scene, one, settled)
        grown = scene.grown(_of(_NETWORK_FIGURES[0], one), since=settled)
        assert grown > 0, f"no network figure of {one}, which is beside the proxy"
    types = {one.type for one in behind}
    scene.trace(
        lambda trace: _says_so(trace, scene.node, inbound=inbound),
        what="kubenurse.intercepted is true",
        tags={"kubenurse.type": min(types)},
        within=120,
    )
    scene.unmoved(f"{FAILURES}{{{NO_LOAD}}}", what="failed checks of any type at any agent")
    scene.wait(30)
    scene.no_alert_waits()


def _wait_for_checks(scene: Scene, pair: Pair, since: float) -> None:
    """The checks go on, and are in kubenurse's own duration."""
    counter = f"kubenurse_httpclient_request_duration_seconds_count{{{pair.labels}}}"
    until(
        lambda: scene.grown(counter, since=since),
        lambda grown: grown >= CHECKS,
        seconds=60,
        what=f"{CHECKS} good checks of {pair}",
    )


def _of(figure: str, pair: Pair) -> str:
    name, _, labels = figure.rstrip("}").partition("{")
    return f"{name}{{{labels + ', ' if labels else ''}{pair.labels}}}"


def _says_so(trace: Trace, node: str, *, inbound: bool) -> bool:
    client = trace.client
    return (
        client is not None
        and client.attributes.get("kubenurse.intercepted") is True
        and client.status == "UNSET"
        and (inbound or client.resource.get("k8s.node.name") == node)
    )


FAULTS: Final = tuple(
    Fault(
        f"proxied-{way}",
        f"A transparent TCP proxy takes every connection {what}",
        "Nothing; a mesh does it on purpose",
        "the time to the proxy beside it, as if it were the network's",
        partial(proxied, inbound=inbound),
        partial(proof, inbound=inbound),
    )
    for way, what, inbound in (
        ("outbound", "that one node's agent opens", False),
        ("inbound", "to one node's agent", True),
    )
)
