"""What takes longer than usual, as all agents report: one row per cause, and whose time it is.

What several agents see of one target is one row, and so is what one agent sees of most of its own
targets. A row with many targets hides no other.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from kubenurse_otel.diagnosis.slow import median
from kubenurse_otel.record import record
from kubenurse_otel.report.seen import PATH
from kubenurse_otel.report.words import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubenurse_otel.report.seen import Sight, Slower

WHOSE: Final = {
    "loss": "lost packets",
    "network": "the network",
    "far_end": "the far end",
    "own_delay": "the agent itself",
}
"""Whose time it is, by its name in documents."""
MOST_NAMES: Final = 4
HEAD: Final = ("what", "whose time", "now", "usually", "seen by")
SOURCE_LEAST: Final = 3
"""If one source sees this many slow targets, and each of them is slow for fewer other sources, the
source is the cause.
"""
_OWN: Final = "own_delay"
_SHARED: Final = {
    "api_server_direct": "the API server, by its address",
    "api_server_dns": "the API server, by its name",
    "me_ingress": "the ingress",
    "me_service": "the agents' Service",
}


@record(frozen=True, slots=True)
class Row:
    """``usual_seconds`` and ``now_seconds`` are medians over the agents' reports."""

    what: str
    whose: str
    sources: tuple[str, ...]
    targets: int
    usual_seconds: float
    now_seconds: float


def rows(sight: Sight, most: int) -> tuple[list[Row], int]:
    """Return the rows, the most widely seen first, then the slowest, and the number of rows beyond
    ``most``.
    """
    found = _together(sight)
    return [_row(*one) for one in found[:most]], max(0, len(found) - most)


def cells(row: Row) -> tuple[str, ...]:
    """Return a row in words, with the columns of HEAD."""
    shown = ", ".join(row.sources[:MOST_NAMES])
    more = " ..." if len(row.sources) > MOST_NAMES else ""
    return (
        row.what + (f" ({row.targets} targets)" if row.targets > 1 else ""),
        WHOSE[row.whose],
        duration(row.now_seconds),
        duration(row.usual_seconds) if row.usual_seconds else "0",
        f"{len(row.sources)}: {shown}{more}",
    )


def as_json(row: Row) -> dict[str, Any]:
    """Return a row for programs. Of many names it has only the first ones."""
    return {
        "what": row.what,
        "whose": row.whose,
        "targets": row.targets,
        "usual_seconds": row.usual_seconds,
        "now_seconds": row.now_seconds,
        "sources": list(row.sources[:MOST_NAMES]),
        "sources_count": len(row.sources),
    }


def _together(sight: Sight) -> list[tuple[str, str, list[Slower]]]:
    """Return (what, whose time, who sees it) per cause, the most widely seen first."""
    by_target: dict[tuple[str, str], list[Slower]] = defaultdict(list)
    by_source: dict[tuple[str, str], list[Slower]] = defaultdict(list)
    for agent in sight.seen:
        for one in agent.slower:
            by_source[one.source, one.whose].append(one)
            by_target[one.type, one.whose].append(one)
    found = []
    taken: set[tuple[str, str, str]] = set()
    for (source, whose), same in by_source.items():
        if whose == _OWN:
            mine = same
        elif len(same) < SOURCE_LEAST:
            continue
        else:
            mine = [one for one in same if len(by_target[one.type, whose]) < len(same)]
            if len(mine) < SOURCE_LEAST:
                continue
        taken.update((source, one.type, whose) for one in mine)
        found.append((1, f"what node {source} asks", whose, mine))
    for (type_, whose), same in by_target.items():
        left = same
        if taken:
            left = [one for one in same if (one.source, type_, whose) not in taken]
        if left:
            found.append((len(left), _named(type_), whose, left))
    found.sort(key=lambda one: (-one[0], -one[3][0].now_seconds, one[1], one[2]))
    return [one[1:] for one in found]


def _row(what: str, whose: str, same: Sequence[Slower]) -> Row:
    return Row(
        what=what,
        whose=whose,
        sources=tuple(sorted({one.source for one in same})),
        targets=len({one.type for one in same}),
        usual_seconds=median(one.usual_seconds for one in same),
        now_seconds=median(one.now_seconds for one in same),
    )


def _named(type_: str) -> str:
    if type_.startswith(PATH):
        return f"node {type_.removeprefix(PATH)}"
    return _SHARED.get(type_, f"the check {type_}")
