"""Segments that are lost, and round trips that became long: at our own node, or on one way."""

from __future__ import annotations

from collections import Counter, defaultdict
from math import ceil
from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.case import CLUSTER, TYPES, Finding, path_type
from kubenurse_otel.diagnosis.cusum import ALARM
from kubenurse_otel.diagnosis.rules import (
    CONTRADICTED,
    MOST_AGREE,
    SELF_ACCUSED,
    SUSPICION,
    agreed,
)
from kubenurse_otel.diagnosis.rules.pair import joined
from kubenurse_otel.diagnosis.slow import median
from kubenurse_otel.diagnosis.symptoms import HARD, Symptom
from kubenurse_otel.diagnosis.verdict import Cause, Direction, Evidence, Kind
from kubenurse_otel.diagnosis.view import Accused
from kubenurse_otel.diagnosis.words import alike, well_elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kubenurse_otel.diagnosis.case import Case, LosingWay

DIRECTIONS: Final[Mapping[Accused, tuple[Direction, ...]]] = {
    Accused.LOSS_OUT: (Direction.OUT,),
    Accused.LOSS_IN: (Direction.IN,),
    Accused.LOSS_BOTH: (Direction.OUT, Direction.IN),
}
NO_ANSWER: Final = HARD - {Symptom.FULL_SIZE}
"""Where large segments vanish small ones are answered, and tell of what is lost."""
LEAST_WAYS: Final = 2
ENOUGH_WAYS: Final = 3
OF_THE_BETTER_HALF: Final = 6.0
SHARE_OF_THE_BETTER_HALF: Final = 1 / 8
"""Of the sum of all: less is lost anywhere, beside a way or two that are bad."""
SETTLED_SECONDS: Final = 3.0
"""By then we have heard of a neighbour that loses itself: in haste each is asked each second."""
_WHAT: Final = {
    Direction.OUT: "what this node sends is lost",
    Direction.IN: "what is sent to this node is lost",
}


def own_node(case: Case) -> Iterator[Finding]:
    """Most ways from here lose, so it is what they share; what else fails here may be that.

    But for ways to nodes that lose on as many ways as we do, or more: the fewest nodes that explain
    all ways that lose are to blame, and we are no better a reason than they.
    """
    blamed = _who_explains_more(case) if case.facts.losses else frozenset()
    for direction, ways in case.facts.losses.items():
        sums = {
            node: ways.sums.get(node, 0.0)
            for node, said in case.paths.items()
            if node not in blamed and said.symptom not in NO_ANSWER
        }
        lose = [each for each in sums.values() if each]
        better_half = sum(sorted(sums.values())[: ceil(len(sums) / 2)])
        # Where all of them do there is little else that it can be.
        settles = SETTLED_SECONDS if len(lose) == len(sums) else case.facts.fresh_seconds
        if (
            ways.seconds < settles
            or len(lose) < max(LEAST_WAYS, min(ENOUGH_WAYS, len(sums)))
            or better_half < max(OF_THE_BETTER_HALF, SHARE_OF_THE_BETTER_HALF * sum(lose))
            or (blamed and sum(lose) < ALARM)
        ):
            continue
        yield Finding(
            kind=Kind.NODE_LOSS,
            culprit=case.mine.node,
            direction=direction,
            cause=Cause.LOSS,
            confidence=SELF_ACCUSED,
            evidence=(Evidence(words=f"{_WHAT[direction]} on the ways to most neighbours"),),
            explains=frozenset(map(path_type, case.paths))
            | {TYPES[one] for one in case.mine.shared},
            since=ways.since,
        )


def _who_explains_more(case: Case) -> frozenset[str]:
    """Other nodes that are on more ways that lose than we are, or on as many, the worst first.

    What one of them explains counts for nobody after it.
    """
    ways = _losing_ways(case)
    blamed: set[str] = set()
    while ways:
        counts = Counter(node for way in ways for node in way)
        mine = counts.pop(case.mine.node, 0)
        worst = max(sorted(counts), key=counts.__getitem__, default="")
        if counts[worst] < max(LEAST_WAYS, mine):
            break
        blamed.add(worst)
        ways = {way for way in ways if worst not in way}
    return frozenset(blamed)


def _losing_ways(case: Case) -> set[frozenset[str]]:
    """Those that I or a witness see lose, by both ends."""
    return {
        frozenset((view.node, node))
        for view in (case.mine, *case.witnesses)
        for node, said in view.targets.items()
        if said.lossy and node != view.node
    }


