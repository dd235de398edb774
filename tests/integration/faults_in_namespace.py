"""Rules of faults on a port of the fabric, taken by the real nft, and gone afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from e2e.cluster import fabric
from e2e.faults import extra, network, wire

if TYPE_CHECKING:
    from e2e.cluster.cluster import Cluster


def net(*command: str, text: str | None = None) -> str:
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def rules() -> int:
    return net("nft", "list", "ruleset").count(" drop\n")


def main() -> None:
    nodes = {
        f"node-{number}": SimpleNamespace(
            pod_subnet=f"10.{number}.0.0/24", machine=SimpleNamespace(address=f"10.90.0.{number}")
        )
        for number in (1, 2, 3)
    }
    cluster = cast("Cluster", SimpleNamespace(nodes=nodes, control=SimpleNamespace(net=net)))
    for machine in ("node-2", "edge"):
        net("ip", "link", "add", fabric.port_of(machine), "type", "veth", "peer", "name", machine)
    faults = {
        "node-cut-inwards": network.cut_inwards(cluster, "node-2"),
        "mtu-black-hole": network.mtu_black_hole(cluster, "node-2"),
        "mtu-outgoing": network.mtu_outgoing(cluster, "node-2"),
        "mtu-between-two": network.mtu_between_two(cluster, "node-2"),
        "extra-tcp-silent": wire.dropping(cluster, "edge", to=extra.TO_PORT),
    }
    said = {}
    for name, fault in faults.items():
        with fault:
            during = rules()
        said[name] = [during, rules()]
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
