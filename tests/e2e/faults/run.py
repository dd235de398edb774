"""Runs faults one after the other on a cluster, and keeps what each showed."""

from __future__ import annotations

import sys
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from e2e.cluster.errors import ClusterError
from e2e.faults.scene import Scene, Seen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from e2e.cluster.cluster import Cluster
    from e2e.faults.fault import Fault

COMPRESS: Final = 10.0
"""The alerts' ranges and waits are divided by this."""
VALUES: Final[dict[str, Any]] = {
    "check_interval": "1s",
    "check_timeout": "2s",
    "series_ttl": "60s",
    "trace_ratio": 0.1,
    "trace_max_per_minute": 600,
    "otel": {"endpoint": "http://10.90.0.2:4318", "metricsExporter": "prometheus"},
}
"""The agents under fault: five times as fast as by default, scraped, their traces in Jaeger.

What is proved is the net: what metrics, traces and the alerts of them show. Alerts of verdicts
mute those, and are left out where time is compressed (cluster/rules.py): board.py proves them.
"""


@dataclass(frozen=True, slots=True)
class Result:
    fault: Fault
    passed: bool
    problem: str
    seen: Seen
    seconds: float
    at: str


def run(cluster: Cluster, faults: Iterable[Fault], *, node: str = "") -> Iterator[Result]:
    """Run each fault on a healthy cluster; this process has entered its network."""
    for fault in faults:
        with cluster.exclusively():
            result = _run(cluster, fault, node or fault.node)
        word = "pass" if result.passed else f"FAIL\n{result.problem}"
        sys.stderr.write(f"{fault.name}: {word} ({result.seconds:.0f} s)\n")
        for line in [*result.seen.shown, *result.seen.alerts, *result.seen.traces]:
            sys.stderr.write(f"    {line}\n")
        yield result


def _run(cluster: Cluster, fault: Fault, node: str) -> Result:
    started, scene = time.time(), Scene(cluster, node)
    problem = ""
    try:
        scene.wait_until_healthy()
        scene.begin()
        with fault.inject(cluster, node):
            fault.proof(scene)
            scene.no_other_alert()
    except (AssertionError, ClusterError, OSError, KeyError, ValueError, IndexError) as error:
        problem = f"{type(error).__name__}: {error}\n{_where(error)}"
    at = time.strftime("%Y-%m-%d %H:%M", time.gmtime(started))
    return Result(fault, not problem, problem, scene.seen, time.time() - started, at)


def _where(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{f.filename.rpartition('/')[2]}:{f.lineno}" for f in reversed(frames[-4:]))
