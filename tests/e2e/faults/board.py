"""`python -m e2e.faults.board [NAME...]` (in tests/): does the diagnosis name who is at fault?

Each fault is injected into a healthy cluster whose agents are as shipped (every 5 s), and may read
the endpoints of DNS. What every agent names is read from `kubenurse_verdict`, and compared with
truth.py. With --write docs/diagnosis.md has the scoreboard.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from e2e.cluster.cluster import NAMESPACE, Cluster
from e2e.cluster.errors import ClusterError
from e2e.faults import all_faults, run
from e2e.faults.agents import wait_until_all_ready
from e2e.faults.scene import Scene
from e2e.faults.truth import NODE, TRUTHS, Named

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from e2e.faults.fault import Fault
    from e2e.faults.truth import Truth

PAGE: Final = Path(__file__).parents[3] / "docs/diagnosis.md"
VALUES: Final = {
    key: value
    for key, value in run.VALUES.items()
    if key not in ("check_interval", "check_timeout")
} | {"dnsEndpoints": {"enabled": True}}
OF_NODES: Final = frozenset({"node", "node_loss", "node_slow", "node_mtu", "agent"})
"""Kinds that call a node, or its agent, faulty."""
_LOOK_SECONDS: Final = 1.0
_START: Final = "<!-- board: written by `make board`; do not edit below -->\n"
_END: Final = "<!-- board: end -->\n"


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one fault. ``named`` are all verdicts that stood: "kind culprit direction"."""

    fault: str
    right: bool
    seconds: float | None
    """From the fault to the first right verdict."""
    named: tuple[str, ...]
    wrong: tuple[str, ...]
    problem: str = ""


def board(cluster: Cluster, faults: Iterable[Fault]) -> list[Row]:
    """Run each fault; this process has entered the cluster's network."""
    rows = []
    for fault in faults:
        with cluster.exclusively():
            row = _run(cluster, fault)
        said = "right" if row.right else "WRONG"
        when = "" if row.seconds is None else f" after {row.seconds:.0f} s"
        sys.stderr.write(f"{fault.name}: {said}{when}; named {row.named} {row.problem}\n")
        rows.append(row)
    return rows


def _run(cluster: Cluster, fault: Fault) -> Row:
    truth, scene = TRUTHS[fault.name], Scene(cluster, fault.node)
    wanted = _wanted(truth, scene)
    found: dict[Named, float] = {}
    problem = ""
    try:
        _start_anew(cluster)
        _wait_until_well(scene)
        scene.begin()
        with fault.inject(cluster, fault.node):
            deadline = scene.began_at + truth.seconds
            while time.time() < deadline and not (truth.must and found.keys() & wanted):
                for named in _standing(scene):
                    found.setdefault(named, time.time() - scene.began_at)
                time.sleep(_LOOK_SECONDS)
    except (AssertionError, ClusterError, OSError, KeyError, ValueError, IndexError) as error:
        problem = f"{type(error).__name__}: {error}"[:300]
    return _judged(fault, truth, wanted, found, problem)


