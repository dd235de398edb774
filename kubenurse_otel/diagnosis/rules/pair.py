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
    from kubenurse_otel.diagnosis.view import Said, View

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
        seen_by, to_come = _words(case, node, said)
        failing = [view for view in seen_by if view.targets[node].symptom in HARD]
        if (
            said.symptom is Symptom.MUTE  # its kernel acknowledged: both ways are good
            or len(seen_by) < case.enough
            or len(failing) + to_come > max(1, FEW * (len(seen_by) + to_come))
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


def _words(case: Case, node: str, said: Said) -> tuple[tuple[View, ...], int]:
    """Return whose word on ``node`` is newer than the fault, and of how many it is still to come.

    That large segments vanish they hear from me and check at once; who finds that they pass says
    so. Whoever has not said it after five intervals, by default, would have told that it fails: one
    until it hears of it, one in which its check hangs and one until I hear that, each a bit longer.
    Whom I do not tell, for it does not check me, finds out by its own next full-size check.
    """
    seen_by, late = case.seen_by(node), max(RUN, case.facts.run_alone)
    if said.symptom is not Symptom.FULL_SIZE:
        return seen_by if said.run >= late else (), 0
    gone = case.facts.vanishing.get(node)
    if gone is None or not case.facts.sizes_are_settled:
        return (), 0
    if gone.run >= case.facts.run_of_everybody:
        return seen_by, 0
    told = tuple(one for one in seen_by if one is case.mine or case.mine.node in one.targets)
    if gone.run >= late:
        return told, 0
    words = [one.targets[node] for one in told]
    known = tuple(
        one for one, word in zip(told, words, strict=True) if word.proven or word.symptom in HARD
    )
    return known, len(told) - len(known)


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
