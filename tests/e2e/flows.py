"""Flows of pods as the nodes' conntrack has seen them, and what a NetworkPolicy says of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from e2e.cluster.cluster import Cluster

_ENTRY: Final = re.compile(
    r"^(?P<protocol>tcp|udp)\s.*?src=(?P<source>\S+) dst=\S+ sport=\d+ dport=\d+ .*?"
    r"src=(?P<server>\S+) dst=\S+ sport=(?P<port>\d+) "
)
"""`conntrack -L`: the way it was asked, then the way it is answered (after DNAT)."""


@dataclass(frozen=True, slots=True)
class Flow:
    """To ``port`` of ``peer`` where it leaves a pod, else from ``peer`` to ``port`` of a pod."""

    protocol: str
    peer: str
    port: int
    leaves: bool


def of_pods(cluster: Cluster, addresses: Collection[str]) -> set[Flow]:
    """What any node has seen of these pods; Services by the pods behind them."""
    found: set[Flow] = set()
    for node in cluster.nodes.values():
        listed = node.machine.net("conntrack", "-L")
        for entry in map(_ENTRY.match, listed.splitlines()):
            if entry is None:
                continue
            protocol, port = entry["protocol"], int(entry["port"])
            if entry["source"] in addresses:
                found.add(Flow(protocol, entry["server"], port, leaves=True))
            if entry["server"] in addresses:
                found.add(Flow(protocol, entry["source"], port, leaves=False))
    return found


def allowed(spec: Mapping[str, Any], flow: Flow) -> bool:
    """Whether a rule of the policy names the flow's port, and asks for no peer."""
    rules = spec["egress" if flow.leaves else "ingress"]
    return any(
        not rule.get("to" if flow.leaves else "from")
        and any(
            port["port"] == flow.port and port.get("protocol", "TCP") == flow.protocol.upper()
            for port in rule["ports"]
        )
        for rule in rules
    )
