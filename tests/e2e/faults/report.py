"""docs/faults.md: what each fault of one run showed, as a table for each area."""

from __future__ import annotations

import os
import platform
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from apiserver.real import VERSION

from e2e.faults import all_faults, run
from e2e.faults.run import Result
from e2e.faults.scene import Seen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from e2e.faults.fault import Fault

ROOT: Final = Path(__file__).parents[3]
PAGE: Final = ROOT / "docs/faults.md"
_COLUMNS: Final = (
    "what is broken",
    "what users feel",
    "what we show (seconds after the fault)",
    "what does not move",
    "alert",
    "kubenurse would have shown",
    "result",
)
_PASS: Final = "pass, "
_NOT_RUN: Final = "not run yet"
_COUNT: Final = r"\d+ of \d+ faults passed\."
_TEXT: Final = """\
# Faults, and what is seen of them

Written by `make faults`, {date}; do not edit. Each fault was injected into a real
cluster (three nodes, Kubernetes {kubernetes}, Linux {kernel}; `make cluster`). Everything in
its row was then seen from outside: in Prometheus, Jaeger, the agents' /alive and the API server.
The last column has the time (UTC) of each row's run. {count}

- Here the agents check every {interval} (by default 5 s) with a timeout of {timeout} (by default
  5 s), and Prometheus scrapes every second. "Seconds" are those of this run. With the defaults,
  multiply what waits for a check by five, and add your scrape interval.
- The alerts are those of the chart, with every range and every `for` divided by
  {compress:.0f}. So an alert "after 20 s" fires after about {compress:.0f} times that. If an
  alert fires that is not in the row, the row fails.
- {cores} cores carry the whole cluster. Other work on the machine meanwhile: load {load}.
- A row whose proof failed says so. `python -m e2e.faults NAME` (PYTHONPATH=tests) runs one fault.
  `make cluster ARGS="fault NAME"` injects it and keeps it until `heal`, so that you can
  look yourself.
"""


def write(results: Sequence[Result], *, load: str) -> None:
    """Write the page anew where all faults were run, else put these rows into it."""
    is_all = {result.fault.name for result in results} >= set(all_faults.by_name())
    PAGE.write_text(page(results, load=load) if is_all else with_rows(PAGE.read_text(), results))


def with_rows(text: str, results: Sequence[Result]) -> str:
    """Return the page ``text`` with the rows of ``results`` in the place of those of before.

    The head stays as it was, but for the count: each row has its own date.
    """
    rows = dict(_rows(text)) | {one.fault.name: _row(one) for one in results}
    head, *_ = text.partition("\n## ")
    passed = sum(_PASS in row for row in rows.values())
    head = re.sub(_COUNT, f"{passed} of {len(rows)} faults passed.", head)
    return head + _sections(rows)


def _rows(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        found = re.match(r"\| .*?<br>`([a-z0-9-]+)` \|", line)
        if found and not line.endswith(f" {_NOT_RUN} |"):
            yield found[1], line


def page(results: Sequence[Result], *, load: str) -> str:
    text = _TEXT.format(
        date=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        kubernetes=VERSION,
        kernel=platform.release(),
        count=f"{sum(one.passed for one in results)} of {len(results)} faults passed.",
        interval=run.VALUES["check_interval"],
        timeout=run.VALUES["check_timeout"],
        compress=run.COMPRESS,
        cores=os.cpu_count(),
        load=load,
    )
    return text + _sections({result.fault.name: _row(result) for result in results})


def _sections(rows: Mapping[str, str]) -> str:
    """Every fault there is, in the order of the tables."""
    text = ""
    for area, faults in all_faults.by_area().items():
        lines = [f"| {' | '.join(_COLUMNS)} |", "|" + "---|" * len(_COLUMNS)]
        lines += [rows.get(fault.name) or _row(_not_run(fault)) for fault in faults]
        text += f"\n## {area}\n\n" + "\n".join(lines) + "\n"
    return text


def _not_run(fault: Fault) -> Result:
    return Result(fault, passed=False, problem="", seen=Seen(), seconds=0, at="")


def _row(result: Result) -> str:
    fault, seen = result.fault, result.seen
    cells = (
        f"{fault.broken}<br>`{fault.name}`",
        fault.users,
        _lines([*seen.shown, *(f"trace: {text}" for text in seen.traces)]),
        _lines(seen.unmoved),
        _lines(seen.alerts) or ("none" if result.at else ""),
        fault.kubenurse or "not known",
        _outcome(result),
    )
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _outcome(result: Result) -> str:
    if not result.at:
        return _NOT_RUN
    if result.passed:
        return f"{_PASS}{result.at}"
    return f"**FAILED**, {result.at}: {_short(result.problem)}"


def _lines(texts: Iterable[str]) -> str:
    return "<br>".join(dict.fromkeys(texts))


def _cell(text: str) -> str:
    """A cell is one line; < and | are Markdown's, but for our own line breaks."""
    text = re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;")
    return text.replace("&lt;br>", "<br>").strip()


def _short(problem: str) -> str:
    return problem.partition("\n")[0][:300]
