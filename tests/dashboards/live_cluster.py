"""Real agents with faults, and real stores behind them that evaluate the rules.

A script for a network namespace of its own (packets are dropped here): its arguments are a file of
expressions, a folder, and which stores (stores.py). Evaluates the expressions again and again until
each has returned data in each store or time is up, and prints what each returned.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from agents import environment, launch
from servers.behaviours import answer
from servers.dns import Asked, NameServer
from servers.dns import answer as dns_answer
from servers.fault_server import FaultServer
from servers.nameserver import ADDRESS
from stores import KINDS, PORT, Store, stopped

from kubenurse_otel.demo.cluster import Cluster

ROOT = Path(__file__).parents[2]
PROXIED = "127.0.1.7"
RUN_SECONDS = 80.0
CHAIN_SECONDS = 200.0
"""Where a rule finds what another one made four seconds later (VictoriaMetrics)."""
LEAST_SECONDS = 45.0
PICTURES_AT = 33.0
"""Before the certificate expires: its checks have no time to show."""
LOSS = """
table inet faults {
  chain out {
    type filter hook output priority 0
    ip daddr 127.0.1.3 tcp dport 18080 numgen random mod 100 < 20 drop
  }
}
"""


TWO_ADDRESSES = "two-addresses"
HOSTS = "127.0.0.1 localhost\n::1 localhost\n"
SEARCH = "search nothing.test\n"
FILES = {"hosts": HOSTS, "nsswitch.conf": "hosts: files dns\n"}


def names(asked: Asked) -> list[bytes]:
    """Nothing in the search path; every other name has both loopback addresses."""
    if "nothing" in asked.name:
        return [dns_answer(asked, rcode=3)]
    return [dns_answer(asked, "127.0.0.1", "::1")]


def evaluate(expressions: Iterable[str], found: dict[str, Any], store: Store) -> None:
    """Query those that have returned nothing yet."""
    for expression in expressions:
        if not found.get(expression, {}).get("series"):
            answer = store.query(expression)
            result = answer.get("result", [])
            numbers = [one for one in result if one.get("value", ["", ""])[1] != "NaN"]
            found[expression] = {
                "series": len(numbers),
                "first": numbers[0] if numbers else None,
                "error": answer.get("error", ""),
            }


def main() -> None:
    wanted = json.loads(Path(sys.argv[1]).read_text())
    folder, kind = Path(sys.argv[2]), KINDS[sys.argv[3]]
    for name, text in FILES.items():
        (folder / name).write_text(text)
        if Path("/etc", name).exists():
            subprocess.run(["mount", "--bind", str(folder / name), f"/etc/{name}"], check=True)
    with Path("/etc/resolv.conf").open("a") as resolv_conf:
        resolv_conf.write(SEARCH)
    with NameServer(names, ADDRESS, 53), kind.started(folder) as stores:
        found = asyncio.run(watch(wanted["alternatives"], wanted["pictures"], folder, stores))
    sys.stdout.write(json.dumps(found))


async def watch(
    alternatives: list[list[str]], drawn: Mapping[str, str], folder: Path, stores: list[Store]
) -> dict[str, dict[str, Any]]:
    """Break one thing after the other, and look until everything has been seen or time is up.

    By store: what was found, the alerts with the second after the first fault, rules that failed.
    """
    expressions = sorted({one for several in alternatives for one in several})
    pushed_to = stores[-1].otlp
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces",
        "OTEL_METRICS_EXPORTER": "prometheus" if len(stores) == 1 else "prometheus,otlp",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": pushed_to,
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
    }
    seen = {
        store.name: {"found": {}, "alerts": {}, "seconds": {}, "problems": {}, "pictures": {}}
        for store in stores
    }
    async with Cluster(port=PORT, environ=environ) as cluster:
        sixth = pushing_environment(cluster.folder, pushed_to)
        if len(stores) > 1:
            sixth["OTEL_METRICS_EXPORTER"] = "prometheus,otlp"
        with (
            FaultServer(answer(), host=PROXIED, port=PORT),
            stopped(launch(sixth, folder / "node-6.log")),
        ):
            started, faults = time.monotonic(), list(FAULTS)
            looking = [
                asyncio.create_task(look_at_alerts(store, started + FAULTS[0][0], seen[store.name]))
                for store in stores
            ]
            seconds = RUN_SECONDS if len(stores) == 1 else CHAIN_SECONDS
            while (now := time.monotonic() - started) < seconds:
                if faults and now >= faults[0][0]:
                    await faults.pop(0)[1](cluster)
                for store in stores:
                    mine = seen[store.name]
                    if not mine["pictures"] and now >= PICTURES_AT:
                        await asyncio.to_thread(take_pictures, drawn, mine["pictures"], now, store)
                    await asyncio.to_thread(evaluate, expressions, mine["found"], store)
                if (
                    not faults
                    and now > LEAST_SECONDS
                    and all(
                        any(mine["found"][one]["series"] for one in several)
                        for mine in seen.values()
                        for several in alternatives
                    )
                    and all(mine["alerts"].keys() >= FIRING for mine in seen.values())
                ):
                    break
                await asyncio.sleep(1)
            for task in looking:
                task.cancel()
            for store in stores:
                seen[store.name]["problems"] = await asyncio.to_thread(store.problems)
            # It is told to stop by SIGTERM, and must be able to hear it.
            cluster._processes["node-5"].send_signal(signal.SIGCONT)
    return seen


async def look_at_alerts(store: Store, first_fault: float, seen: dict[str, Any]) -> None:
    """Note each alert that fires and when it was first seen, in seconds after the first fault."""
    while True:
        for name, texts in (await asyncio.to_thread(store.firing)).items():
            seen["alerts"][name] = texts
            seen["seconds"].setdefault(name, time.monotonic() - first_fault)
        await asyncio.sleep(1)


async def lose_packets(_: Cluster) -> None:
    await asyncio.to_thread(subprocess.run, ["nft", "-f", "-"], input=LOSS.encode(), check=True)


async def hang_an_agent(cluster: Cluster) -> None:
    """Its kernel accepts connections, and nobody answers."""
    cluster._processes["node-5"].send_signal(signal.SIGSTOP)


FAULTS: tuple[tuple[float, Callable[[Cluster], Awaitable[None]]], ...] = (
    (8.0, lose_packets),
    (14.0, lambda cluster: cluster.set_ingress("delay 0.4")),
    (22.0, lambda cluster: cluster.stop_agent(cluster.agents[3])),
    (34.0, lambda cluster: cluster.set_ingress(f"certificate {cluster.folder}/expired.pem")),
    (40.0, hang_an_agent),
)
"""Seconds, and what breaks then; nothing is healed."""


FIRING = frozenset(
    {
        "KubenurseNodePacketLoss node-3",
        "KubenurseNodeUnreachable node-4",
        "KubenurseNodeServicesUnreachable node-6",
        "KubenurseIngressFailing",
        "KubenurseExtraCheckFailing",
        "KubenurseExportsFailing",
        "KubenurseClusterNetworkFailing",
    }
)
"""What the faults fire in every store. Not here: what follows the machine's load, too."""


