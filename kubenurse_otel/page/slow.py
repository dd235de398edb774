"""Slow now, and whose time: what takes longer than usual, by how many it is seen.

One row a cause: what several agents see of one target is one row, and so is what one agent sees of
most of its own; the louder row hides none.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import htpy as h

from kubenurse_otel.diagnosis.slow import median
from kubenurse_otel.page import words
from kubenurse_otel.report.seen import PATH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubenurse_otel.report.seen import Sight, Slower

MOST: Final = 40
SOURCE_LEAST: Final = 3
"""So many targets of one source, and of each fewer other sources: it is the source."""
_OWN: Final = "own_delay"
_SHARED: Final = {
    "api_server_direct": "the API server, by its address",
    "api_server_dns": "the API server, by its name",
    "me_ingress": "the ingress",
    "me_service": "the agents' Service",
}


@dataclass(frozen=True, slots=True)
class Row:
    what: str
    whose: str
    sources: tuple[str, ...]
    targets: int
    usual_seconds: float
    now_seconds: float


def rows(sight: Sight) -> list[Row]:
    """The most widely seen first, then the slowest."""
    return [_row(*one) for one in _together(sight)]


def _together(sight: Sight) -> list[tuple[str, str, list[Slower]]]:
    """(what, whose time, by whom it is seen) of each cause, the most widely seen first."""
    by_target: dict[tuple[str, str], list[Slower]] = defaultdict(list)
    by_source: dict[tuple[str, str], list[Slower]] = defaultdict(list)
    for agent in sight.seen:
        for one in agent.slower:
            by_source[one.source, one.whose].append(one)
            by_target[one.type, one.whose].append(one)
    found = []
    taken: set[tuple[str, str, str]] = set()
    for (source, whose), same in by_source.items():
        alone = [one for one in same if len(by_target[one.type, whose]) < len(same)]
        if whose == _OWN or len(alone) >= SOURCE_LEAST:
            mine = same if whose == _OWN else alone
            taken.update((source, one.type, whose) for one in mine)
            found.append((1, f"what node {source} asks", whose, mine))
    for (type_, whose), same in by_target.items():
        left = [one for one in same if (one.source, type_, whose) not in taken]
        if left:
            found.append((len(left), _named(type_), whose, left))
    found.sort(key=lambda one: (-one[0], -one[3][0].now_seconds, one[1], one[2]))
    return [one[1:] for one in found]


def section(sight: Sight) -> h.Node:
    found = _together(sight)
    return h.section(aria_labelledby="slow")[
        h.h2("#slow")["Slow now, and whose time"],
        _table(found)
        if found
        else h.p[words.mark("good"), "Nothing takes longer than it usually does."],
    ]


def _table(found: Sequence[tuple[str, str, list[Slower]]]) -> h.Node:
    names = ("what", "whose time", "now", "usually", "seen by")
    return h.fragment[
        h.div(".wide")[
            h.table(".rows")[
                h.caption[
                    "The last half minute against the half hour before it: three times as long, "
                    "and 5 ms more. Medians."
                ],
                h.thead[h.tr[(h.th(scope="col", class_=_n(name))[name] for name in names)]],
                h.tbody[(words.flat(_line(_row(*one), names)) for one in found[:MOST])],
            ]
        ],
        len(found) > MOST and h.p[f"... and {len(found) - MOST} more"],
    ]


def _line(row: Row, names: Sequence[str]) -> h.Element:
    by = f"{len(row.sources)}: {', '.join(row.sources[:4])}{' ...' if len(row.sources) > 4 else ''}"
    what = row.what + (f" ({row.targets} targets)" if row.targets > 1 else "")
    cells = (
        words.PARTS[row.whose],
        words.duration(row.now_seconds),
        words.duration(row.usual_seconds) or "0",
        by,
    )
    return h.tr[
        h.th(scope="row")[what],
        (
            h.td(data_name=name, class_=_n(name))[cell]
            for name, cell in zip(names[1:], cells, strict=True)
        ),
    ]


def _n(name: str) -> str | None:
    return "n" if name in ("now", "usually") else None


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
