"""Endurance: agents under churn and faults for a long time; what grows, and what was missed.

`python -m e2e.soak --seconds 600` (in tests/) on a cluster of its own. The agents of node-1 and
node-2 are never restarted by us and are measured; everything else comes and goes.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import itertools
import os
import random
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from e2e.cluster.cluster import NAMESPACE, Cluster
from e2e.cluster.errors import ClusterError
from e2e.cluster.machine import enter_network
from e2e.cluster.observability import Prometheus
from e2e.faults import network, nodes, wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

VALUES: Final = {
    # A check that nobody answers is over before its next tick: no fault explains a missed one.
    "check_interval": "2s",
    "check_timeout": "1500ms",
    "series_ttl": "60s",
    "otel": {"endpoint": "http://10.90.0.2:4318", "metricsExporter": "prometheus"},
}
MEASURED: Final = ("node-1", "node-2")
CHURNED: Final = ("node-3", "node-4")
SAMPLE_SECONDS: Final = 5.0
FAULT_SECONDS: Final = 15.0
FAULT_KINDS: Final[tuple[Callable[[Cluster, str], AbstractContextManager[object]], ...]] = (
    network.link_down,
    partial(wire.dropping, to="numgen random mod 100 < 20"),
    partial(wire.dropping, away="numgen random mod 100 < 20"),
    nodes.frozen,
)
"""On and off at the nodes that churn, one after the other."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at one agent; ``seconds`` since the soak began."""

    seconds: float
    node: str
    rss_mib: float
    threads: int
    open_files: int
    series: int
    checks: float
    missed: float
    starved_seconds: float
    """For how long its threads that are there now were ready to run and had no core."""


def measure(cluster: Cluster, prometheus: Prometheus, node: str, began: float) -> Sample:
    pid = cluster.agent_pid(node)
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )

    def value(expression: str) -> float:
        return sum(one.value for one in prometheus.query(expression))

    own = f'{{node="{node}"}}'
    return Sample(
        seconds=round(time.monotonic() - began, 1),
        node=node,
        rss_mib=round(int(status["VmRSS"].split()[0]) / 1024, 2),
        threads=int(status["Threads"]),
        open_files=len(list(Path(f"/proc/{pid}/fd").iterdir())),
        series=int(value(f"last_over_time(scrape_samples_scraped{own}[30s])")),
        checks=value(f"last_over_time(kubenurse_httpclient_requests_total{own}[30s])"),
        missed=value(f"last_over_time(kubenurse_missed_checks_total{own}[30s])"),
        starved_seconds=starved_seconds(pid),
    )


def starved_seconds(pid: int) -> float:
    """The kernel's word, of all threads (Documentation/scheduler/sched-stats.rst, schedstat)."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # A thread that has ended.
            total += int((task / "schedstat").read_text().split()[1])
    return total / 1e9


# --- what comes and goes ------------------------------------------------------------------------


def churn(cluster: Cluster, ends: threading.Event, seed: int) -> None:
    """Pods deleted, nodes cordoned, faults on and off, until told to end; then all is healed."""
    enter_network(cluster.control.pid)
    chance = random.Random(seed)
    faults = itertools.cycle(FAULT_KINDS)
    while not ends.is_set():
        node = chance.choice(CHURNED)
        # What is gone already need not be deleted.
        with contextlib.suppress(ClusterError, KeyError):
            match chance.randrange(4):
                case 0 | 1:
                    pod = cluster.agents()[node]["metadata"]["name"]
                    cluster.kubectl(
                        "delete", "pod", f"--namespace={NAMESPACE}", pod, "--wait=false"
                    )
                case 2:
                    cluster.kubectl("cordon", node)
                    ends.wait(chance.uniform(2, 8))
                    cluster.kubectl("uncordon", node)
                case _:
                    with next(faults)(cluster, node):
                        ends.wait(FAULT_SECONDS)
        ends.wait(chance.uniform(1, 4))


# --- what it shows ------------------------------------------------------------------------------


def growth(samples: Sequence[Sample], node: str, name: str) -> tuple[float, float]:
    """Return a figure's median over the second and over the last quarter of the run."""
    own = [getattr(one, name) for one in samples if one.node == node]
    quarter = len(own) // 4
    return statistics.median(own[quarter : 2 * quarter]), statistics.median(own[-quarter:])


def missed_unstarved(samples: Sequence[Sample], node: str) -> float:
    """Ticks that were missed while the agent had a core, more or less, when it wanted one.

    A check is over 0.5 s before the next one's tick at the latest (VALUES): to miss that, an agent
    must have been kept waiting for as long, in the seconds up to the scrape that told.
    """
    own = [one for one in samples if one.node == node]
    return sum(
        now.missed - last.missed
        for before, last, now in zip(own, own[1:], own[2:], strict=False)
        if now.missed > last.missed and now.starved_seconds - before.starved_seconds < 0.5
    )


def report(samples: Sequence[Sample]) -> str:
    lines = [
        "| agent | figure | second quarter | last quarter | highest |",
        "|---|---|---|---|---|",
    ]
    for node in MEASURED:
        for name in ("rss_mib", "threads", "open_files", "series"):
            early, late = growth(samples, node, name)
            highest = max(getattr(one, name) for one in samples if one.node == node)
            lines.append(f"| {node} | {name} | {early:g} | {late:g} | {highest:g} |")
        last = [one for one in samples if one.node == node][-1]
        lines.append(f"| {node} | checks, missed | | {last.checks:.0f}, {last.missed:.0f} | |")
        unstarved = missed_unstarved(samples, node)
        lines.append(f"| {node} | missed, with a core at hand | | {unstarved:.0f} | |")
        lines.append(f"| {node} | seconds without a core | | {last.starved_seconds:.1f} | |")
    return "\n".join(lines)


def soak(cluster: Cluster, *, seconds: float, seed: int = 1) -> list[Sample]:
    """Churn and measure; this thread has entered the cluster's network."""
    prometheus, began = Prometheus(), time.monotonic()
    samples: list[Sample] = []
    ends = threading.Event()
    threads = ThreadPoolExecutor(1)
    churned = Cluster(cluster.name)  # Its own connection to the API server.
    worker = threads.submit(churn, churned, ends, seed)
    path = cluster.folder / "soak.csv"
    try:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Sample)])
            writer.writeheader()
            while time.monotonic() - began < seconds and not worker.done():
                for node in MEASURED:
                    samples.append(measure(cluster, prometheus, node, began))
                    writer.writerow(asdict(samples[-1]))
                file.flush()
                time.sleep(SAMPLE_SECONDS)
    finally:
        ends.set()
        threads.shutdown()
        churned.close()
        worker.result()
    return samples


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--cluster", default=os.environ.get("KUBENURSE_E2E_NAME", "kne-soak"))
    arguments = parser.parse_args()
    cluster = Cluster(arguments.cluster)
    cluster.up(4, compress=10.0, scrape="1s")
    cluster.enter()
    cluster.install(VALUES)
    print(report(soak(cluster, seconds=arguments.seconds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
