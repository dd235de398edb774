"""A misbehaving server in the place of another: new connections that come to it are turned over.

What it stands in for goes on, its open connections too; healed when the rule is gone.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from e2e.cluster.fabric import UPLINK
from e2e.misbehaving import server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.cluster import Cluster
    from e2e.cluster.machine import Machine

_TABLE: Final = "impostor"
_PORT: Final = 4433
_AGENT_PORT: Final = 8080


@contextmanager
def instead(
    machine: Machine, behaviour: str, *, address: str, port: int, pair: tuple[str, str] = ("", "")
) -> Iterator[None]:
    """What comes to ``machine`` from outside for address:port meets ``behaviour``.

    ``pair`` are the PEM files of a certificate and its key, for one that speaks TLS.
    """
    certificate, key = pair
    # Before kube-proxy's rules, which stand at the usual priority of dstnat.
    rules = (
        "type nat hook prerouting priority dstnat - 10;\n"
        f"iifname {UPLINK} ip daddr {address} tcp dport {port} redirect to :{_PORT}\n"
    )
    try:
        server.start(machine, behaviour, port=_PORT, certificate=certificate, key=key)
        machine.net(
            "nft", "-f", "-", text=f"table ip {_TABLE} {{\nchain prerouting {{\n{rules}}}\n}}\n"
        )
        yield
    finally:
        machine.net("nft", "delete", "table", "ip", _TABLE, check=False)
        server.stop(machine, _PORT)


@contextmanager
def at_the_ingress(behaviour: str, cluster: Cluster, _node: str, *, tls: bool) -> Iterator[None]:
    """In the ingress' place; with ``tls`` the handshake is sound, with the ingress' certificate."""
    folder = cluster.credentials.folder
    pair = (str(folder / "ingress.crt"), str(folder / "ingress.key")) if tls else ("", "")
    edge = cluster.edge
    with instead(edge, behaviour, address=edge.address, port=443, pair=pair):
        yield


@contextmanager
def at_an_agent(behaviour: str, cluster: Cluster, node: str) -> Iterator[None]:
    """In the place of a node's agent, for whoever asks from elsewhere (kubelet asks the agent)."""
    address = cluster.agents()[node]["status"]["podIP"]
    machine = cluster.nodes[node].machine
    with instead(machine, behaviour, address=address, port=_AGENT_PORT):
        yield
