"""The wire between the machines: a bridge in `control`'s network, a port for every other machine.

Every machine has a route to the pods of every node. Addresses: 10.90.0.0/24.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2e.cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e2e.cluster.machine import Machine
    from e2e.cluster.node import Node

BRIDGE: Final = "fabric"
UPLINK: Final = "eth0"


def port_of(name: str) -> str:
    """The bridge's port (in `control`'s network) that machine ``name`` hangs on."""
    return f"p-{name}"


def start(control: Machine) -> None:
    # The bridge is a switch: packets that only pass it are no business of nft.
    control.net("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0")
    # Everybody's default route: what leads nowhere is answered with ICMP, not with silence.
    control.net("sysctl", "-qw", "net.ipv4.ip_forward=1")
    control.net("ip", "link", "add", "name", BRIDGE, "type", "bridge", "forward_delay", "0")
    control.net("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0")
    control.net("ip", "address", "add", f"{control.address}/24", "dev", BRIDGE)
    control.net("ip", "link", "set", BRIDGE, "up")


def plug(control: Machine, machine: Machine) -> None:
    """Give ``machine`` its uplink."""
    port = port_of(machine.name)
    if len(port) > 15:
        raise ClusterError(f"{port}: a device's name has at most 15 characters")
    peer = ("peer", "name", UPLINK, "netns", str(machine.pid))
    control.net("ip", "link", "add", "name", port, "type", "veth", *peer)
    control.net("ip", "link", "set", port, "master", BRIDGE, "up")
    machine.net("ip", "address", "add", f"{machine.address}/24", "dev", UPLINK)
    machine.net("ip", "link", "set", UPLINK, "up")
    # A packet to a Service must have some way, or kube-proxy cannot refuse it.
    machine.net("ip", "route", "add", "default", "via", control.address)


def unplug(control: Machine, name: str) -> None:
    control.net("ip", "link", "delete", port_of(name), check=False)


def route(machines: Iterable[Machine], nodes: Iterable[Node]) -> None:
    """Tell every machine by which node the pods of each node are reached."""
    nodes = list(nodes)
    for machine in machines:
        for node in nodes:
            if node.machine.name != machine.name:
                way = (node.pod_subnet, "via", node.machine.address)
                machine.net("ip", "route", "replace", *way)
