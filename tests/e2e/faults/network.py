"""A node's link is down, comes and goes, or loses what is large: in, out, to one other node."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from e2e.cluster import fabric
from e2e.cluster.errors import ClusterError
from e2e.faults import elsewhere, wire
from e2e.faults.fault import Fault
from e2e.faults.spans import begun_by, client_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.cluster import Cluster
    from e2e.faults.scene import Scene

_FLAP_DOWN_SECONDS: Final = 1.0
_FLAP_UP_SECONDS: Final = 4.0
_MUCH_BYTES: Final = 1000
"""IP packets above this are dropped by the black hole. A check's own are smaller."""
_LARGE: Final = f"ip protocol tcp meta length > {_MUCH_BYTES + 14}"


@contextmanager
def link_down(cluster: Cluster, node: str) -> Iterator[None]:
    port = fabric.port_of(node)
    cluster.control.net("ip", "link", "set", port, "down")
    try:
        yield
    finally:
        cluster.control.net("ip", "link", "set", port, "up")


def proof_link_down(scene: Scene) -> None:
    node = scene.node
    for other in scene.others:
        scene.shows(
            f'kubenurse_check_success{{type="path_{node}", node="{other}"}}',
            lambda value: value == 0,
            what=f"kubenurse_check_success type=path_{node} from {other} is 0",
        )
    scene.counts(
        f'kubenurse_check_failures_total{{type="path_{node}"}}',
        what="kubenurse_check_failures_total",
        at_least=2,
    )
    scene.alerts("KubenurseNodeUnreachable", node=node)
    first, second = scene.others[:2]
    scene.unmoved(
        f'kubenurse_errors_total{{type="path_{second}", node="{first}"}}',
        what="errors between the other nodes",
    )


# --- nothing comes in -----------------------------------------------------------------------------


@contextmanager
def cut_inwards(cluster: Cluster, node: str) -> Iterator[None]:
    """What other nodes and their pods send to it is dropped, their answers included."""
    others = [one for name, one in cluster.nodes.items() if name != node]
    sources = ", ".join(word for one in others for word in (one.machine.address, one.pod_subnet))
    with wire.dropping(cluster, node, to=f"ip saddr {{ {sources} }}"):
        yield


def proof_cut_inwards(scene: Scene) -> None:
    """Its own checks fail as theirs do; what tells the direction is the board's."""
    # Some servers of DNS and some endpoints of the Service are on the other side, from wherever.
    scene.may_alert("KubenurseDNSFailing", "KubenurseServiceFailing")
    proof_link_down(scene)


# --- a link that comes and goes -------------------------------------------------------------------


@contextmanager
def flapping(cluster: Cluster, node: str) -> Iterator[None]:
    port, over = fabric.port_of(node), threading.Event()

    def flap() -> None:
        while not over.wait(_FLAP_UP_SECONDS):
            for state, seconds in (("down", _FLAP_DOWN_SECONDS), ("up", 0)):
                with suppress(ClusterError):
                    cluster.control.net("ip", "link", "set", port, state)
                over.wait(seconds)

    flapper = threading.Thread(target=flap, name="flap", daemon=True)
    flapper.start()
    try:
        yield
    finally:
        over.set()
        flapper.join()
        cluster.control.net("ip", "link", "set", port, "up")


def proof_flapping(scene: Scene) -> None:
    node = scene.node
    for other in scene.others:
        scene.counts(
            f'kubenurse_loss_delay_seconds_count{{type="path_{node}", node="{other}"}}',
            what=f"kubenurse_loss_delay_seconds type=path_{node} from {other}",
            at_least=2,
            within=60,
        )
    scene.trace(
        lambda one: client_number(one, "kubenurse.loss") > 0.2,
        what=f"a check of {node} that lost more than 0.2 s",
        tags={"kubenurse.type": f"path_{node}"},
    )
    scene.alerts("KubenurseNodePacketLoss", node=node, within=150)
    elsewhere.calm_between_others(scene)


# --- large packets vanish -------------------------------------------------------------------------


@contextmanager
def mtu_black_hole(cluster: Cluster, node: str) -> Iterator[None]:
    """Large packets to the node vanish, and nobody is told (no ICMP)."""
    with wire.dropping(cluster, node, to=_LARGE):
        yield