def pushing_environment(folder: Path, endpoint: str) -> dict[str, str]:
    """A sixth agent; an address, a name and an API server of its fail.

    It alone meets a proxy in front of node-2.
    """
    neighbours = json.loads((folder / "neighbours.json").read_text())
    (behind,) = (one for one in neighbours if one["nodeName"] == "node-2")
    behind["podIP"] = PROXIED
    own = folder / "neighbours-of-node-6.json"
    own.write_text(json.dumps(neighbours))
    return environment(
        "127.0.1.6",
        "node-6",
        PORT,
        KUBENURSE_NEIGHBOURS_FILE=str(own),
        KUBENURSE_POD_UID="uid-of-node-6",
        KUBENURSE_CHECK_TIMEOUT="2s",
        KUBENURSE_CHECK_INTERVAL="1s",
        KUBENURSE_EXTRA_CHECKS=f"two:http://{TWO_ADDRESSES}:9090/-/ready"
        "|nowhere:http://nowhere.example/",
        KUBENURSE_CHECK_API_SERVER_DIRECT="true",
        KUBERNETES_SERVICE_HOST="127.0.0.1",
        KUBERNETES_SERVICE_PORT="9",
        OTEL_METRICS_EXPORTER="otlp",
        OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=endpoint,
        OTEL_METRIC_EXPORT_INTERVAL="1000",
    )


def take_pictures(
    wanted: Mapping[str, str], pictures: dict[str, Any], seconds: float, store: Store
) -> None:
    """Keep what the README's pictures show: (instant, over time) of each query."""
    now = time.time()
    for name, expression in wanted.items():
        pictures[name] = {
            "instant": store.query(expression),
            "range": store.get(
                "/api/v1/query_range", query=expression, start=now - seconds + 3, end=now, step=1
            ),
        }


if __name__ == "__main__":
    main()
