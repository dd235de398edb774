"""Packets are lost: at random on one node's wire, between one pair of nodes, before the ingress."""

from __future__ import annotations

import time
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Final

from e2e.faults import agents, elsewhere, wire
from e2e.faults.fault import Fault
from e2e.faults.spans import client_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from e2e.cluster.cluster import Cluster
    from e2e.cluster.jaeger_api import Trace
    from e2e.faults.scene import Scene

_INGRESS_MACHINE: Final = "edge"
_OFTEN: Final = "200ms"
_VERY_OFTEN: Final = "100ms"
"""Two neighbours at this pace make as many checks in a compressed window as ten every 5 s in a
real one: to alert of 1 % is a matter of numbers."""
_TO: Final = "to"
_FROM: Final = "from"


# --- how it is made -------------------------------------------------------------------------------


def at_random(percent: float) -> str:
    return f"numgen random mod 1000 < {percent * 10:.0f}"


@contextmanager
def on_node(cluster: Cluster, node: str, *, percent: float, way: str) -> Iterator[None]:
    match = at_random(percent)
    ways = {"to": match} if way == _TO else {"away": match}
    # At 30 % a check a second is enough, and much faster to have.
    interval = _VERY_OFTEN if percent <= 1 else _OFTEN
    pace = _checking_every(cluster, interval) if percent < 30 else nullcontext()
    with pace, wire.dropping(cluster, node, **ways):
        yield


@contextmanager
def one_in_1000(cluster: Cluster, node: str) -> Iterator[None]:
    match = "numgen inc mod 1000 == 0"
    with _checking_every(cluster, _OFTEN), wire.dropping(cluster, node, to=match, away=match):
        yield


@contextmanager
def between_two(cluster: Cluster, node: str) -> Iterator[None]:
    peer = cluster.nodes[_peer(cluster, node)]
    addresses = f"{{ {peer.machine.address}, {peer.pod_subnet} }}"
    match = at_random(20)
    with wire.dropping(
        cluster, node, to=f"ip saddr {addresses} {match}", away=f"ip daddr {addresses} {match}"
    ):
        yield


@contextmanager
def before_ingress(cluster: Cluster, node: str) -> Iterator[None]:
    with wire.dropping(cluster, _INGRESS_MACHINE, to=at_random(20)):
        yield


def _peer(cluster: Cluster, node: str) -> str:
    """The other end of the pair."""
    return next(name for name in cluster.nodes if name != node)


def _checking_every(cluster: Cluster, interval: str) -> AbstractContextManager[None]:
    return agents.installed_with(cluster, check_interval_neighbourhood=interval)


# --- what must be seen ----------------------------------------------------------------------------


def lost(what: str) -> str:
    """Checks that lost time to a retransmission."""
    return f"kubenurse_loss_delay_seconds_count{{{what}}}"


def proof_on_node(scene: Scene, *, way: str) -> None:
    node = scene.node
    scene.begin_again()
    _shows_loss(scene)
    scene.trace(
        partial(_lost_on_the_way, node=node, way=way),
        what=f"a check of {node}, kept because of loss, that says the {_LOST[way]} was lost",
        tags={"kubenurse.type": f"path_{node}"},
        within=120,
    )
    scene.alerts("KubenurseNodePacketLoss", node=node, within=150)
    _nothing_elsewhere(scene)
    traces = scene.jaeger.traces(
        tags={"kubenurse.type": f"path_{node}"},
        limit=1000,
        lookback=time.time() - scene.began_at,
    )
    _of_one_direction(traces, node=node, way=way)
    late = [one for one in traces if _takes_a_late_answer_for_a_round_trip(one)]
    assert not late, f"an answer that was sent again is a round trip: {late[:2]}"


def proof_one_in_1000(scene: Scene) -> None:
    scene.begin_again()
    _shows_loss(scene, within=180)
    scene.wait(75)
    _nothing_elsewhere(scene)
    scene.stays(
        "kubenurse:node_in:loss_ratio5m or kubenurse:node_out:loss_ratio5m",
        lambda ratio: ratio < 0.01,
        what="loss by node is below the alert's 1 %",
    )
    elsewhere.no_failure(scene, 'type=~"path_.+", ', what="of checks of neighbours")


def proof_between_two(scene: Scene) -> None:
    node, peer = scene.node, _peer(scene.cluster, scene.node)
    third = next(name for name in scene.others if name != peer)
    for source, target in ((node, peer), (peer, node)):
        scene.counts(
            lost(f'type="path_{target}", node="{source}"'),
            what=f"kubenurse_loss_delay_seconds type=path_{target} at {source}",
            at_least=4,
            within=90,
        )
    scene.trace(
        lambda one: client_number(one, "kubenurse.loss") > 0,
        what=f"a check of {node} from {peer}, kept because of loss",
        tags={"kubenurse.type": f"path_{node}"},
    )
    # A node is lossy when most of its peers say so: neither of these two is.
    scene.wait(75)
    for expression, what in (
        (f'type="path_{third}"', f"towards {third}"),
        (f'type=~"path_.+", node="{third}"', f"from {third}"),
    ):
        elsewhere.no_loss(scene, expression, what=what)


