"""Segments that are lost, and round trips that became long: at our own node, or on one way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.case import TYPES, Finding, path_type
from kubenurse_otel.diagnosis.rules import CONTRADICTED, SELF_ACCUSED
from kubenurse_otel.diagnosis.rules.pair import joined
from kubenurse_otel.diagnosis.symptoms import HARD
from kubenurse_otel.diagnosis.verdict import Cause, Direction, Evidence, Kind
from kubenurse_otel.diagnosis.view import Accused
from kubenurse_otel.diagnosis.words import well_elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kubenurse_otel.diagnosis.case import Case

DIRECTIONS: Final[Mapping[Accused, tuple[Direction, ...]]] = {
    Accused.LOSS_OUT: (Direction.OUT,),
    Accused.LOSS_IN: (Direction.IN,),
    Accused.LOSS_BOTH: (Direction.OUT, Direction.IN),
}
_WHAT: Final = {
    Direction.OUT: "what this node sends is lost",
    Direction.IN: "what is sent to this node is lost",
}


def own_node(case: Case) -> Iterator[Finding]:
    """Most ways from here lose, so it is what they share; what else fails here may be that."""
    for direction in DIRECTIONS.get(case.mine.accused, ()):
        yield Finding(
            kind=Kind.NODE_LOSS,
            culprit=case.mine.node,
            direction=direction,
            cause=Cause.LOSS,
            confidence=SELF_ACCUSED,
            evidence=(Evidence(words=f"{_WHAT[direction]} on the ways to most neighbours"),),
            explains=frozenset(map(path_type, case.paths))
            | {TYPES[one] for one in case.mine.shared},
        )


def own_node_is_slow(case: Case) -> Iterator[Finding]:
    """Round trips to most neighbours are longer than they were in the last hour."""
    factor = case.facts.slow_factor
    if factor:
        yield Finding(
            kind=Kind.NODE_SLOW,
            culprit=case.mine.node,
            cause=Cause.SLOW,
            confidence=SELF_ACCUSED,
            evidence=(
                Evidence(words=f"round trips to most neighbours take {factor:.1f} times as long"),
            ),
        )


def of_neighbour(case: Case) -> Iterator[Finding]:
    """My way to it loses, and it says that all of its ways do: it is what they share."""
    for node in case.facts.loss:
        view = case.heard.get(node)
        if view is None or node not in case.paths:
            continue
        for direction in DIRECTIONS.get(view.accused, ()):
            yield Finding(
                kind=Kind.NODE_LOSS,
                culprit=node,
                direction=direction,
                cause=Cause.LOSS,
                confidence=CONTRADICTED,
                evidence=(
                    Evidence(words=f"segments are lost between {case.mine.node} and {node}"),
                    Evidence(words=f"{node} says that it loses on the ways to most neighbours"),
                ),
                second=f"{Kind.PAIR_LOSS} {joined(case.mine.node, node)}",
                explains=frozenset({path_type(node)}),
            )


def of_pair(case: Case) -> Iterator[Finding]:
    """One way loses, its ends do not say so of themselves, and others reach it without a loss."""
    for node, direction in case.facts.loss.items():
        if (
            node not in case.heard
            or node in case.facts.accused_lately
            or node not in case.paths
            or not case.is_open(path_type(node))
            or case.paths[node].symptom in HARD
        ):
            continue
        others = [one for one in case.seen_by(node) if one is not case.mine]
        losing = [one for one in others if one.targets[node].lossy]
        if len(others) < min(2, case.facts.nodes - 2) or len(losing) > len(others) // 4:
            continue
        if not others or _loses_elsewhere(case, node):
            continue
        yield Finding(
            kind=Kind.PAIR_LOSS,
            culprit=joined(case.mine.node, node),
            cause=Cause.LOSS,
            confidence=CONTRADICTED,
            evidence=(
                Evidence(words=f"segments are lost {_way(case.mine.node, node, direction)}"),
                *well_elsewhere(one.node for one in others if one not in losing),
            ),
            second=f"{Kind.NODE_LOSS} {node}",
            explains=frozenset({path_type(node)}),
        )


def _loses_elsewhere(case: Case, node: str) -> bool:
    """Whether it says that it loses on other ways than ours, too."""
    return any(
        said.lossy for other, said in case.heard[node].targets.items() if other != case.mine.node
    )


def _way(mine: str, node: str, direction: Direction) -> str:
    if direction is Direction.NONE:
        return f"between {mine} and {node}, both ways"
    one, other = (mine, node) if direction is Direction.OUT else (node, mine)
    return f"from {one} to {other}"
