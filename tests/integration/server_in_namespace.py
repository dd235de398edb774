"""The checks of test_server_network.py, run in a namespace of our own; prints JSON.

A host without IPv6, and a handshake whose SYN-ACK is lost once on its way.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from waiting import until

sys.path.insert(0, str(Path(__file__).parent))

from running_server import ask, running

LOST_SYNACKS = """
table ip lossy {
  counter lost { }
  chain out {
    type filter hook output priority 0
    tcp flags & (syn | ack) == (syn | ack) counter name lost drop
  }
}
"""


def nft(rules: str) -> str:
    done = subprocess.run(
        ["nft", "-f", "-"], input=rules, text=True, check=True, capture_output=True
    )
    return done.stdout


def any_lost() -> bool:
    return "packets 0 " not in nft("list counter ip lossy lost")


async def main() -> None:
    found: dict[str, Any] = {}
    async with running() as here:
        nft(LOST_SYNACKS)
        asking = asyncio.create_task(ask(here.port, "/alwayshappy"))
        await until(any_lost)
        nft("delete table ip lossy")
        found["synack"] = (await asking).timing["synack"]
    for name in ("all", "default", "lo"):
        Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")  # noqa: ASYNC240 - a sysctl
    async with running(listen_address="") as here:
        found["without_ipv6"] = (await ask(here.port, "/alwayshappy")).status
    json.dump(found, sys.stdout)


asyncio.run(main())
