"""`python -m e2e.faults.board [NAME...]` (in tests/): does the diagnosis name who is at fault?

Each fault is injected into a healthy cluster whose agents are as shipped (every 5 s), and may read
the endpoints of DNS. What every agent names is read from `kubenurse_verdict`, and compared with
truth.py. Each run is a line of runs.jsonl; docs/diagnosis.md has the table of all.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from e2e.cluster.cluster import NAMESPACE, Cluster
from e2e.cluster.errors import ClusterError
from e2e.faults import all_faults, run, scoreboard
from e2e.faults.agents import wait_until_all_ready
from e2e.faults.scene import Scene
from e2e.faults.scoreboard import Run, words
from e2e.faults.truth import NODE, TRUTHS, Named

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from e2e.faults.fault import Fault
    from e2e.faults.truth import Truth

PRODUCT: Final = Path(__file__).parents[3]
VALUES: Final = {
    key: value
    for key, value in run.VALUES.items()
    if key not in ("check_interval", "check_timeout")
} | {"dnsEndpoints": {"enabled": True}}
OF_NODES: Final = frozenset({"node", "node_loss", "node_slow", "node_mtu", "agent"})
"""Kinds that call a node, or its agent, faulty."""
_LOOK_SECONDS: Final = 1.0
_ALERT_SECONDS: Final = 75.0
"""To wait for the alert once the right verdict stands: its `for` is 30 s at most."""


def board(cluster: Cluster, fault: Fault, commit: str = "") -> Run:
    """Run one fault; this process has entered the cluster's network."""
    with cluster.exclusively():
        run = _run(cluster, fault, commit)
    said = "right" if run.right else "WRONG"
    when = "".join(
        f"; {what} after {seconds:.0f} s"
        for what, seconds in (("named", run.verdict_seconds), ("alert", run.alert_seconds))
        if seconds is not None
    )
    sys.stderr.write(f"{fault.name}: {said}{when}; {run.verdicts} {run.problem}\n")
    return run


def _run(cluster: Cluster, fault: Fault, commit: str) -> Run:
    truth, scene = TRUTHS[fault.name], Scene(cluster, fault.node)
    wanted = _wanted(truth, scene)
    found: dict[Named, float] = {}
    alerted: float | None = None
    problem = ""
    try:
        _start_anew(cluster)
        _wait_until_well(scene)
        scene.begin()
        with fault.inject(cluster, fault.node):
            deadline = scene.began_at + truth.seconds
            while time.time() < deadline and not (truth.must and alerted):
                for named in _standing(scene):
                    found.setdefault(named, time.time() - scene.began_at)
                if right := _right_times(found, wanted):
                    deadline = max(deadline, scene.began_at + min(right) + _ALERT_SECONDS)
                    if alerted is None and any(
                        _is_right(named, wanted | _undirected(wanted)) for named in _alerted(scene)
                    ):
                        alerted = time.time() - scene.began_at
                time.sleep(_LOOK_SECONDS)
    except (AssertionError, ClusterError, OSError, KeyError, ValueError, IndexError) as error:
        problem = f"{type(error).__name__}: {error}"[:300]
    return _judged(fault, found, wanted, alerted, commit=commit, problem=problem)


def _judged(
    fault: Fault,
    found: dict[Named, float],
    wanted: set[Named],
    alerted: float | None,
    *,
    commit: str,
    problem: str,
) -> Run:
    times = _right_times(found, wanted)
    # Two cores carry the whole cluster: that an agent lacks CPU itself is true here.
    wrong = [one for one in found if not _is_right(one, wanted) and one.kind != "prober"]
    healthy_named = [
        one for one in wrong if one.kind in OF_NODES and (one.culprit != fault.node or not wanted)
    ]
    right = bool(times) if TRUTHS[fault.name].must else not wrong
    return Run(
        fault=fault.name,
        date=time.strftime("%Y-%m-%d", time.gmtime()),
        commit=commit,
        right=right and not healthy_named and not problem,
        verdict_seconds=round(min(times), 1) if times else None,
        alert_seconds=None if alerted is None else round(alerted, 1),
        verdicts=tuple(words(one) for one in found),
        wrong=tuple(words(one) for one in healthy_named),
        problem=problem,
    )


