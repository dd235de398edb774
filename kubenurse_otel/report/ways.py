"""Who cannot reach whom: the ways between nodes on which something is wrong, grouped by their ends,
and in words.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

from kubenurse_otel.diagnosis.symptoms import HARD, Symptom
from kubenurse_otel.diagnosis.view import MOST_RUN
from kubenurse_otel.record import record
from kubenurse_otel.report.words import plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kubenurse_otel.report.seen import Sight, Way

MOST_ROWS: Final = 40
MOST_NAMES: Final = 4
HEAD: Final = ("from", "to", "what is seen", "for")
_BEARABLE: Final = {Symptom.OK, Symptom.SLOW}
"""States of ways that answer, even if late or with lost packets."""
TOGETHER: Final = 3
"""This many ways with an end in common are one row."""
_WORDS: Final[Mapping[Symptom, str]] = {
    Symptom.OK: "loses packets",
    Symptom.SILENT: "no answer",
    Symptom.STALLED: "connects, then silence",
    Symptom.MUTE: "its kernel answers, its process does not",
    Symptom.REFUSED: "refuses connections",
    Symptom.CUT: "ends connections early",
    Symptom.FULL_SIZE: "only small packets pass",
    Symptom.CERTIFICATE: "certificate not accepted",
    Symptom.BROKEN: "a bad answer",
    Symptom.TOKEN: "token refused",
    Symptom.SLOW: "slow",
}
"""Words for what a check found on a way. All other states are about DNS."""

Ends = tuple[str, str, str]
"""(source, target, what is seen). An end is empty if the row has several nodes there."""


@record(frozen=True, slots=True)
class Mesh:
    """``rows`` are the rows with the most ways of ``amiss``. ``left`` is the number of further
    rows.
    """

    amiss: Sequence[Way]
    checked: int
    nodes: int
    rows: Sequence[tuple[Ends, Sequence[Way]]]
    left: int

    @property
    def kind(self) -> str:
        """How bad it is: good, warn, bad, or dim where nothing is known."""
        if self.amiss:
            return "warn" if {way.symptom for way in self.amiss} <= _BEARABLE else "bad"
        return "good" if self.checked else "dim"

    @property
    def said(self) -> str:
        between = f"between {plural(self.nodes, 'node')}"
        if self.amiss:
            return (
                f"{plural(len(self.amiss), 'way is', 'ways are')} amiss of {self.checked:,} that "
                f"are checked, {between}."
            )
        checked = (
            f"{plural(self.checked, 'way')} that {'is' if self.checked == 1 else 'are'} checked"
        )
        return f"Nothing is amiss on {checked}, {between}."


def mesh(sight: Sight) -> Mesh:
    amiss = [way for agent in sight.seen for way in agent.bad_ways]
    rows = together(amiss)
    return Mesh(
        amiss=amiss,
        checked=sum(agent.ways for agent in sight.seen),
        nodes=len(sight.zones),
        rows=rows[:MOST_ROWS],
        left=max(0, len(rows) - MOST_ROWS),
    )


def together(ways: Sequence[Way]) -> list[tuple[Ends, list[Way]]]:
    """Group ways that show the same and have an end in common. The largest group comes first."""
    sources, targets = [way.source for way in ways], [way.target for way in ways]
    out, into = Counter(sources), Counter(targets)
    alike: dict[tuple[str, str, Symptom, bool], list[Way]] = defaultdict(list)
    for way, source, target in zip(ways, sources, targets, strict=True):
        leaving, coming = out[source], into[target]
        if leaving >= TOGETHER and leaving > coming:
            alike[source, "", way.symptom, way.lossy].append(way)
        elif coming >= TOGETHER:
            alike["", target, way.symptom, way.lossy].append(way)
        else:
            alike[source, target, way.symptom, way.lossy].append(way)
    by_ends: dict[Ends, list[Way]] = defaultdict(list)
    for (source, target, _, _), same in alike.items():
        by_ends[source, target, shown(same[0])] += same
    return sorted(by_ends.items(), key=lambda one: (-len(one[1]), one[0]))


def cells(ends: Ends, same: Sequence[Way]) -> tuple[str, ...]:
    """Return a row in words, with the columns of HEAD."""
    source, target, shows = ends
    run = max(way.run for way in same)
    return (
        source or _names([way.source for way in same]),
        target or _names([way.target for way in same]),
        shows,
        f"{plural(run, 'interval')}{' or more' if run >= MOST_RUN else ''}",
    )


def as_json(ends: Ends, same: Sequence[Way]) -> dict[str, Any]:
    """Return a row for programs. Of many names it has only the first ones."""
    sources, targets = {way.source for way in same}, {way.target for way in same}
    return {
        "from": sorted(sources)[:MOST_NAMES],
        "from_count": len(sources),
        "to": sorted(targets)[:MOST_NAMES],
        "to_count": len(targets),
        "seen": ends[2],
        "intervals": max(way.run for way in same),
    }


def _names(nodes: Sequence[str]) -> str:
    """Like "5 nodes: a, b, c, d ..."."""
    listed = sorted(nodes)
    shown = ", ".join(listed[:MOST_NAMES])
    more = " ..." if len(listed) > MOST_NAMES else ""
    return shown if len(listed) == 1 else f"{plural(len(listed), 'node')}: {shown}{more}"


def shown(way: Way) -> str:
    """What a way shows, in words."""
    said = _WORDS.get(way.symptom, "its name is not found")
    return f"{said}, and loses packets" if way.lossy and way.symptom is not Symptom.OK else said


def kind(way: Way) -> str:
    """How bad it is: hard, soft or lossy."""
    if way.symptom in HARD:
        return "hard"
    return "soft" if way.symptom is not Symptom.OK else "lossy"
