"""Our own node lets small packets pass and no full-size ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.case import TYPES, Finding, path_type
from kubenurse_otel.diagnosis.rules import CONTRADICTED, FEW_AGREE, SUSPICION
from kubenurse_otel.diagnosis.symptoms import HARD, Symptom
from kubenurse_otel.diagnosis.verdict import Cause, Kind
from kubenurse_otel.diagnosis.view import Shared
from kubenurse_otel.diagnosis.words import path, seen, shared, well_elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kubenurse_otel.diagnosis.case import Case
    from kubenurse_otel.diagnosis.verdict import Evidence
    from kubenurse_otel.diagnosis.view import Said

MOST: Final = 0.8
LEAST_PATHS: Final = 2
CONNECTED: Final = frozenset({Symptom.STALLED, Symptom.MUTE})
"""The handshake of TCP, all of small packets, was good, and then nothing came."""
FAR_ENDS: Final = ((Shared.API_SERVER_DIRECT, Shared.API_SERVER_DNS), (Shared.ME_INGRESS,))
"""Each a far end of its own, mostly by TLS: a certificate is full-size. Two names are one end."""
LEAST_FAR_ENDS: Final = 2
RUN_OF_THE_LATEST: Final = 2


def own_ways(case: Case) -> Iterator[Finding]:
    """Full-size ones die on most ways from here, and few others say so of theirs."""
    bad = [node for node, said in case.paths.items() if said.symptom is Symptom.FULL_SIZE]
    if len(bad) < max(LEAST_PATHS, MOST * len(case.paths)):
        return
    if max(case.paths[node].run for node in bad) < case.facts.run_alone:
        return
    elsewhere = [
        said.symptom is Symptom.FULL_SIZE
        for view in case.witnesses
        for node, said in view.targets.items()
        if node != case.mine.node
    ]
    if sum(elsewhere) <= FEW_AGREE * len(elsewhere):
        well = (view.node for view in case.witnesses)
        yield _finding(
            case,
            (*(path(case, node) for node in bad[:3]), *well_elsewhere(well)),
            {path_type(node) for node in bad} | _connected(case),
            is_contradicted=bool(elsewhere),
        )


def far_ends(case: Case) -> Iterator[Finding]:
    """Far ends that have our node alone in common connect and then say nothing; others get answers.

    Neighbours' answers are small. Until full-size ones are asked for, it is seen here alone.
    """
    if case.hard or not case.paths:
        return
    bad = [
        letter
        for letters in FAR_ENDS
        for letter in letters
        if _is_connected(case.mine.shared.get(letter)) and _is_mine(case, letter)
    ]
    ends = sum(any(letter in bad for letter in letters) for letters in FAR_ENDS)
    extras = {name: said for name, said in case.facts.extras.items() if _is_connected(said)}
    words = [*(case.mine.shared[letter] for letter in bad), *extras.values()]
    if not bad or ends + bool(extras) < LEAST_FAR_ENDS:
        return
    if max(said.run for said in words) < case.facts.run_alone:
        return
    well = {node for letter in bad for node in case.votes(letter, HARD.__contains__).other}
    evidence = (
        *(shared(case, letter) for letter in bad),
        *(seen(case, name, said) for name, said in extras.items()),
        *well_elsewhere(well),
    )
    yield _finding(case, evidence, _connected(case), is_contradicted=True)


def _is_connected(said: Said | None) -> bool:
    return said is not None and said.symptom in CONNECTED and said.run >= RUN_OF_THE_LATEST


def _is_mine(case: Case, letter: Shared) -> bool:
    votes = case.votes(letter, HARD.__contains__)
    return len(votes) > 0 and votes.share <= FEW_AGREE


def _connected(case: Case) -> set[str]:
    """What else our MTU explains: nobody's small answers, but who connected and was mute."""
    of_all = {TYPES[one] for one, said in case.mine.shared.items() if said.symptom in CONNECTED}
    return of_all | {name for name, one in case.facts.extras.items() if one.symptom in CONNECTED}


def _finding(
    case: Case, evidence: tuple[Evidence, ...], explains: Iterable[str], *, is_contradicted: bool
) -> Finding:
    return Finding(
        kind=Kind.NODE_MTU,
        culprit=case.mine.node,
        cause=Cause.FULL_SIZE,
        confidence=CONTRADICTED if is_contradicted else SUSPICION,
        evidence=evidence,
        against=() if is_contradicted else ("no neighbour was heard",),
        second=f"{Kind.NODE} {case.mine.node}",
        explains=frozenset(explains),
    )
