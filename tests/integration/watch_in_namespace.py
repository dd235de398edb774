"""A watch whose connection is gone without a word, run in a namespace; prints JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from apiserver.following import agent_of, following
from apiserver.objects import node, pod
from apiserver.stand_in import StandIn, stand_in
from servers.lost_connections import lose_connections

from kubenurse_otel.discovery.timings import Timings

SECONDS = 90.0


async def main(server: StandIn) -> dict[str, object]:
    server.put(node("own"), pod("own"), node("a"), pod("a"))
    config = agent_of(server, token_file=server.token_file)
    async with following(config, Timings()) as seen:
        await seen.until_chosen("a")
        await asyncio.to_thread(lose_connections, server.port)
        began = time.monotonic()
        server.put(node("b"), pod("b"))
        await seen.until_chosen("a", "b", seconds=SECONDS)
        return {"seconds": round(time.monotonic() - began, 1)}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory, stand_in(Path(directory)) as one:
        json.dump(asyncio.run(main(one)), sys.stdout)