def _wanted(truth: Truth, scene: Scene) -> set[Named]:
    pair = "|".join(sorted((scene.node, scene.others[0])))
    return {
        Named(
            one.kind,
            one.culprit.replace(NODE, scene.node).replace("{pair}", pair),
            one.direction,
        )
        for one in truth.right
    }


def _right_times(found: dict[Named, float], wanted: set[Named]) -> list[float]:
    return [seconds for named, seconds in found.items() if _is_right(named, wanted)]


def _is_right(named: Named, wanted: set[Named]) -> bool:
    return any(
        (one.kind, one.culprit) == (named.kind, named.culprit)
        and one.direction in ("", named.direction)
        for one in wanted
    )


def _undirected(wanted: set[Named]) -> set[Named]:
    """The alerts' silent nodes have no direction: some agents know it later than others."""
    return {Named(one.kind, one.culprit, "") for one in wanted if one.kind == "node"}


def _standing(scene: Scene) -> set[Named]:
    return _named(one.labels for one in scene.samples("kubenurse_verdict == 1"))


def _alerted(scene: Scene) -> set[Named]:
    firing = scene.prometheus.alerts().firing
    return _named(
        labels
        for name, alerts in firing.items()
        if name.startswith("KubenurseVerdict")
        for labels in alerts
    )


def _named(found: Iterable[Mapping[str, str]]) -> set[Named]:
    return {Named(one["kind"], one["culprit"], one.get("direction", "")) for one in found}


def _start_anew(cluster: Cluster) -> None:
    """Agents without a past: what was named three times in ten minutes stays for five."""
    names = [pod["metadata"]["name"] for pod in cluster.agents().values()]
    cluster.kubectl("delete", "pods", *names, "--namespace", NAMESPACE)
    wait_until_all_ready(cluster)


def _wait_until_well(scene: Scene) -> None:
    """Every check of every agent has been good for three intervals, and nobody is named."""
    agents = len(scene.cluster.nodes)
    for expression, expected in (
        ("count(kubenurse_build_info)", agents),
        (
            'count(sum by (instance, type) (kubenurse_httpclient_requests_total{type!="full_size"})'
            " >= 3)",
            agents * (4 + agents - 1),
        ),
        ("count(min_over_time(kubenurse_check_success[15s]) == 0) or vector(0)", 0),
        ('count(kubenurse_verdict{kind!="prober"} == 1) or vector(0)', 0),
    ):
        scene.prometheus.until(
            expression,
            lambda found, expected=expected: [one.value for one in found] == [expected],
            seconds=180,
            what=f"{expected} = {expression}",
        )


def _commit() -> str:
    """The commit that ran, with `-dirty` where the product is not as committed."""

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        command = ["git", "-C", str(PRODUCT), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    found = git("rev-parse", "--short", "HEAD").stdout.strip()
    clean = git("diff", "--quiet", "HEAD", "--", "kubenurse_otel", "helm").returncode == 0
    return found if clean or not found else f"{found}-dirty"


def main() -> int:
    parser = argparse.ArgumentParser(prog="board", description=__doc__)
    parser.add_argument("names", nargs="*", help="all of them if none is given")
    parser.add_argument("--cluster", default="kne-board")
    arguments = parser.parse_args()
    known = all_faults.by_name()
    chosen = [known[name] for name in arguments.names] or list(known.values())
    cluster, commit = Cluster(arguments.cluster), _commit()
    runs: list[Run] = []
    try:
        cluster.up(compress=1.0, scrape="1s")
        with cluster.entered():
            cluster.install(VALUES)
            for fault in chosen:
                runs.append(board(cluster, fault, commit))
                scoreboard.append(runs[-1])
    finally:
        cluster.down()
    scoreboard.write(scoreboard.read())
    wrong = [run.fault for run in runs if not run.right]
    print(f"{len(runs) - len(wrong)} right, {len(wrong)} wrong {wrong}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
