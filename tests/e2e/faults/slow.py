"""Slow without a slow network: a node whose CPU is starved, an application that takes its time."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from e2e.cluster import ingress
from e2e.faults.agents import FAILURES, NO_LOAD, wait_until_all_ready
from e2e.faults.fault import Fault
from e2e.faults.figures import FAST_SECONDS, mean, network_stays, others_unmoved
from e2e.misbehaving import server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.cluster import Cluster
    from e2e.cluster.jaeger_api import Trace
    from e2e.faults.scene import Scene

LITTLE_CPU: Final = 0.04
"""Cores for a whole node: kubelet, containerd, kube-proxy and pods. With 0.06 hardly any waits."""
SLOW_SECONDS: Final = 1.2
"""More than the slow threshold (its trace is kept), less than a check's timeout."""
RELOAD_SECONDS: Final = 3.0
"""Until nginx asks the agents again, and nobody waits for the slow server."""
SLOW_PORT: Final = 8099


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
        time.sleep(RELOAD_SECONDS)
        server.stop(cluster.edge, SLOW_PORT)


def proof_starved(scene: Scene) -> None:
    node, path = scene.node, f"path_{scene.node}"
    # Where a CoreDNS runs there, it is as slow as all else: half of the look-ups are.
    # So is an answer of the Service or the ingress that it gives.
    scene.may_alert("KubenurseDNSSlow", "KubenurseFarEndSlow")
    scene.shows(
        mean("kubenurse_own_delay_seconds", f'node="{node}"'),
        lambda value: value > 0.05,
        what=f"kubenurse_own_delay_seconds of {node} is above 50 ms on average",
        within=45,
    )
    for other in scene.others:
        scene.shows(
            mean("kubenurse_far_end_duration_seconds", f'type="{path}", node="{other}"'),
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
    network_stays(scene, f'type="{path}"', what=f"round trip of type={path}")
    network_stays(
        scene, f'type=~"path_.+", node="{node}"', what=f"round trips that {node} measures"
    )
    others_unmoved(scene)
    scene.alerts("KubenurseProberSick", node=node, within=150)


def _waited_for_its_process(trace: Trace, path: str) -> bool:
    client = trace.client
    return (
        client is not None
        and client.attributes["kubenurse.type"] == path
        and client.attributes.get("kubenurse.far_end.duration", 0) > 0.1
        and client.attributes["kubenurse.network.round_trip"] < FAST_SECONDS
    )


def proof_slow_application(scene: Scene) -> None:
    ours = 'type="me_ingress"'
    scene.shows(
        f"min({mean('kubenurse_far_end_duration_seconds', ours)})",
        lambda value: value > SLOW_SECONDS * 0.9,
        what=f"kubenurse_far_end_duration_seconds type=me_ingress is {SLOW_SECONDS} s everywhere",
        within=45,
    )
    scene.trace(
        _waited_for_the_application,
        what="a slow trace: kubenurse.far_end.duration is nearly all of kubenurse.duration; "
        "kubenurse.phase.connect and kubenurse.network.round_trip are short",
        tags={"kubenurse.type": "me_ingress"},
    )
    scene.wait(30)
    network_stays(scene, ours, what="round trip of type=me_ingress")
    scene.unmoved(f"{FAILURES}{{{NO_LOAD}}}", what="failures of any type: slow is not failed")
    scene.unmoved(f"{FAILURES}{{{ours}}}", what="failures of type=me_ingress")
    scene.stays(
        mean("kubenurse_far_end_duration_seconds", 'type=~"path_.+"'),
        lambda value: value < SLOW_SECONDS / 4,
        what="far end of the checks of nodes",
    )
    scene.alerts("KubenurseFarEndSlow", type="me_ingress", within=150)


def _waited_for_the_application(trace: Trace) -> bool:
    client = trace.client
    if client is None or client.attributes.get("kubenurse.duration", 0) < SLOW_SECONDS:
        return False
    seen = client.attributes
    return (
        seen["kubenurse.far_end.duration"] > SLOW_SECONDS * 0.9
        and seen["kubenurse.network.round_trip"] < FAST_SECONDS
        and seen["kubenurse.phase.connect"] < FAST_SECONDS
        and client.status == "UNSET"
    )


FAULTS: Final = (
    Fault(
        "node-cpu-starved",
        f"A node has {LITTLE_CPU} of a core for everything",
        "Everything on the node is slow, though the network is good",
        "every duration at the node and to it rises, as if the network were slow",
        cpu_starved,
        proof_starved,
        "node-1",
    ),
    Fault(
        "slow-application",
        f"The application behind the ingress answers after {SLOW_SECONDS} s. The network is good",
        "Requests through the ingress are slow",
        "me_ingress is slow; whether by network or application is not shown",
        slow_application,
        proof_slow_application,
    ),
)