def _judged(
    fault: Fault, truth: Truth, wanted: set[Named], found: dict[Named, float], problem: str
) -> Row:
    times = [seconds for named, seconds in found.items() if _is_right(named, wanted)]
    # Two cores carry the whole cluster: that an agent lacks CPU itself is true here.
    wrong = [one for one in found if not _is_right(one, wanted) and one.kind != "prober"]
    healthy_named = [
        one for one in wrong if one.kind in OF_NODES and (one.culprit != fault.node or not wanted)
    ]
    right = bool(times) if truth.must else not wrong
    return Row(
        fault=fault.name,
        right=right and not healthy_named and not problem,
        seconds=min(times, default=None),
        named=tuple(_words(one) for one in found),
        wrong=tuple(_words(one) for one in healthy_named),
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


def _is_right(named: Named, wanted: set[Named]) -> bool:
    return any(
        (one.kind, one.culprit) == (named.kind, named.culprit)
        and one.direction in ("", named.direction)
        for one in wanted
    )


def _standing(scene: Scene) -> set[Named]:
    return {
        Named(labels["kind"], labels["culprit"], labels.get("direction", ""))
        for labels in (one.labels for one in scene.samples("kubenurse_verdict == 1"))
    }


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


def _words(named: Named) -> str:
    return " ".join(filter(None, (named.kind, named.culprit, named.direction)))


# --- the page -------------------------------------------------------------------------------------


def table(rows: Sequence[Row], *, load: str) -> str:
    """The scoreboard as Markdown."""
    must = [row for row in rows if TRUTHS[row.fault].must]
    named = sorted(row.seconds for row in must if row.seconds is not None)
    late = named[min(len(named) - 1, int(0.95 * len(named)))] if named else 0.0
    lines = [
        f"{time.strftime('%Y-%m-%d', time.gmtime())}, `make board`: a real cluster of three nodes,"
        f" agents as shipped (every 5 s), one run a fault, load {load}. Right:"
        f" {sum(row.right for row in rows)} of {len(rows)}; of the {len(must)} that must be named"
        f" {sum(row.right for row in must)}, after {median(named) if named else 0:.0f} s (median;"
        f" p95 {late:.0f}). A healthy node was named in {sum(bool(row.wrong) for row in rows)}.",
        "",
        "| fault | right is | named | after s | |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        truth = TRUTHS[row.fault]
        wanted = " or ".join(_words(one) for one in truth.right)
        wanted = wanted.replace(NODE, "the node").replace("{pair}", "of the two nodes")
        wanted = wanted or f"nobody: {truth.why}"
        if truth.right and not truth.must:
            wanted += ", or nobody"
        when = "" if row.seconds is None else f"{row.seconds:.0f}"
        said = ", ".join(row.named).replace("|", " and ") or "nobody"
        lines.append(
            f"| `{row.fault}` | {wanted} | {said} | {when} | {'' if row.right else '**wrong**'} |"
        )
    return "\n".join(lines) + "\n"


def write(rows: Sequence[Row], *, load: str) -> None:
    """Put the scoreboard into docs/diagnosis.md, between its two marks."""
    page = PAGE.read_text()
    block = f"{_START}\n{table(rows, load=load)}\n{_END}"
    PAGE.write_text(
        re.sub(f"{re.escape(_START)}.*?{re.escape(_END)}", lambda _: block, page, flags=re.DOTALL)
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="board", description=__doc__)
    parser.add_argument("names", nargs="*", help="all of them if none is given")
    parser.add_argument("--cluster", default="kne-board")
    parser.add_argument("--onto", type=Path, help="a JSON file to which rows are added")
    parser.add_argument(
        "--write", action="store_true", help="into docs/diagnosis.md, all of --onto"
    )
    arguments = parser.parse_args()
    known = all_faults.by_name()
    chosen = [known[name] for name in arguments.names] or list(known.values())
    cluster = Cluster(arguments.cluster)
    rows: dict[str, Row] = {}
    if arguments.onto and arguments.onto.exists():
        rows = {one["fault"]: _row(one) for one in json.loads(arguments.onto.read_text())}
    try:
        cluster.up(compress=1.0, scrape="1s")
        with cluster.entered():
            cluster.install(VALUES)
            for fault in chosen:
                rows[fault.name] = board(cluster, [fault])[0]
                if arguments.onto:
                    arguments.onto.write_text(json.dumps([asdict(one) for one in rows.values()]))
    finally:
        cluster.down()
    if arguments.write:
        write(list(rows.values()), load=f"{os.getloadavg()[2]:.1f} (the mean of 15 minutes)")
    wrong = [name for name, row in rows.items() if not row.right]
    print(f"{len(rows) - len(wrong)} right, {len(wrong)} wrong {wrong}")
    return 1 if wrong else 0


def _row(document: dict[str, Any]) -> Row:
    fields = document | {key: tuple(document[key]) for key in ("named", "wrong")}
    return Row(**fields)


if __name__ == "__main__":
    sys.exit(main())
