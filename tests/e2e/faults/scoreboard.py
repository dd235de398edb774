"""The board's book: runs.jsonl, a line of JSON a run, and the table of it in docs/diagnosis.md.

It runs nothing: board.py does. Seconds are null where there was no verdict or alert, or where
nobody looked; a commit is "" where it was not kept.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from e2e.faults.truth import CLUSTER, NODE, TRUTHS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from e2e.faults.truth import Named

BOOK: Final = Path(__file__).with_name("runs.jsonl")
LATEST: Final = 3
"""Runs of a fault whose times count."""
PAGE: Final = Path(__file__).parents[3] / "docs/diagnosis.md"
_START: Final = "<!-- board: written by `make board`; do not edit below -->\n"
_END: Final = "<!-- board: end -->\n"
_CULPRITS: Final = {
    NODE: "the faulty node",
    "{pair}": "the two nodes",
    CLUSTER: "the cluster",
    "ingress": "the ingress",
    "outside": "outside the cluster",
}
_DIRECTIONS: Final = {"in": ", incoming", "out": ", outgoing"}


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one fault, once. Verdicts are words: "kind culprit direction"."""

    fault: str
    date: str
    commit: str
    right: bool
    verdict_seconds: float | None
    """From the fault to the first right verdict."""
    alert_seconds: float | None
    """From the fault to the alert of a right verdict."""
    verdicts: tuple[str, ...]
    """All that stood."""
    wrong: tuple[str, ...] = ()
    """Those that call a healthy node faulty."""
    problem: str = ""


def read(book: Path = BOOK) -> list[Run]:
    documents = [json.loads(line) for line in book.read_text().splitlines()]
    lists = ("verdicts", "wrong")
    return [Run(**one | {key: tuple(one[key]) for key in lists}) for one in documents]


def append(run: Run, book: Path = BOOK) -> None:
    with book.open("a") as file:
        file.write(json.dumps(asdict(run)) + "\n")


def words(named: Named) -> str:
    return " ".join(filter(None, (named.kind, named.culprit, named.direction)))


def percentile(values: Iterable[float | None], share: float) -> float | None:
    """By nearest rank: one of the values. None if there are none."""
    found = sorted(value for value in values if value is not None)
    return found[math.ceil(share * len(found)) - 1] if found else None


def table(runs: Sequence[Run]) -> str:
    """The scoreboard as Markdown: a row a fault, in the order of the truths.

    Times are of the latest runs: those before were of earlier rules. What was wrong stays.
    """
    dates = sorted(run.date for run in runs)
    of_fault = {fault: [run for run in runs if run.fault == fault] for fault in TRUTHS}
    of_fault = {fault: found for fault, found in of_fault.items() if found}
    latest = [run for found in of_fault.values() for run in found[-LATEST:]]
    must = [run for run in latest if TRUTHS[run.fault].must]
    alerts = [run.alert_seconds for run in must if run.alert_seconds is not None]
    alerted = f", and the alert after {_seconds(alerts)} s ({len(alerts)} runs)" if alerts else ""
    lines = [
        f"The board (`make board`) has {len(runs)} runs of {len(of_fault)} faults, {dates[0]} to"
        f" {dates[-1]}, on a real cluster of three nodes with agents as shipped (checks every"
        f" 5 s). {_right_of(runs)} runs were right, and a healthy node was named in"
        f" {sum(bool(run.wrong) for run in runs)}. Of the latest {LATEST} runs of each fault"
        f" {_right_of(latest)} were right. In {len(must)} of these somebody must be named, and"
        f" {sum(run.right for run in must)} were right. The right verdict came after"
        f" {_seconds([run.verdict_seconds for run in must])} s (p50 / p95){alerted}.",
        "",
        f"Seconds are of the latest {LATEST} runs (p50 / p95).",
        "",
        "| fault | the right answer | right runs | seconds to the verdict"
        " | seconds to the alert | most often named in addition |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [_row(fault, found) for fault, found in of_fault.items()]
    return "\n".join(lines) + "\n"


def _right_of(runs: Sequence[Run]) -> str:
    return f"{sum(run.right for run in runs)} of {len(runs)}"


def _row(fault: str, runs: Sequence[Run]) -> str:
    score = _right_of(runs) if all(run.right for run in runs) else f"**{_right_of(runs)}**"
    verdict = _seconds([run.verdict_seconds for run in runs[-LATEST:]])
    alert = _seconds([run.alert_seconds for run in runs[-LATEST:]])
    besides = Counter(one for run in runs for one in run.verdicts if not _is_right(fault, one, run))
    second = "".join(f"{_readable(one)} ({n})" for one, n in besides.most_common(1))
    return f"| `{fault}` | {_right_is(fault)} | {score} | {verdict} | {alert} | {second} |"


def _right_is(fault: str) -> str:
    truth = TRUTHS[fault]
    if not truth.right:
        return f"nobody: {truth.why}"
    wanted = "; or ".join(_readable(words(one)) for one in truth.right)
    return wanted if truth.must else f"{wanted}; or nobody"


def _readable(said: str) -> str:
    """Return the words of one verdict or truth as "kind: culprit, direction"."""
    kind, culprit, *direction = said.split(" ")
    culprit = _CULPRITS.get(culprit, culprit.replace("|", " and "))
    return f"{kind}: {culprit}" + "".join(_DIRECTIONS[one] for one in direction)


def _is_right(fault: str, said: str, run: Run) -> bool:
    kind, _, rest = said.partition(" ")
    return said not in run.wrong and any(
        one.kind == kind and rest.endswith(one.direction) for one in TRUTHS[fault].right
    )


def _seconds(values: Sequence[float | None]) -> str:
    middle, late = percentile(values, 0.5), percentile(values, 0.95)
    if middle is None or late is None:
        return ""
    return f"{middle:.0f} / {late:.0f}"


def write(runs: Sequence[Run]) -> None:
    """Put the scoreboard into docs/diagnosis.md, between its two marks."""
    block = f"{_START}\n{table(runs)}\n{_END}"
    between = f"{re.escape(_START)}.*?{re.escape(_END)}"
    PAGE.write_text(re.sub(between, lambda _: block, PAGE.read_text(), flags=re.DOTALL))
