"""What faults do to the wire of one machine: its port on the fabric, where no node can see it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from e2e.cluster import fabric

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.cluster import Cluster


@contextmanager
def dropping(cluster: Cluster, machine: str, *, to: str = "", away: str = "") -> Iterator[None]:
    """Drop the packets ``to`` the machine and ``away`` from it that match, in nft's words."""
    port = fabric.port_of(machine)
    table = f"netdev dropping-{port}"
    chains = "".join(
        f"chain {hook} {{\n type filter hook {hook} device {port} priority 0\n {match} drop\n}}\n"
        for hook, match in (("egress", to), ("ingress", away))
        if match
    )
    cluster.control.net("nft", "-f", "-", text=f"table {table} {{\n{chains}}}\n")
    try:
        yield
    finally:
        cluster.control.net("nft", "delete", "table", *table.split())


@contextmanager
def limited(cluster: Cluster, machine: str, *, rate: str, queue_bytes: int) -> Iterator[None]:
    """Let no more than ``rate`` (`4mbit`) through to the machine; what is more waits in a queue."""
    port = fabric.port_of(machine)
    cluster.control.net(
        *("tc", "qdisc", "replace", "dev", port, "root"),
        *("tbf", "rate", rate, "burst", "8kb", "limit", str(queue_bytes)),
    )
    try:
        yield
    finally:
        cluster.control.net("tc", "qdisc", "delete", "dev", port, "root")
