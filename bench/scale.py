"""(c) A live agent in a cluster of 50, 500 and 5,000 pods: memory, CPU, bytes from the API server.

What a roll-out costs, and why this source of neighbours, stands in docs/scale.md.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from bench.agent import PORT, agent, place
from bench.network import NEEDED, BenchError, Network, require, stop
from bench.pods import OWN_POD
from bench.tables import Table, number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.agent import Agent, Place

SIZES: Final = (50, 500, 5000)
_START_SECONDS: Final = 90.0
"""A large cluster's agents wait up to 30 s before they list, so that not all do at once."""


def measure(*, seconds: float) -> Table:
    require(*NEEDED)
    table = Table(
        "A cluster's size, seen by one agent (10 neighbours checked)",
        (
            "pods",
            "MiB from the API server at start",
            "CPU s until neighbours are known",
            "RSS MiB",
            "peak RSS MiB",
            f"CPU ms a check, {seconds:.0f} s on",
            "KiB from the API server meanwhile",
        ),
    )
    with Network() as network, place(network) as where:
        for size in SIZES:
            table.rows.append(_row(where, size, seconds))
            print(f"  {table.rows[-1]}", file=sys.stderr)
    table.notes.append(
        "The stand-in's pods are alike, so gzip makes them smaller than a real server's: "
        "docs/scale.md has those."
    )
    return table


def _row(where: Place, size: int, seconds: float) -> tuple[str, ...]:
    network = where.network
    directory = where.directory / f"pods-{size}"
    directory.mkdir()
    server = network.start(
        network.b, (sys.executable, "-m", "bench.pods", str(directory), str(size))
    )
    assert server.stdout is not None
    port = server.stdout.readline().strip()
    if not port:
        raise BenchError("the API server's stand-in did not start")
    extra = {
        "KUBENURSE_DISCOVERY": "kubernetes",
        "KUBENURSE_SERVICE_ACCOUNT_DIR": str(directory),
        "KUBENURSE_NAMESPACE": (directory / "namespace").read_text(),
        "KUBENURSE_NEIGHBOUR_FILTER": "app.kubernetes.io/name=kubenurse",
        "KUBENURSE_POD_NAME": OWN_POD,
        "KUBENURSE_NODE_NAME": "",
        "KUBENURSE_LISTEN_ADDRESS": where.address,  # the neighbours' are the far ends'
        "KUBENURSE_CHECK_API_SERVER_DIRECT": "false",  # the stand-in has no /version
        "KUBENURSE_CHECK_API_SERVER_DNS": "false",
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": port,
    }
    rules = (
        "table inet bench {\n chain counted {\n  type filter hook input priority 0;\n"
        f"  tcp sport {port} counter\n }}\n}}\n"
    )
    try:
        with network.rules(rules), agent(where, extra=extra) as one:
            neighbours = _wait_for_neighbours(one)
            at_start, cpu = _bytes(network), one.cpu_seconds()
            far = _far_ends(where, neighbours)
            time.sleep(5)
            requests = "kubenurse_httpclient_requests_total"
            before, spent = one.total(requests), one.cpu_seconds()
            time.sleep(seconds)
            spent = one.cpu_seconds() - spent
            checks = one.total(requests) - before
            more = _bytes(network) - at_start
            rss, peak = one.memory_mib()["Rss"], _peak_mib(one)
            stop(far)
    finally:
        stop(server)
    return (
        number(size),
        number(at_start / 1024**2, 2),
        number(cpu, 2),
        number(rss, 1),
        number(peak, 1),
        number(spent / max(1.0, checks) * 1e3, 2),
        number(more / 1024, 1),
    )


def _wait_for_neighbours(one: Agent) -> dict[str, str]:
    """The address of each neighbour that it checks, by node."""
    ends = time.monotonic() + _START_SECONDS
    while True:
        targets = json.loads(one.get("/alive"))["details"]["targets"]
        found = {
            key.removeprefix("path_"): str(urlsplit(target["url"]).hostname)
            for key, target in targets.items()
            if key.startswith("path_")
        }
        if found:
            return found
        if time.monotonic() > ends:
            raise BenchError("the agent found no neighbours")
        time.sleep(0.25)


def _far_ends(where: Place, neighbours: Mapping[str, str]) -> subprocess.Popen[str]:
    """Each answers as the agent of its node: who answers as another is no good check."""
    bindings = [f"{address}={node}" for node, address in neighbours.items()]
    far = where.network.start(
        where.namespace,
        (sys.executable, "-m", "bench.server", "--bind", *bindings, "--port", str(PORT)),
    )
    assert far.stdout is not None
    if not far.stdout.readline():
        raise BenchError("the far ends did not start")
    return far


def _bytes(network: Network) -> int:
    """Bytes that came from the API server's port, headers and acknowledgements included."""
    listed = subprocess.run(
        ["nsenter", f"--net=/var/run/netns/{network.b}", "nft", "list", "ruleset"],
        check=True,
        capture_output=True,
        text=True,
        timeout=20,
    )
    found = re.search(r"counter packets \d+ bytes (\d+)", listed.stdout)
    return int(found[1]) if found else 0


def _peak_mib(one: Agent) -> float:
    status = Path(f"/proc/{one.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+)", status)
    return int(found[1]) / 1024 if found else 0.0