def proof_before_ingress(scene: Scene) -> None:
    for name in scene.cluster.nodes:
        scene.counts(
            lost(f'type="me_ingress", node="{name}"'),
            what=f"kubenurse_loss_delay_seconds type=me_ingress at {name}",
            at_least=4,
            within=90,
        )
    scene.trace(
        lambda one: client_number(one, "kubenurse.loss") > 0,
        what="a check of me_ingress, kept because of loss",
        operation="check me_ingress",
    )
    scene.wait(60)
    others = 'type!="me_ingress", '
    elsewhere.no_loss(scene, others, what="of every other type")
    elsewhere.no_failure(scene, others, what="of every other type")


def _shows_loss(scene: Scene, *, within: float = 90) -> None:
    for kind in (f'type="path_{scene.node}"', f'type=~"path_.+", node="{scene.node}"'):
        scene.counts(lost(kind), what=f"kubenurse_loss_delay_seconds {kind}", within=within)
        scene.counts(
            f"kubenurse_tcp_retransmits_total{{{kind}}}",
            what=f"kubenurse_tcp_retransmits_total {kind}",
            within=within,
        )


def _nothing_elsewhere(scene: Scene) -> None:
    elsewhere.calm_between_others(scene)
    others = f'type="me_ingress", node!="{scene.node}"'
    elsewhere.no_loss(scene, others, what="towards the ingress from other nodes")
    kind = f'type="path_{scene.node}"'
    scene.stays(
        "histogram_quantile(0.5, sum by (le)"
        f" (rate(kubenurse_network_round_trip_seconds_bucket{{{kind}}}[30s])))",
        lambda seconds: seconds < 0.05,
        what=f"kubenurse_network_round_trip_seconds of {kind}",
    )


# --- which direction ------------------------------------------------------------------------------

_LOST: Final = {_TO: "request", _FROM: "answer"}
"""From the point of view of who checks the node."""


def _lost_on_the_way(trace: Trace, *, node: str, way: str) -> bool:
    """Whether a trace of a neighbour's check says which of the two was lost, and it is this one."""
    root, span = trace.root, trace.client
    if root is None or root.attributes.get("kubenurse.type") != f"path_{node}" or span is None:
        return False
    return span.attributes.get("kubenurse.loss_direction") == ("in" if way == _FROM else "out")


def _of_one_direction(traces: list[Trace], *, node: str, way: str) -> None:
    to, back = (
        sum(_lost_on_the_way(one, node=node, way=either) for one in traces)
        for either in (_TO, _FROM)
    )
    right, wrong = (to, back) if way == _TO else (back, to)
    assert right > 2 * wrong, f"{right} traces say the {_LOST[way]} was lost, {wrong} the opposite"


def _takes_a_late_answer_for_a_round_trip(trace: Trace) -> bool:
    """A retransmission timeout is 0.2 s and more; no way in this cluster takes so long."""
    span = trace.client
    return (
        span is not None
        and span.attributes.get("kubenurse.network.round_trip_source") == "min_rtt"
        and client_number(trace, "kubenurse.network.round_trip") >= 0.2
    )


def _node_fault(percent: float, way: str) -> Fault:
    inject: Callable[[Cluster, str], AbstractContextManager[object]]
    inject = partial(on_node, percent=percent, way=way)
    return Fault(
        f"loss-{way}-node-{percent:g}",
        f"{percent:g} % of the packets {way} a node are lost",
        "Everything with the node stalls, for 0.2 s to several seconds"
        + (", or fails" if percent >= 30 else ""),
        "durations of path_<node> in high buckets, and no cause"
        + ("; now and then an error" if percent >= 30 else ""),
        inject,
        partial(proof_on_node, way=way),
    )


FAULTS: Final = (
    *(_node_fault(percent, way) for percent in (1, 5, 30) for way in (_TO, _FROM)),
    Fault(
        "loss-one-in-1000",
        "One packet in 1,000 to and from a node is lost",
        "Now and then something stalls, and nobody knows why",
        "one slow check in some hundreds, and no cause",
        one_in_1000,
        proof_one_in_1000,
    ),
    Fault(
        "loss-between-two-nodes",
        "20 % of the packets between two nodes are lost",
        "Pods of these two nodes stall and fail with each other",
        "slow checks and errors of path_<node> at these two nodes only",
        between_two,
        proof_between_two,
    ),
    Fault(
        "loss-before-ingress",
        "20 % of the packets to the ingress are lost",
        "Requests from outside stall for seconds, or fail",
        "slow checks and errors of me_ingress, and no cause",
        before_ingress,
        proof_before_ingress,
    ),
)
