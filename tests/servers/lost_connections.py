"""Connections that are gone without a word, in a network namespace of the test's own.

What a NAT that forgot them leaves, or a far node that died: no packet of theirs comes through any
more, new connections do.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

_ESTABLISHED = "01"
_RULES = """
table inet lost {{
  chain in {{
    type filter hook input priority 0
    tcp sport {server} tcp dport {{ {clients} }} drop
    tcp dport {server} tcp sport {{ {clients} }} drop
  }}
}}
"""


def lose_connections(port: int) -> None:
    """Drop all packets of the connections that are open to ``port`` now. Needs root and nft."""
    rules = _RULES.format(server=port, clients=", ".join(map(str, _clients(port))))
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)


def _clients(port: int) -> list[int]:
    """The local ports that are connected to ``port``, by /proc/net (hexadecimal). grpcio connects
    to IPv4 from a socket of IPv6.
    """
    rows = [
        [column.rpartition(":")[2] for column in line.split()[1:4]]
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return [
        int(local, 16)
        for local, far, state in rows
        if state == _ESTABLISHED and int(far, 16) == port
    ]