def own_node_is_slow(case: Case) -> Iterator[Finding]:
    """Round trips to most neighbours, in each zone, are longer than they were in the last hour.

    Others say so of theirs as well: then the network between all is slow. Until they must have
    said it, it is a suspicion.
    """
    longer = case.facts.longer
    if longer is None or not _is_of_each_zone(case, longer.factors):
        return
    asked = [view for view in case.witnesses if view.compares]
    same = [view.node for view in asked if view.accused is Accused.SLOW]
    other = [view.node for view in asked if view.node not in same]
    is_everybodys = longer.were_everybodys or len(same) >= max(1, MOST_AGREE * len(asked))
    if is_everybodys:
        confidence = agreed(len(same) + 1)
    else:
        is_late = longer.run >= case.facts.run_alone
        confidence = SELF_ACCUSED if other and is_late else SUSPICION
    factor = median(factor for factor in longer.factors.values() if factor)
    words = f"round trips to most neighbours take {factor:.1f} times as long as in the last hour"
    yield Finding(
        kind=Kind.NODE_SLOW,
        culprit=CLUSTER if is_everybodys else case.mine.node,
        cause=Cause.SLOW,
        confidence=confidence,
        evidence=(
            Evidence(words=words),
            *(alike(same) if is_everybodys else well_elsewhere(other)),
        ),
        second=f"{Kind.NODE_SLOW} {case.mine.node if is_everybodys else CLUSTER}",
    )


def _is_of_each_zone(case: Case, factors: Mapping[str, float]) -> bool:
    """Whether half of the ways to each zone are longer, and one within ours, where it has others:
    else it is the way between zones.
    """
    by_zone: dict[str, list[bool]] = defaultdict(list)
    for node, factor in factors.items():
        by_zone[case.zone(node)].append(factor > 0)
    others = case.facts.known - {case.mine.node}
    is_alone = all(case.zone(node) != case.own_zone for node in others)
    return (is_alone or case.own_zone in by_zone) and all(
        2 * sum(longer) >= len(longer) for longer in by_zone.values()
    )


def of_neighbour(case: Case) -> Iterator[Finding]:
    """My way to it loses, and it says that all of its ways do: it is what they share."""
    for node, losing in case.facts.loss.items():
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
                since=losing.since,
            )


def of_pair(case: Case) -> Iterator[Finding]:
    """One way loses, its ends do not say so of themselves, and lose on few of their other ways."""
    ways = _losing_ways(case) if case.facts.loss else set()
    for node, losing in case.facts.loss.items():
        if (
            node not in case.heard
            or node in case.facts.accused_lately
            or node not in case.paths
            or not case.is_open(path_type(node))
            or case.paths[node].symptom in NO_ANSWER
            or any(
                _loses_on_most_ways(case, end, ways) or _was_accused(case, end, losing)
                for end in (node, case.mine.node)
            )
        ):
            continue
        seen_by = {one.node for one in case.seen_by(node)} - case.facts.doubted_lately
        others = sorted(seen_by - {case.mine.node})
        well = [other for other in others if frozenset((other, node)) not in ways]
        # Who doubts itself has no word: the others are a smaller cluster.
        mute = case.facts.doubted_lately - {node}
        if not well or len(others) < min(2, case.facts.nodes - 2 - len(mute)):
            continue
        yield Finding(
            kind=Kind.PAIR_LOSS,
            culprit=joined(case.mine.node, node),
            cause=Cause.LOSS,
            confidence=CONTRADICTED,
            evidence=(
                Evidence(words=f"segments are lost {_way(case.mine.node, node, losing.direction)}"),
                *well_elsewhere(well),
            ),
            second=f"{Kind.NODE_LOSS} {node}",
            explains=frozenset({path_type(node)}),
            since=losing.since,
        )


def _loses_on_most_ways(case: Case, node: str, ways: set[frozenset[str]]) -> bool:
    """Whether it is the node rather: two of its ways lose and half of them, as far as is known."""
    known = {
        frozenset((view.node, other))
        for view in (case.mine, *case.witnesses)
        for other, said in view.targets.items()
        if node in (view.node, other) and said.symptom not in NO_ANSWER
    }
    return len(known & ways) >= max(LEAST_WAYS, len(known) / 2)


def _was_accused(case: Case, node: str, losing: LosingWay) -> bool:
    """Whether it has said so of itself since the way began to lose: that is why it does.

    Its own sum may be over before this one is: what is seen of 1 % of loss comes in bursts.
    """
    at = case.facts.accused_at.get(node)
    return at is not None and at >= losing.since


def _way(mine: str, node: str, direction: Direction) -> str:
    if direction is Direction.NONE:
        return f"between {mine} and {node}, both ways"
    one, other = (mine, node) if direction is Direction.OUT else (node, mine)
    return f"from {one} to {other}"
