"""The ways between nodes on which something is amiss: in words, and put together by their ends."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.symptoms import HARD, Symptom

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kubenurse_otel.report.seen import Way

TOGETHER: Final = 3
"""So many ways with an end in common are one row."""
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
"""What a check found on a way; all others are of DNS."""

Ends = tuple[str, str, str]
"""(source, target, what is seen); an end is empty where it is several."""


def together(ways: Sequence[Way]) -> list[tuple[Ends, list[Way]]]:
    """Put together what shows the same and has an end in common; the widest first."""
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


def shown(way: Way) -> str:
    """What a way shows, in words."""
    said = _WORDS.get(way.symptom, "its name is not found")
    return f"{said}, and loses packets" if way.lossy and way.symptom is not Symptom.OK else said


def kind(way: Way) -> str:
    """How bad it is: hard, soft or lossy."""
    if way.symptom in HARD:
        return "hard"
    return "soft" if way.symptom is not Symptom.OK else "lossy"
