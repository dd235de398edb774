"""The way between two nodes: it fails from here, and not from others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.case import Finding, path_type
from kubenurse_otel.diagnosis.rules import CAUSES, CONTRADICTED
from kubenurse_otel.diagnosis.symptoms import HARD, Symptom
from kubenurse_otel.diagnosis.verdict import Kind
from kubenurse_otel.diagnosis.words import alike, path, sizes, well_elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubenurse_otel.diagnosis.case import Case

RUN: Final = 3
"""What others say that is well may be older than the fault: they must have had time to see it."""
FEW: Final = 0.25
MOST_OF_ZONE: Final = 0.5


def joined(one: str, other: str) -> str:
    """Return the name of a pair, whoever of both tells of it."""
    return "|".join(sorted((one, other)))


def cut(case: Case) -> Iterator[Finding]:
    """Others reach it, and I do not."""
    for node, said in case.bad.items():
        seen_by = case.seen_by(node)
        failing = [view for view in seen_by if view.targets[node].symptom in HARD]
        if (
            said.run < _least_run(case, said.symptom)
            or said.symptom is Symptom.MUTE  # its kernel acknowledged: both ways are good
            or len(seen_by) < case.enough
            or len(failing) > max(1, FEW * len(seen_by))
            or _fails_from_my_zone(case, node)
        ):
            continue
        yield Finding(
            kind=Kind.PAIR,
            culprit=joined(case.mine.node, node),
            cause=CAUSES[said.symptom],
            confidence=CONTRADICTED,
            evidence=(
                path(case, node),
                *sizes(case, node),
                *well_elsewhere(view.node for view in seen_by if view not in failing),
                *alike(view.node for view in failing if view is not case.mine),
            ),
            second=f"{Kind.NODE} {node}",
            explains=frozenset({path_type(node)}),
        )


def _least_run(case: Case, symptom: Symptom) -> int:
    """Of full-size checks an interval is a minute, and so old is what others say of them."""
    return RUN if symptom is Symptom.FULL_SIZE else max(RUN, case.facts.run_alone)


def _fails_from_my_zone(case: Case, node: str) -> bool:
    """Whether others of my zone miss most of what they check in the zone of ``node``, too."""
    zone = case.zone(node)
    if not zone or zone == case.own_zone:
        return False
    ways = [
        said.symptom in HARD
        for view in case.witnesses
        if case.zone(view.node) == case.own_zone
        for other, said in view.targets.items()
        if case.zone(other) == zone
    ]
    return bool(ways) and sum(ways) >= MOST_OF_ZONE * len(ways)
