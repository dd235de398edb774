"""docs/hostile.md from outcomes: every attack, now and on the agent before."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hostile import agent, outcome, verdict, witness
from hostile.attack import Group
from hostile.attacks import ATTACKS
from hostile.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hostile.attack import Attack

PAGE: Final = Path(__file__).parents[2] / "docs" / "hostile.md"
PAUSE_SECONDS: Final = 0.2
"""How long a refused client waits before it comes again; `--harder` does not wait."""
_BEGIN: Final = (
    '<!-- attacks: written by `make hostile ARGS="--write --onto FILE"`; do not edit below -->'
)
_NOT_RUN: Final = "-"
_COLUMNS: Final[dict[str, Callable[[Outcome], str]]] = {
    "connections in all": lambda one: f"{one.opened:,}" if one.opened else _NOT_RUN,
    "peak MiB (RSS, sockets)": lambda one: (
        f"{_figure(one.peak_mib)} ({_figure(one.peak_rss_mib)}, {_figure(one.peak_sockets_mib)})"
    ),
    "p99 ms": lambda one: _figure(one.p99_seconds * 1e3),
    "RSS MiB before, after": lambda one: (
        f"{_figure(one.rss_before_mib)}, {_figure(one.rss_after_mib)}"
    ),
    "complete scrapes, slowest s": lambda one: (
        f"{one.whole_scrapes} of {one.scrapes}, {_figure(one.slowest_scrape_seconds, 2)}"
    ),
}


def render(outcomes: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the part of the page that is written; ``outcomes`` by label and attack, as in JSON."""
    before, now = (
        {name: Outcome.from_json(found) for name, found in outcomes.get(label, {}).items()}
        for label in ("before", "now")
    )
    lines: list[str] = []
    for group in Group:
        head = ("attack", "at once, and what each does", *_COLUMNS, "what did not hold")
        lines += [f"### {group}", "", _row(head), _row("---" for _ in head)]
        for attack in ATTACKS.values():
            if attack.group is group:
                found = before.get(attack.name), now.get(attack.name)
                lines.append(_row(_cells(attack, *found)))
        lines.append("")
    return "\n".join(lines)


def _cells(attack: Attack, before: Outcome | None, now: Outcome | None) -> list[str]:
    columns = [_both(before, now, cell) for cell in _COLUMNS.values()]
    crowd = f"{attack.connections:,}"
    if attack.addresses > 1:
        crowd += f" from {attack.addresses} addresses"
    return [
        f"`{attack.name}`: {attack.what}",
        f"{crowd}: {attack.load}",
        *columns,
        _both(before, now, _fallen),
    ]


def _both(before: Outcome | None, now: Outcome | None, cell: Callable[[Outcome], str]) -> str:
    """Before in parentheses' place: a line of its own under what is now."""
    shown = _NOT_RUN if now is None else cell(now)
    return shown if before is None else f"{shown}<br>*{cell(before)}*"


def _fallen(outcome: Outcome) -> str:
    return ", ".join(verdict.fallen(outcome, verdict.FULL)) or "nothing"


def _row(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _figure(value: float, digits: int = 0) -> str:
    return _NOT_RUN if math.isnan(value) else f"{value:,.{digits}f}"


def place(page: str, outcomes: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page with what is written in place of what was."""
    head, found, _ = page.partition(_BEGIN)
    if not found:
        raise ValueError(f"{PAGE.name} has no line {_BEGIN}")
    return f"{head}{_BEGIN}\n\n{render(outcomes)}"


def write(outcomes: Mapping[str, Mapping[str, Any]]) -> None:
    PAGE.write_text(place(PAGE.read_text(), outcomes))


FACTS: Final = {
    "limit": f"{agent.LIMIT_BYTES // agent.MIB} MiB",
    "pause": f"{PAUSE_SECONDS:g} s",
    "probes": f"every {witness.PROBE_EVERY_SECONDS * 1e3:g} ms",
    "kept": f"{outcome.RSS_MIB_MORE:g} MiB",
    "p99": f"{verdict.FULL.p99_seconds * 1e3:g} ms",
}
"""What the page's text says of the way of measuring, by the code."""
