"""Agents are the backends of our Service and of the ingress: what those that are dead explain."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.symptoms import HARD, Symptom
from kubenurse_otel.diagnosis.view import Shared

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kubenurse_otel.diagnosis.case import Case

BY_CHANCE: Final = 1e-4
"""So rarely may any of the agents meet bad backends in so many checks in a row."""
WELL: Final = log(20)
"""Where all is bad one check in twenty at most is well."""
LEAST_SHARE, MOST_SHARE = 0.01, 0.9
_SHOW_AS: Final[Mapping[Shared, frozenset[Symptom]]] = {
    Shared.ME_SERVICE: HARD,
    Shared.ME_INGRESS: frozenset(
        {Symptom.BROKEN, Symptom.SLOW, Symptom.STALLED, Symptom.MUTE, Symptom.CUT}
    ),
}
"""The Service hands the connection on. The ingress has taken it: it answers, or waits."""


def explain(case: Case, letter: Shared) -> bool:
    """Whether so many checks in a row, mine or everybody's, may have met dead agents.

    A run is in intervals, and there is a check in each. Where some are well, it is less likely that
    all is bad, but not that it is from here.
    """
    symptoms, gone = _SHOW_AS[letter], _share(case)
    said = case.mine.shared[letter]
    if not gone or said.symptom not in symptoms:
        return False
    words = [view.shared[letter] for view in case.witnesses if letter in view.shared]
    weight = -log(min(MOST_SHARE, max(LEAST_SHARE, gone)))
    mine = weight * said.run
    others = sum(weight * one.run if one.symptom in symptoms else -WELL for one in words)
    return mine + max(0.0, others) <= log(case.facts.nodes / BY_CHANCE)


def shown_by(case: Case, letter: Shared) -> frozenset[Symptom]:
    """What dead agents show as; empty where none is dead."""
    return _SHOW_AS.get(letter, frozenset()) if _share(case) else frozenset()


def _share(case: Case) -> float:
    """Of the agents that anybody speaks of: those that do not answer me, or half of the others.

    And those that doubt themselves: they answer at times.
    """
    views = (case.mine, *case.witnesses)
    doubted = case.facts.doubted_lately
    spoken_of = {node for view in views for node in view.targets} | {case.mine.node}
    gone = [node in case.hard or case.is_bad_for_others(node) for node in spoken_of - doubted]
    return (sum(gone) + len(spoken_of & doubted)) / len(spoken_of)
