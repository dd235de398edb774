"""Run by test_mtu_agents.py in a network of its own: large packets to one agent's address vanish.

Prints what another agent says of it: /api/v1/verdicts, /alive, its log, `kubenurse-otel diagnose`.
Loopback has an Ethernet's MTU there, and no ICMP.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import agents
from agents import environment, inherited, running, wait_for, write_neighbours

PORT = 18080
HOLE = """
table inet faults {
  chain in {
    type filter hook input priority 0
    ip daddr 127.0.1.3 meta l4proto tcp meta length > 1400 counter drop
  }
}
"""
QUICK = {
    "KUBENURSE_CHECK_INTERVAL": "3s",
    "KUBENURSE_CHECK_TIMEOUT": "2s",
    "KUBENURSE_CHECK_INTERVAL_FULL_SIZE": "20s",
}


def main() -> None:
    agents.START_SECONDS = 120.0  # four at once, and the machine may be busy
    intervals = QUICK if "as it is" not in sys.argv[1:] else {"KUBENURSE_CHECK_INTERVAL": "5s"}
    nodes = {f"node-{number}": f"127.0.1.{number}" for number in (1, 2, 3, 4)}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        subprocess.run(["ip", "link", "set", "lo", "mtu", "1500"], check=True)
        file = folder / "neighbours.json"
        write_neighbours(file, nodes)
        environs = [
            environment(
                address,
                node,
                PORT,
                KUBENURSE_NEIGHBOURS_FILE=str(file),
                KUBENURSE_CHECK_FULL_SIZE="true",
                **intervals,
            )
            for node, address in nodes.items()
        ]
        first = stack.enter_context(running(environs, folder))[0]

        def checks() -> float:
            name = 'kubenurse_httpclient_requests_total{type="full_size",code="200"'
            return sum(v for series, v in first.metrics().items() if series.startswith(name))

        wait_for(lambda: checks() >= 3, seconds=200, what="a full-size check of each")
        subprocess.run(["nft", "-f", "-"], input=HOLE.encode(), check=True)

        def verdicts() -> list[dict[str, object]]:
            found: list[dict[str, object]] = first.document("/api/v1/verdicts").json()["verdicts"]
            # A busy machine starves agents, and they are named for that.
            return [one for one in found if one["state"] == "raised" and one["kind"] == "node_mtu"]

        (verdict,) = wait_for(verdicts, seconds=240, what="a verdict")

        def diagnosed() -> str:
            """A machine that is busy lets a verdict go for a moment."""
            done = subprocess.run(
                [sys.executable, "-m", "kubenurse_otel", "diagnose", f"http://127.0.1.1:{PORT}"],
                capture_output=True,
                text=True,
                env=inherited(),
                check=False,
            )
            return done.stdout if "no full-size ones" in done.stdout else ""

        says = wait_for(diagnosed, seconds=200, what="a diagnosis of it")
        alive = first.alive()
        dropped = subprocess.run(
            ["nft", "list", "ruleset"], capture_output=True, text=True, check=True
        ).stdout
        found = {
            "verdict": verdict,
            "target": alive["details"]["targets"]["full_size_node-3"],
            "log": [line for line in first.log().splitlines() if "WARNING" in line],
            "diagnose": says,
            "errors": {
                series: value
                for series, value in first.metrics().items()
                if series.startswith("kubenurse_check_failures_total")
            },
            "paths": sorted(
                series
                for series in first.metrics()
                if series.startswith("kubenurse_httpclient_request_duration_seconds_count")
            ),
            "dropped": "counter packets 0 " not in dropped,
        }
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        wait_for(lambda: not verdicts(), seconds=200, what="the verdict's end")

        def cleared() -> list[str]:
            """A thread writes the log: a moment later, on a busy machine."""
            return [line for line in first.log().splitlines() if "cleared" in line]

        found["cleared"] = wait_for(cleared, seconds=60, what="its end in the log")
    json.dump(found, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
