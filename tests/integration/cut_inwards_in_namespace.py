"""Run by test_cut_inwards.py: three agents, each in a network of its own, on one bridge.

Prints what the agents say while node-3 sends and receives nothing: what comes in there is dropped.
Then it is healed, and its link goes down.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import agents
from agents import Agent, environment, running, wait_for, write_neighbours
from servers.far_end import Namespace, nft

PORT = 18080
NODES = {f"node-{number}": f"10.90.0.{number}" for number in (1, 2, 3)}
CUT = """
table inet faults {
  chain in {
    type filter hook input priority 0
    ip saddr { 10.90.0.1, 10.90.0.2 } counter drop
  }
}
"""


def run(*command: str) -> None:
    subprocess.run(command, check=True)


def plug(node: str, address: str) -> Namespace:
    """A network of ``node``'s own on the bridge, with an address."""
    network = Namespace()
    there = f"/proc/self/fd/{network.file}"
    cable = ("ip", "link", "add", node, "type", "veth", "peer", "eth0", "netns", there)
    subprocess.run(cable, pass_fds=(network.file,), check=True)
    run("ip", "link", "set", node, "master", "wire", "up")
    with network.entered():
        run("ip", "address", "add", f"{address}/24", "dev", "eth0")
        run("ip", "link", "set", "eth0", "up")
        run("ip", "link", "set", "lo", "up")
    return network


def raised(agent: Agent) -> list[list[str]]:
    """A busy machine starves agents, and they are named for that."""
    found: list[dict[str, Any]] = agent.document("/api/v1/verdicts").json()["verdicts"]
    return [
        [one["kind"], one["culprit"], one["direction"], one["sentence"]]
        for one in found
        if one["state"] in ("raised", "flapping") and one["kind"] != "prober"
    ]


def half_open(agent: Agent) -> list[str]:
    found: list[str] = agent.document("/api/v1/view").json()["half_open"]
    return found


def main() -> None:
    agents.START_SECONDS = 120.0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        run("ip", "link", "add", "wire", "type", "bridge", "forward_delay", "0")
        run("ip", "address", "add", "10.90.0.254/24", "dev", "wire")
        run("ip", "link", "set", "wire", "up")
        file = folder / "neighbours.json"
        write_neighbours(file, NODES)
        networks = {node: plug(node, address) for node, address in NODES.items()}
        started: list[Agent] = []
        for node, address in NODES.items():
            environ = environment(
                address,
                node,
                PORT,
                KUBENURSE_NEIGHBOURS_FILE=str(file),
                KUBENURSE_CHECK_INTERVAL="2s",
                KUBENURSE_CHECK_TIMEOUT="1500ms",
            )
            with networks[node].entered():
                started += stack.enter_context(running([environ], folder))
        first, second, third = started

        def is_well(agent: Agent) -> bool:
            fresh = agent.document("/api/v1/verdicts").json()["views"]["fresh"]
            return bool(fresh == 2) and not raised(agent)

        def are_well() -> bool:
            return all(map(is_well, started))

        found: dict[str, Any] = {}
        wait_for(are_well, seconds=120, what="views of all")
        found["well"] = [half_open(agent) for agent in started]

        with networks["node-3"].entered():
            nft(CUT)
        for agent in (first, second):
            wait_for(lambda: half_open(agent), seconds=60, what="half-open connections")  # noqa: B023 - called at once
            wait_for(
                lambda: any(one[2] for one in raised(agent)),  # noqa: B023 - called at once
                seconds=60,
                what="a verdict with a direction",
            )
        found["cut inwards"] = [[half_open(agent), raised(agent)] for agent in (first, second)]
        found["of itself"] = raised(third)

        with networks["node-3"].entered():
            nft("delete table inet faults")
        wait_for(are_well, seconds=120, what="the end of the verdicts")
        found["healed"] = [half_open(agent) for agent in started]

        run("ip", "link", "set", "node-3", "down")
        for agent in (first, second):
            wait_for(lambda: raised(agent), seconds=60, what="a verdict")  # noqa: B023 - called at once
        found["link down"] = [[half_open(agent), raised(agent)] for agent in (first, second)]
    json.dump(found, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
