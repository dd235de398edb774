"""A node, its agent, its MTU, where it does not answer: what most of those that check it say."""

from __future__ import annotations

from collections import Counter
from math import ceil
from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.case import TYPES, Finding, path_type
from kubenurse_otel.diagnosis.rules import (
    CAUSES,
    CONTRADICTED,
    ONE_WITNESS,
    SUSPICION,
    agreed,
    mtu,
)
from kubenurse_otel.diagnosis.symptoms import DEAD, HARD, Symptom
from kubenurse_otel.diagnosis.verdict import Cause, Direction, Evidence, Kind
from kubenurse_otel.diagnosis.view import Shared
from kubenurse_otel.diagnosis.words import alike, otherwise, path, sizes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubenurse_otel.diagnosis.case import Case
    from kubenurse_otel.diagnosis.view import Said, View

CUT_OFF_SHARE: Final = 0.8
BEYOND_AT_LEAST: Final = 2

MOST: Final = 0.75
SMALL_CLUSTER: Final = 6
"""Up to here every agent hears everybody, and zones are small."""
RUN_ALONE: Final = 3

AT_ONCE: Final = frozenset({Symptom.SILENT, Symptom.FULL_SIZE})
"""Nothing else looks like it; of full-size checks an interval is 10 s and more."""
AGENT: Final = frozenset({Symptom.REFUSED, Symptom.MUTE, Symptom.CUT})
"""Somebody is there: its kernel answered."""


def cut_off(case: Case) -> Iterator[Finding]:
    """Nothing comes back any more, of neighbours and of all else: it is our own node."""
    beyond = [said.symptom for said in (*case.mine.shared.values(), *case.facts.extras.values())]
    paths = [said.symptom for said in case.paths.values()]
    api_server = case.mine.shared.get(Shared.API_SERVER_DIRECT)
    if (
        paths
        and len(beyond) >= BEYOND_AT_LEAST
        and _are_dead(paths)
        and _are_dead(beyond)
        and (api_server is None or api_server.symptom in DEAD)
    ):
        yield Finding(
            kind=Kind.NODE,
            culprit=case.mine.node,
            cause=Cause.CUT_OFF,
            confidence=CONTRADICTED,
            evidence=(
                Evidence(
                    words=f"nothing comes back to {case.mine.node}: of {len(paths)} neighbours "
                    f"{sum(one in DEAD for one in paths)} are silent, of {len(beyond)} other "
                    f"targets {sum(one in DEAD for one in beyond)}"
                ),
                *(path(case, node) for node in list(case.hard)[:2]),
            ),
            explains=frozenset(map(path_type, case.paths))
            | {TYPES[letter] for letter in case.mine.shared}
            | set(case.facts.extras),
            is_last=True,
        )


def _are_dead(symptoms: list[Symptom]) -> bool:
    return sum(one in DEAD for one in symptoms) >= CUT_OFF_SHARE * len(symptoms)


def unanswering(case: Case) -> Iterator[Finding]:
    """Most of those that check it get no answer, whoever they are and wherever they stand."""
    for node, said in case.bad.items():
        seen_by = case.seen_by(node)
        if said.symptom is Symptom.FULL_SIZE:
            if mtu.may_be_wider(case):
                continue
            seen_by = tuple(
                view
                for view in seen_by
                if not mtu.is_of_others_too(view, node) and not _fails_by_loss(case, view, node)
            )
        failing = [view for view in seen_by if _misses(view.targets[node], said)]
        if (
            len(failing) < max(case.enough, ceil(MOST * len(seen_by)))
            or not _is_wide(case, node, failing)
            or said.run < (1 if said.symptom in AT_ONCE and not _refused(failing, node) else 2)
        ):
            continue
        yield _unanswering(case, node, seen_by, failing)


def _fails_by_loss(case: Case, view: View, node: str) -> bool:
    """Whether one of both loses packets, by its own word: no answer then says nothing of sizes."""
    symptom, accused = view.targets[node].symptom, case.facts.accused_lately
    if node in accused and view is not case.mine:
        return symptom in (Symptom.SILENT, Symptom.STALLED)
    return view.node in accused and symptom in HARD


def _refused(failing: list[View], node: str) -> list[View]:
    """Those of ``failing`` whom it refuses: it lives, and the way from the others is bad, too."""
    return [view for view in failing if view.targets[node].symptom is Symptom.REFUSED]


def _misses(theirs: Said, mine: Said) -> bool:
    """Whether it fails for them as it may for me: who sees small segments answered reaches it."""
    is_reached = theirs.symptom is Symptom.FULL_SIZE and mine.symptom is Symptom.SILENT
    return theirs.symptom in HARD and not is_reached