def proof_mtu_black_hole(scene: Scene) -> None:
    """TLS shows it, for a certificate is large; checks of neighbours are small and see nothing,
    but those of full size.
    """
    node = scene.node
    for kind in ("api_server_direct", "api_server_dns", "me_ingress"):
        scene.counts(
            f'kubenurse_check_failures_total{{node="{node}", type="{kind}",'
            f' phase="tls", error_type="tls_handshake_timeout"}}',
            what=f"kubenurse_check_failures_total type={kind} phase=tls"
            f" error_type=tls_handshake_timeout at {node}",
            at_least=2,
        )
    trace = scene.trace(
        lambda one: begun_by(one, node),
        what=f"check api_server_direct from {node}: socket connect is good, TLS has the error",
        tags={"kubenurse.error.type": "tls_handshake_timeout"},
        operation="check api_server_direct",
    )
    assert [span.status for span in trace.named("socket connect")] == ["UNSET"], trace
    assert [span.status for span in trace.named("TLS client handshake")] == ["ERROR"], trace
    scene.alerts("KubenurseNodeServicesUnreachable", node=node)
    elsewhere.no_failure(scene, 'type=~"path_.+", ', what="of checks of neighbours")
    scene.counts(
        'kubenurse_check_failures_total{type="full_size", error_type="full_size_lost"}',
        what="kubenurse_check_failures_total type=full_size error_type=full_size_lost",
        at_least=1,
        within=120,
    )
    others = f'node!="{node}", type!="full_size", '
    elsewhere.no_failure(scene, others, what="of small checks from other nodes")
    elsewhere.no_loss(scene, f'type="path_{node}"', what=f"towards {node}")


@contextmanager
def mtu_outgoing(cluster: Cluster, node: str) -> Iterator[None]:
    """What the node's pods send to other nodes' pods, where it is large: an overlay's MTU."""
    subnets = ", ".join(one.pod_subnet for name, one in cluster.nodes.items() if name != node)
    with wire.dropping(cluster, node, away=f"{_LARGE} ip daddr {{ {subnets} }}"):
        yield


@contextmanager
def mtu_between_two(cluster: Cluster, node: str) -> Iterator[None]:
    """Both ways, between the pods of two nodes."""
    other = next(one.pod_subnet for name, one in cluster.nodes.items() if name != node)
    large = {"to": f"{_LARGE} ip saddr {other}", "away": f"{_LARGE} ip daddr {other}"}
    with wire.dropping(cluster, node, **large):
        yield


def proof_mtu_outgoing(scene: Scene) -> None:
    """Nothing else of a check's is large: API server and ingress are beyond the overlay."""
    _lost_at(scene, *scene.cluster.nodes)
    elsewhere.no_failure(scene, 'type!="full_size", ', what="of checks of any other type")


def proof_mtu_between_two(scene: Scene) -> None:
    """By the two, and by nobody else."""
    _lost_at(scene, scene.node, scene.others[0])
    third = scene.others[1]
    elsewhere.no_failure(scene, f'node="{third}", ', what=f"of any check by {third}")
    elsewhere.no_failure(scene, 'type!="full_size", ', what="of checks of any other type")


def _lost_at(scene: Scene, *nodes: str) -> None:
    for name in nodes:
        lost = f'{{type="full_size", error_type="full_size_lost", node="{name}"}}'
        scene.counts(
            f"kubenurse_check_failures_total{lost}",
            what=f"kubenurse_check_failures_total{lost}",
            within=150,
        )
    scene.trace(
        lambda one: begun_by(one, scene.node, type="full_size_lost"),
        what=f"a full-size check by {scene.node} that says full_size_lost",
        tags={"kubenurse.error.type": "full_size_lost"},
        within=150,
    )


FAULTS: Final = (
    Fault(
        "node-link-down",
        "A node's link is down",
        "Pods on the node cannot be reached",
        "errors at path_<node> from every other node, each counted twice",
        link_down,
        proof_link_down,
    ),
    Fault(
        "node-cut-inwards",
        "What other nodes send to a node is dropped, and so are their answers. What the node sends"
        " arrives",
        "Pods on the node cannot be reached, and cannot reach pods on other nodes",
        "errors at path_<node> from every other node and at every other node's path from this one, "
        "each counted twice",
        cut_inwards,
        proof_cut_inwards,
    ),
    Fault(
        "node-link-flaps",
        "A node's link is down for 1 s in every 5 s",
        "Everything with the node stalls for a second or more",
        "slow checks and few errors at path_<node>",
        flapping,
        proof_flapping,
    ),
    Fault(
        "mtu-black-hole",
        "TCP packets above 1,000 bytes to a node are dropped",
        "Downloads and TLS hang. Small requests and pings work",
        "errors of api_server_* and me_ingress at one node. Checks of neighbours work",
        mtu_black_hole,
        proof_mtu_black_hole,
    ),
    Fault(
        "mtu-outgoing",
        "TCP packets above 1,000 bytes from a node's pods to pods on other nodes are dropped",
        "Large requests and large answers of the node's pods to other nodes hang",
        "nothing, because its checks are small",
        mtu_outgoing,
        proof_mtu_outgoing,
    ),
    Fault(
        "mtu-between-two",
        "TCP packets above 1,000 bytes between the pods of two nodes are dropped",
        "Downloads between pods of these two nodes hang, and no others",
        "nothing, because its checks are small",
        mtu_between_two,
        proof_mtu_between_two,
    ),
)
