"""A zone that nobody reaches, or two that do not reach each other."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.case import Finding, path_type
from kubenurse_otel.diagnosis.rules import CAUSES, CONTRADICTED, agreed
from kubenurse_otel.diagnosis.rules.node import AGENT
from kubenurse_otel.diagnosis.rules.pair import RUN, joined
from kubenurse_otel.diagnosis.symptoms import HARD, Symptom
from kubenurse_otel.diagnosis.verdict import Evidence, Kind
from kubenurse_otel.diagnosis.words import path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubenurse_otel.diagnosis.case import Case

MOST: Final = 0.7
FEW: Final = 0.3
LEAST_NODES: Final = 2
"""That fail there: one alone is a node."""
LEAST_KNOWN: Final = 3
LEAST_OF_OTHERS: Final = 2


def unreachable(case: Case) -> Iterator[Finding]:
    """Most ways from my zone to another fail; third zones, or its own, tell which it is."""
    for zone in sorted(case.zones - {case.own_zone}):
        bad = [node for node in case.bad if case.zone(node) == zone]
        if not case.own_zone or not _looks_gone(case, zone, bad):
            continue
        edges = _edges(case, zone)
        if len({node for ways in edges.values() for node, failed in ways if failed}) < LEAST_NODES:
            continue
        mine = [failed for _, failed in edges.pop(case.own_zone, [])]
        inner = [failed for _, failed in edges.pop(zone, [])]
        third = [failed for ways in edges.values() for _, failed in ways]
        if len(mine) < LEAST_KNOWN or _share(mine) < MOST:
            continue
        counted = f"{sum(mine)} of {len(mine)} known ways from {case.own_zone} to {zone} fail"
        evidence = (Evidence(words=counted), *(path(case, node) for node in bad[:3]))
        explains = frozenset(map(path_type, bad))
        cause = CAUSES[case.bad[bad[0]].symptom]
        if len(third) >= LEAST_OF_OTHERS and _share(third) >= MOST:
            if not _stands_out(case, zone, bad):
                continue
            words = f"{sum(third)} of {len(third)} from other zones fail as well"
            yield Finding(
                kind=Kind.ZONE,
                culprit=zone,
                cause=cause,
                confidence=agreed(sum(mine) + sum(third)),
                evidence=(*evidence, Evidence(words=words)),
                second=f"{Kind.ZONE_PAIR} {joined(case.own_zone, zone)}",
                explains=explains,
            )
        elif (_is_late(case, bad) and _are_reached(case, bad)) and (
            (len(third) >= LEAST_OF_OTHERS and _share(third) < FEW)
            or (inner and _share(inner) < FEW)
        ):
            words = f"other zones, or its own agents, reach {zone}"
            yield Finding(
                kind=Kind.ZONE_PAIR,
                culprit=joined(case.own_zone, zone),
                cause=cause,
                confidence=CONTRADICTED,
                evidence=(*evidence, Evidence(words=words)),
                second=f"{Kind.ZONE} {zone}",
                explains=explains,
            )


def _looks_gone(case: Case, zone: str, bad: list[str]) -> bool:
    """Whether most of my ways there fail, and few of those elsewhere: dead agents are none."""
    there = [node for node in case.paths if case.zone(node) == zone]
    elsewhere = len(case.paths) - len(there)
    bad_elsewhere = [
        node
        for node, said in case.bad.items()
        if case.zone(node) != zone and said.symptom is not Symptom.REFUSED
    ]
    return len(bad) >= max(1, MOST * len(there)) and len(bad_elsewhere) <= FEW * max(1, elsewhere)


def _stands_out(case: Case, zone: str, bad: list[str]) -> bool:
    """Whether fewer nodes are bad elsewhere, and two that I miss there are no agents' faults."""
    if _may_be_agents(case, bad):
        return False
    spoken_of = {node for view in (case.mine, *case.witnesses) for node in view.targets}
    missed = [case.zone(node) for node in spoken_of if case.is_bad_for_others(node)]
    return missed.count(zone) > len(missed) - missed.count(zone)


def _may_be_agents(case: Case, bad: list[str]) -> bool:
    """Whether somebody is known to be at all of them but one.

    An agent that refuses is there. So is one that answers small segments, beside such an agent:
    else large segments are lost in the whole zone.
    """
    symptoms = [case.bad[node].symptom for node in bad]
    there = AGENT | {Symptom.FULL_SIZE} if AGENT.intersection(symptoms) else AGENT
    return sum(symptom not in there for symptom in symptoms) < LEAST_NODES


def _edges(case: Case, zone: str) -> dict[str, list[tuple[str, bool]]]:
    """By zone of who says it: each known way to a node of ``zone``, and whether it fails.

    Who refuses others lives, and is reached; us a firewall may refuse.
    """
    edges: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    for view in (case.mine, *case.witnesses):
        for node, said in view.targets.items():
            if case.zone(node) == zone:
                is_ours = case.zone(view.node) == case.own_zone
                failed = HARD if is_ours else HARD - {Symptom.REFUSED}
                edges[case.zone(view.node)].append((node, said.symptom in failed))
    return edges


def _is_late(case: Case, bad: list[str]) -> bool:
    """Whether what others said before the fault is over: of a dead zone somebody is the last to
    say that it is well.
    """
    longest = sorted((case.bad[node].run for node in bad), reverse=True)
    return longest[:2][-1] >= max(RUN, case.facts.run_alone)


def _are_reached(case: Case, bad: list[str]) -> bool:
    """Whether half of those that I miss answer somebody of another zone."""
    others = [view for view in case.witnesses if case.zone(view.node) != case.own_zone]
    reached = {
        node for view in others for node, said in view.targets.items() if said.symptom not in HARD
    }
    return 2 * len(reached.intersection(bad)) >= len(bad)


def _share(failed: list[bool]) -> float:
    return sum(failed) / len(failed)
