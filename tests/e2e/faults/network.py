"""The network loses packets, or a node's link is down: on the wire, where no node can see it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from e2e.cluster import fabric
from e2e.faults.fault import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.cluster import Cluster
    from e2e.faults.scene import Scene


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


FAULTS: Final = (
    Fault(
        "node-link-down",
        "A node's link is down",
        "Pods on the node cannot be reached",
        "errors at path_<node> from every other node, each counted twice",
        link_down,
        proof_link_down,
    ),
)
