"""Bytes and packets of each measured agent by what it talks to, counted by nft.

An agent is known by its group id (it stays root, to read our Python); its connections are marked
(conntrack), so that answers count too.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bench.large import place

if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS: Final = {
    "api": f"ip daddr {place.API_SERVER} tcp dport {place.API_PORT}",
    "api_dns": f"ip daddr {place.API_SERVICE} tcp dport {place.API_PORT}",
    "ingress": f"ip daddr {place.INGRESS} tcp dport 443",
    "service": f"ip daddr {place.SERVICE} tcp dport 8080",
    "path": "ip daddr 10.64.0.0/11 tcp dport 8080",
    "dns": f"ip daddr {place.DNS} udp dport 53",
}
_DIRECTIONS: Final = {"out": "original", "in": "reply"}


@dataclass(frozen=True, slots=True)
class Count:
    packets: int
    bytes: int

    def since(self, before: Count) -> Count:
        return Count(self.packets - before.packets, self.bytes - before.bytes)


def rules(groups: Sequence[int], agents: Sequence[str]) -> str:
    """Count each group's traffic, and lead the Service to one of ``agents``, as kube-proxy does."""
    names = [f"{g}_{kind}_{way}" for g in groups for kind in KINDS for way in _DIRECTIONS]
    marks = {
        (g, kind): 256 * (i + 1) + j for i, g in enumerate(groups) for j, kind in enumerate(KINDS)
    }
    lines = ["table inet bench {"]
    lines += [f" counter c{name} {{ }}" for name in names]
    lines += [" chain marking {", "  type filter hook output priority -150;"]
    lines += [f"  meta skgid {g} {KINDS[kind]} ct mark set {m}" for (g, kind), m in marks.items()]
    lines += [" }", " chain counting {", "  type filter hook postrouting priority 200;"]
    lines += [
        f'  ct mark {m} ct direction {direction} counter name "c{g}_{kind}_{way}"'
        for (g, kind), m in marks.items()
        for way, direction in _DIRECTIONS.items()
    ]
    spread = ", ".join(f"{i} : {address}" for i, address in enumerate(agents))
    lines += [" }", " chain service {", "  type nat hook output priority -100;"]
    lines.append(
        f"  {KINDS['service']} dnat ip to numgen random mod {len(agents)} map {{ {spread} }}"
    )
    return "\n".join([*lines, " }", "}", ""])


def install(text: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True, timeout=20)


def counts(group: int) -> dict[str, Count]:
    """Return Count by ``<kind>_<in|out>``."""
    done = subprocess.run(
        ["nft", "-j", "list", "counters", "table", "inet", "bench"],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    listed = [one["counter"] for one in json.loads(done.stdout)["nftables"] if "counter" in one]
    start = f"c{group}_"
    return {
        one["name"].removeprefix(start): Count(one["packets"], one["bytes"])
        for one in listed
        if one["name"].startswith(start)
    }
