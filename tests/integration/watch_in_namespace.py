"""A watch whose connection is gone without a word, run in a namespace; prints JSON.

What a NAT that forgot it leaves: no packet of it comes through any more, new connections do.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from apiserver.following import agent_of, following
from apiserver.objects import node, pod
from apiserver.stand_in import StandIn, stand_in

from kubenurse_otel.discovery.timings import Timings

RULES = """
table ip lost {{
  chain in {{
    type filter hook input priority 0
    tcp sport {server} tcp dport {{ {clients} }} drop
    tcp dport {server} tcp sport {{ {clients} }} drop
  }}
}}
"""
SECONDS = 90.0


def clients(port: int) -> list[int]:
    """The local ports that are connected to ``port``, by /proc/net/tcp (hexadecimal)."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ends = [(one[1].rpartition(":")[2], one[2].rpartition(":")[2], one[3]) for one in lines]
    return [int(local, 16) for local, far, state in ends if int(far, 16) == port and state == "01"]


def lose(rules: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)


async def main(server: StandIn) -> dict[str, object]:
    server.put(node("own"), pod("own"), node("a"), pod("a"))
    config = agent_of(server, token_file=server.token_file)
    async with following(config, Timings()) as seen:
        await seen.until_chosen("a")
        rules = RULES.format(server=server.port, clients=", ".join(map(str, clients(server.port))))
        await asyncio.to_thread(lose, rules)
        began = time.monotonic()
        server.put(node("b"), pod("b"))
        await seen.until_chosen("a", "b", seconds=SECONDS)
        return {"seconds": round(time.monotonic() - began, 1)}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory, stand_in(Path(directory)) as one:
        json.dump(asyncio.run(main(one)), sys.stdout)
