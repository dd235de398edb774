"""Run by test_hasty_agent.py in a network of its own: an agent whose neighbours lose packets.

Prints how many connections they took, and how many checks the agent counts.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from agents import environment, running, wait_for
from servers import FaultServer, answer

PORT = 18080
LOSS = """
table inet faults {
  chain in {
    type filter hook input priority 0
    ip daddr 127.0.1.0/24 tcp dport 18080 numgen random mod 100 < 30 drop
  }
}
"""
WANTED = 60


def main() -> None:
    nodes = {f"node-{number}": f"127.0.1.{number}" for number in (2, 3, 4)}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = [
            stack.enter_context(
                FaultServer(
                    answer(headers=[("KUBENURSE-NODE-NAME", node)]), host=address, port=PORT
                )
            )
            for node, address in nodes.items()
        ]
        listed = [
            {"podName": f"kubenurse-{node}", "nodeName": node, "podIP": address}
            for node, address in nodes.items()
        ]
        (folder / "neighbours.json").write_text(json.dumps(listed))
        environ = environment(
            "127.0.1.1",
            "node-1",
            PORT,
            KUBENURSE_NEIGHBOURS_FILE=str(folder / "neighbours.json"),
            KUBENURSE_CHECK_INTERVAL="2s",
            KUBENURSE_HASTE=sys.argv[1] if len(sys.argv) > 1 else "10",
        )
        (agent,) = stack.enter_context(running([environ], folder))

        def checks() -> float:
            name = "kubenurse_checks_timed_total"
            return sum(v for series, v in agent.metrics().items() if series.startswith(name))

        wait_for(lambda: checks() >= 3, seconds=30, what="checks of all three")
        before = sum(server.accepted for server in servers)
        subprocess.run(["nft", "-f", "-"], input=LOSS.encode(), check=True)
        wait_for(
            lambda: sum(server.accepted for server in servers) - before >= WANTED,
            seconds=100,
            what="checks in haste",
        )
        sys.stdout.write(
            json.dumps(
                {
                    "taken": sum(server.accepted for server in servers) - before,
                    "counted": checks(),
                    "errors": [s for s in agent.metrics() if s.startswith("kubenurse_errors")],
                }
            )
        )


if __name__ == "__main__":
    main()
