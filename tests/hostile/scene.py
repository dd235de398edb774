"""A run's cluster: its CA, the agents' certificate, a token, and what all agents are told."""

from __future__ import annotations

import hashlib
import itertools
import json
import ssl
from typing import TYPE_CHECKING, Final

import trustme

from hostile import network
from hostile.agent import PORT, TLS_PORT

if TYPE_CHECKING:
    from pathlib import Path

KNOWN: Final = 1_000
"""Neighbours that the attacked agent knows, so that its /alive has 0.2 MB; it checks one."""
HONEST: Final = f"honest:http://{network.NEIGHBOUR}:{PORT}/alwayshappy"
GARBAGE: Final = (
    "\0\x1b[31m not what stands here\nbtime soon\ncpu -1 x\nthrottled_usec many\n"
    "Max open files some most files\n0::/../..\n4:memory,cpu:/no/such/group\n"
)
"""In place of files of /proc: the words that are looked for, and no numbers behind them."""
NODES: Final = {network.AGENT: "attacked", network.NEIGHBOUR: "neighbour"}


def make(folder: Path) -> None:
    """Write everything that agents and attackers read."""
    ours, public = trustme.CA(), trustme.CA(organization_name="a public authority")
    ours.cert_pem.write_to_path(str(folder / "ca.crt"))
    ours.cert_pem.write_to_path(str(folder / "extra-ca.crt"))
    public.cert_pem.write_to_path(str(folder / "public.crt"))
    for name, authority in (("server.pem", ours), ("public.pem", public)):
        leaf = authority.issue_cert(*NODES, network.FAR_END, network.API_SERVER)
        leaf.private_key_and_cert_chain_pem.write_to_path(str(folder / name))
    (folder / "token").write_text("a-token-that-opens-nothing")
    (folder / "garbage").write_text(GARBAGE)
    (folder / "neighbours.json").write_text(json.dumps(_known()))
    (folder / "attacked.json").write_text(json.dumps([_entry(NODES[network.AGENT], network.AGENT)]))


def server_context(folder: Path, name: str = "server.pem") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / name)
    return context


def environment(address: str, folder: Path, *, tls: bool) -> dict[str, str]:
    """What an agent is told in every attack."""
    attacked = address == network.AGENT
    plain = {
        "KUBENURSE_DISCOVERY": "static",
        "KUBENURSE_NEIGHBOURS_FILE": str(
            folder / ("neighbours.json" if attacked else "attacked.json")
        ),
        "KUBENURSE_NEIGHBOUR_LIMIT": "1",
        "KUBENURSE_NODE_NAME": NODES[address],
        "KUBENURSE_POD_NAME": f"kubenurse-{NODES[address]}",
        "KUBENURSE_POD_IP": address,
        "KUBENURSE_NAMESPACE": "hostile",
        "KUBENURSE_CHECK_API_SERVER_DIRECT": "false",
        "KUBENURSE_CHECK_API_SERVER_DNS": "false",
        "KUBENURSE_CHECK_INTERVAL": "500ms",
        "KUBENURSE_SHUTDOWN_DURATION": "500ms",
        "KUBENURSE_SERVICE_ACCOUNT_DIR": str(folder),
        "KUBENURSE_EXTRA_CA": str(folder / "extra-ca.crt"),
    }
    if attacked:
        plain["KUBENURSE_EXTRA_CHECKS"] = HONEST
    if tls:
        plain |= {
            "KUBENURSE_USE_TLS": "true",
            "KUBENURSE_TLS_PORT": str(TLS_PORT),
            "KUBENURSE_CERT_FILE": str(folder / "server.pem"),
            "KUBENURSE_CERT_KEY": str(folder / "server.pem"),
        }
    return plain


def _known() -> list[dict[str, str]]:
    """The real neighbour is the next of the ring after us: no made-up node lies between the two."""
    ours, next_one = (_place(NODES[address]) for address in (network.AGENT, network.NEIGHBOUR))
    made_up = (f"node-{number}" for number in itertools.count())
    behind = (name for name in made_up if (_place(name) - ours) % 2**64 > (next_one - ours) % 2**64)
    return [
        _entry(NODES[network.NEIGHBOUR], network.NEIGHBOUR),
        *(
            _entry(name, f"10.77.{8 + number // 250}.{1 + number % 250}")
            for number, name in enumerate(itertools.islice(behind, KNOWN - 1))
        ),
    ]


def _entry(node: str, address: str) -> dict[str, str]:
    return {"podName": f"kubenurse-{node}", "nodeName": node, "podIP": address}


def _place(node: str) -> int:
    return int.from_bytes(hashlib.sha256(node.encode()).digest()[:8], "big")
