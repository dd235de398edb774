"""TCP that breaks: at one node's agent, or at the ingress. The network between nodes is sound."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from e2e.cluster.fabric import UPLINK
from e2e.faults.failing import Failing, nothing_else
from e2e.faults.fault import Fault
from e2e.faults.impostor import at_an_agent, at_the_ingress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.cluster import Cluster
    from e2e.faults.scene import Scene

_TABLE: Final = "fault-sockets"


@contextmanager
def _ruled(cluster: Cluster, node: str, chains: str) -> Iterator[None]:
    machine = cluster.nodes[node].machine
    try:
        machine.net("nft", "-f", "-", text=f"table ip {_TABLE} {{\n{chains}}}\n")
        yield
    finally:
        machine.net("nft", "delete", "table", "ip", _TABLE, check=False)


@contextmanager
def reset_on_connect(cluster: Cluster, node: str) -> Iterator[None]:
    """Whoever connects from elsewhere to the node's agent gets an RST; kubelet is not elsewhere."""
    address = cluster.agents()[node]["status"]["podIP"]
    rule = f"iifname {UPLINK} ip daddr {address} tcp dport 8080 reject with tcp reset\n"
    chain = f"chain forward {{\ntype filter hook forward priority -10;\n{rule}}}\n"
    with _ruled(cluster, node, chain):
        yield


@contextmanager
def conntrack_full(cluster: Cluster, node: str) -> Iterator[None]:
    """Drop new connections to, from and through the node; those that stand go on.

    A full table drops the same. net.netfilter.nf_conntrack_max is one for all network namespaces
    (and read-only in a machine's), so it cannot be the node's own.
    """
    chains = "".join(
        f"chain {hook} {{\ntype filter hook {hook} priority -10;\n"
        f"iifname lo accept\n{'oifname lo accept' if hook != 'input' else ''}\n"
        "ct state new drop\n}\n"
        for hook in ("input", "forward")
    )
    with _ruled(cluster, node, chains):
        yield


# --- what must be seen ----------------------------------------------------------------------------


def proof_agent(error_type: str, phase: str, scene: Scene) -> None:
    """Every other node fails to check this one; of three pods behind the Service one is lost."""
    node = scene.node
    failing = Failing(f"path_{node}", error_type, phase)
    failing.seen(scene, nodes=scene.others)
    failing.trace(scene)
    # The pod is Ready, for kubelet asks it: a third of the Service's connections are lost, which
    # from two of three nodes is just about the threshold of its alert.
    Failing("me_service", error_type, phase).trace(scene)
    scene.may_alert("KubenurseServiceFailing")
    scene.alerts("KubenurseNodeUnreachable", node=node)
    # The ingress asks another pod where one resets the connection.
    nothing_else(scene, f"path_{node}", "me_service")


def proof_conntrack(scene: Scene) -> None:
    """The node is named by those who cannot reach it; what it says of others counts for nothing."""
    node = scene.node
    failing = Failing(f"path_{node}", "connect_timeout", "connect")
    failing.seen(scene, nodes=scene.others)
    failing.trace(scene)
    for other in scene.others:
        Failing(f"path_{other}", "connect_timeout", "connect").seen(scene, nodes=[node])
    Failing("api_server_direct", "connect_timeout", "connect").seen(scene, nodes=[node])
    scene.alerts("KubenurseNodeUnreachable", node=node)
    first, second = scene.others[:2]
    scene.unmoved(
        f'kubenurse_check_failures_total{{type="path_{second}", node="{first}"}}',
        what="failures between the other nodes",
    )


def proof_ingress(error_type: str, phase: str, scene: Scene) -> None:
    failing = Failing("me_ingress", error_type, phase)
    failing.seen(scene, nodes=list(scene.cluster.nodes))
    failing.trace(scene)
    scene.alerts("KubenurseIngressFailing", type="me_ingress")
    nothing_else(scene, "me_ingress")


FAULTS: Final = (
    Fault(
        "reset-on-connect",
        "A node's agent port answers SYN with RST",
        "Connections to that pod are refused",
        "errors at path_<node>, event connect_done, each counted twice",
        reset_on_connect,
        partial(proof_agent, "connection_refused", "connect"),
    ),
    Fault(
        "reset-after-request",
        "A node's agent port resets the connection when it has the request",
        "Requests to that pod are cut off",
        "round_trip_error at path_<node>",
        partial(at_an_agent, "reset_after_request"),
        partial(proof_agent, "connection_reset", "request"),
    ),
    Fault(
        "half-closed",
        "The ingress takes the request, and closes its half of the connection without an answer",
        "The site does not answer",
        "round_trip_error at me_ingress",
        partial(at_the_ingress, "half_closed_without_answer", tls=True),
        partial(proof_ingress, "connection_closed_early", "request"),
    ),
    Fault(
        "accept-queue-full",
        "The ingress' accept queue is full, so it drops every SYN",
        "The site cannot be reached",
        "errors at me_ingress after its time-out; all other checks of the round wait for it",
        partial(at_the_ingress, "full_backlog", tls=False),
        partial(proof_ingress, "connect_timeout", "connect"),
    ),
    Fault(
        "truncated-body",
        "The ingress announces 1,000 bytes, sends 10 and closes",
        "Pages are incomplete",
        "nothing: a 200 is good, and the body is not read",
        partial(at_the_ingress, "truncated_body", tls=True),
        partial(proof_ingress, "connection_closed_early", "receive"),
    ),
    Fault(
        "conntrack-full",
        "A node drops new connections, as a full conntrack table does",
        "No new connections to or from the node's pods. Open connections go on",
        "errors at path_<node> from all nodes, and at everything from this node",
        conntrack_full,
        proof_conntrack,
    ),
)
