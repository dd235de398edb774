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
    "KUBENURSE_CHECK_INTERVAL": "1s",
    "KUBENURSE_CHECK_TIMEOUT": "2s",
    "KUBENURSE_CHECK_INTERVAL_FULL_SIZE": "20s",
}


def main() -> None:
    intervals = QUICK if "as it is" not in sys.argv[1:] else {"KUBENURSE_CHECK_INTERVAL": "5s"}
    nodes = {f"node-{number}": f"127.0.1.{number}" for number in (1, 2, 3, 4)}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        subprocess.run(["ip", "link", "set", "lo", "mtu", "1500"], check=True)
        file = folder / "neighbours.json"
        write_neighbours(file, nodes)
        environs = [
            environment(address, node, PORT, KUBENURSE_NEIGHBOURS_FILE=str(file), **intervals)
            for node, address in nodes.items()
        ]
        agents = stack.enter_context(running(environs, folder))
        first = agents[0]

        def checks() -> float:
            name = 'kubenurse_httpclient_requests_total{type="full_size",code="200"'
            return sum(v for series, v in first.metrics().items() if series.startswith(name))

        wait_for(lambda: checks() >= 3, seconds=100, what="a full-size check of each")
        subprocess.run(["nft", "-f", "-"], input=HOLE.encode(), check=True)

        def verdicts() -> list[dict[str, object]]:
            found: list[dict[str, object]] = first.document("/api/v1/verdicts").json()["verdicts"]
            # A busy machine starves agents, and they say so.
            return [one for one in found if one["state"] == "raised" and one["kind"] != "prober"]

        wait_for(verdicts, seconds=150, what="a verdict")
        diagnosed = subprocess.run(
            [sys.executable, "-m", "kubenurse_otel", "diagnose", f"http://127.0.1.1:{PORT}"],
            capture_output=True,
            text=True,
            env=inherited(),
            check=False,
        )
        alive = first.alive()
        dropped = subprocess.run(
            ["nft", "list", "ruleset"], capture_output=True, text=True, check=True
        ).stdout
        found = {
            "verdicts": verdicts(),
            "last_check_result": {
                key: alive["last_check_result"].get(key) for key in ("full_size", "path_node-3")
            },
            "target": alive["details"]["targets"]["full_size_node-3"],
            "log": [line for line in first.log().splitlines() if "WARNING" in line],
            "diagnose": {"code": diagnosed.returncode, "says": diagnosed.stdout},
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
        wait_for(lambda: not verdicts(), seconds=100, what="the verdict's end")
        found["cleared"] = [line for line in first.log().splitlines() if "cleared" in line]
    json.dump(found, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
