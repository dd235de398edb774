"""Reads a Node: is it leaving, is it ready, in which zone is it. No I/O.

Nodes are looked at one by one, when their pod is picked or fails; never all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from kubenurse_otel.discovery.pods import bounded
from kubenurse_otel.discovery.schema import Node, decode
from kubenurse_otel.model import NodeState
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from collections.abc import Collection

_NODE: Final = msgspec.json.Decoder(Node)
_STATES: Final = {
    "True": NodeState.READY,
    "False": NodeState.NOT_READY,
    "Unknown": NodeState.NOT_READY,
}
MAX_ZONE_LENGTH: Final = 63
"""The longest label value in characters (Kubernetes, labels and selectors)."""


@record(frozen=True, slots=True)
class NodeView:
    """``leaving`` says why the node is going away, and is empty while it stays."""

    leaving: str = ""
    state: NodeState = NodeState.UNKNOWN
    zone: str = ""


DELETED: Final = NodeView(leaving="deleted")
CORDON: Final = "node.kubernetes.io/unschedulable"
"""The taint that Kubernetes sets for spec.unschedulable, and removes a moment after that is unset.
"""


def decode_node(content: bytes, leaving_taints: Collection[str]) -> tuple[str, NodeView]:
    """Return (name, view) of a Node's JSON. Raises msgspec.DecodeError."""
    node = decode(_NODE, content)
    return bounded(node.metadata.name), node_view(node, leaving_taints)


def node_view(node: Node, leaving_taints: Collection[str]) -> NodeView:
    """Return the view of a Node. If the kubelet is silent, Ready is "Unknown", which counts as not
    ready.
    """
    keys = (one.key for one in node.spec.taints or ())
    taint = next((key for key in keys if key in leaving_taints and key != CORDON), None)
    if node.metadata.deletion_timestamp is not None:
        leaving = "deleted"
    elif node.spec.unschedulable:
        leaving = "cordoned"
    elif taint is not None:
        leaving = f"tainted {taint}"
    else:
        leaving = ""
    ready = next((one.status for one in node.status.conditions or () if one.type == "Ready"), "")
    zone = node.metadata.labels.zone if node.metadata.labels is not None else ""
    return NodeView(
        leaving=leaving,
        state=_STATES.get(ready, NodeState.UNKNOWN),
        zone=zone if len(zone) <= MAX_ZONE_LENGTH else "",
    )