def _is_wide(case: Case, node: str, failing: list[View]) -> bool:
    """Whether it fails from more than one zone, or from its own: else it may be the way there."""
    zones = {case.zone(view.node) for view in failing}
    return (
        len(case.zones) <= 1
        or len(zones) > 1
        or zones == {case.zone(node)}
        or case.facts.nodes <= SMALL_CLUSTER
    )


def _unanswering(case: Case, node: str, seen_by: tuple[View, ...], failing: list[View]) -> Finding:
    counts = Counter(view.targets[node].symptom for view in failing)
    mine = case.paths[node].symptom
    symptom = max(counts, key=lambda one: (counts[one], one is mine, one))
    if mine is Symptom.FULL_SIZE:  # others' TLS may stall for it, and they do not know yet
        symptom = mine
    elif _refused(failing, node):
        symptom = Symptom.REFUSED
    kind, cause, second = Kind.NODE, CAUSES[symptom], Kind.AGENT
    if symptom in AGENT:
        kind, second = Kind.AGENT, Kind.NODE
        if node in case.facts.not_ready:
            kind, cause, second = Kind.NODE, Cause.FROZEN, Kind.AGENT
    elif symptom is Symptom.FULL_SIZE:
        kind, second = Kind.NODE_MTU, Kind.NODE
    confidence = SUSPICION if _may_have_moved(case, symptom) else agreed(len(failing))
    against = otherwise(view.node for view in seen_by if view not in failing)
    if confidence == SUSPICION:
        against = (*against, "discovery fails: its pod may have another address by now")
    return Finding(
        kind=kind,
        culprit=node,
        direction=_direction(case, node, symptom, seen_by),
        cause=cause,
        confidence=confidence,
        evidence=(
            path(case, node),
            *sizes(case, node),
            *alike(one.node for one in failing if one is not case.mine),
        ),
        against=against,
        second=f"{second} {node}",
        explains=frozenset({path_type(node)}),
    )


def _may_have_moved(case: Case, symptom: Symptom) -> bool:
    api_server = case.mine.shared.get(Shared.API_SERVER_DIRECT)
    return (
        symptom in (Symptom.SILENT, Symptom.REFUSED)
        and not case.facts.discovery_is_well
        and api_server is not None
        and api_server.symptom is Symptom.OK
    )


def _direction(case: Case, node: str, symptom: Symptom, seen_by: tuple[View, ...]) -> Direction:
    """In, where the node's own SYNs still arrive at others and what they answer does not.

    Of large segments we know which way ours vanish: what leaves us comes in there.
    """
    if symptom is Symptom.FULL_SIZE:
        gone = case.facts.vanishing.get(node)
        return Direction.NONE if gone is None else _OPPOSITE[gone.direction]
    half_open = sum(node in view.half_open for view in seen_by)
    arrives = symptom is Symptom.SILENT and half_open >= min(2, len(seen_by))
    return Direction.IN if arrives else Direction.NONE


_OPPOSITE: Final = {Direction.OUT: Direction.IN, Direction.IN: Direction.OUT}


def kernel_answers(case: Case) -> Iterator[Finding]:
    """Nobody contradicts, and its kernel took the connection: the way is good."""
    for node, said in case.bad.items():
        if said.symptom not in (Symptom.MUTE, Symptom.CUT) or said.run < RUN_ALONE:
            continue
        if node in case.facts.explored:  # which nobody else confirms
            continue
        seen_by = case.seen_by(node)
        if all(view.targets[node].symptom in HARD for view in seen_by):
            yield Finding(
                kind=Kind.AGENT,
                culprit=node,
                cause=CAUSES[said.symptom],
                confidence=ONE_WITNESS,
                evidence=(
                    path(case, node),
                    *alike(view.node for view in seen_by if view is not case.mine),
                ),
                second=f"{Kind.NODE} {node}",
                explains=frozenset({path_type(node)}),
            )


def unexplained(case: Case) -> Iterator[Finding]:
    """It does not answer me, and too few were heard to say why."""
    for node, said in case.bad.items():
        if said.run < RUN_ALONE or node in case.facts.explored:
            continue
        seen_by = case.seen_by(node)
        well = [view.node for view in seen_by if view.targets[node].symptom not in HARD]
        alike_ = [view.node for view in seen_by if view is not case.mine and view.node not in well]
        yield Finding(
            kind=_kind(said.symptom),
            culprit=node,
            cause=CAUSES[said.symptom],
            confidence=SUSPICION,
            evidence=(path(case, node), *alike(alike_)),
            against=otherwise(well) or ("too few others were heard that check it",),
            explains=frozenset({path_type(node)}),
        )


def _kind(symptom: Symptom) -> Kind:
    if symptom is Symptom.FULL_SIZE:
        return Kind.NODE_MTU
    return Kind.AGENT if symptom in AGENT else Kind.NODE
