"""What agents bear whatever is done to them: they hold no more, and miss no tick by it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e2e.cluster.prometheus_api import Sample
    from e2e.faults.scene import Scene

DURATION: Final = "kubenurse_httpclient_request_duration_seconds"
MORE_BYTES: Final = 8 * 1024 * 1024
"""An agent here uses 50 MiB, of the 160 that the chart lets it have."""
MORE_SERIES: Final = 20
"""An error that some check meets for the first time, a peer that was not there before."""
MOST_FILES: Final = 60


def since(scene: Scene) -> str:
    """The time from the fault's beginning, as a range."""
    return f"{time.time() - scene.began_at:.0f}s"


def holds(scene: Scene, nodes: str) -> None:
    """Memory and series of the agents of ``nodes`` (a pattern) have never grown by more."""
    for name, metric, most in (
        ("bytes of resident memory", "process_resident_memory_bytes", MORE_BYTES),
        ("series", 'scrape_samples_scraped{pod!=""}', MORE_SERIES),
    ):
        start, brace, labels = metric.partition("{")
        labels = (labels.rstrip("}") + ", " if brace else "") + f'node=~"{nodes}"'
        before = {one.labels["node"]: one.value for one in _asked(scene, start, labels)}
        assert before, f"no {name} of {nodes} before the fault"
        highest = scene.samples(f"max_over_time({start}{{{labels}}}[{since(scene)}])")
        for one in highest:
            more = one.value - before[one.labels["node"]]
            assert more <= most, f"{name} of {one.labels['node']} has grown by {more:,.0f}"
        most_seen = max(one.value - before[one.labels["node"]] for one in highest)
        scene.seen.unmoved.append(f"{name} (+{most_seen:,.0f})")


class Ticks:
    """From now on agents of ``nodes`` miss no tick by their own doing."""

    def __init__(self, scene: Scene, nodes: Sequence[str]) -> None:
        self._scene = scene
        self._began = time.time()
        self._pids = {node: scene.cluster.agent_pid(node) for node in nodes}
        self._waited = {node: _waited_seconds(pid) for node, pid in self._pids.items()}

    def none_is_lost(self) -> None:
        """A tick is missed where the check before it takes longer than to it.

        The far end may be the cause (a check's duration has no delay of the agent's own in it), or
        other processes, for which the agent's thread had to wait for a core; nothing else may be.
        """
        for node, pid in self._pids.items():
            here = f'node="{node}"'
            missed = self._grown(f"kubenurse_missed_checks_total{{{here}}}")
            slow = self._grown(
                f'{DURATION}_count{{{here}}} - ignoring (le) {DURATION}_bucket{{{here}, le="1.0"}}'
            )
            failed = self._grown(f"kubenurse_check_failures_total{{{here}}}")
            waited = _waited_seconds(pid) - self._waited[node]
            # Of a minute: a busy agent may just have been scraped in vain.
            targets = self._scene.total(
                f"count(last_over_time(kubenurse_check_info{{{here}}}[1m]))"
            )
            assert missed <= slow + failed + waited * targets, (
                f"{missed:g} ticks missed at {node}, with {slow:g} checks of more than a second,"
                f" {failed:g} that failed and {waited:.1f} s without a core"
            )
            self._scene.seen.unmoved.append(
                f"kubenurse_missed_checks_total of {node} ({missed:g}; {slow:g} far ends were slow;"
                f" {waited:.1f} s without a core)"
            )

    def _grown(self, counter: str) -> float:
        return self._scene.grown(counter, since=self._began)


def _waited_seconds(pid: int) -> float:
    """How long a process' first thread, here the event loop's, was ready to run and had no core."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def _asked(scene: Scene, metric: str, labels: str) -> list[Sample]:
    return scene.prometheus.query(f"{metric}{{{labels}}}", scene.began_at)
