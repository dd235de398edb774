"""What all agents check alike: the API server, the ingress, certificates, and extra checks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.case import CLUSTER, TYPES, Finding
from kubenurse_otel.diagnosis.rules import (
    ALONE,
    CAUSES,
    CONTRADICTED,
    FEW_AGREE,
    MOST_AGREE,
    SUSPICION,
    agreed,
    backends,
)
from kubenurse_otel.diagnosis.symptoms import DEAD, HARD, SOFT, STALLS, Symptom
from kubenurse_otel.diagnosis.verdict import Kind
from kubenurse_otel.diagnosis.view import Shared
from kubenurse_otel.diagnosis.words import alike, otherwise, seen, shared, well_elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kubenurse_otel.diagnosis.case import Case, Votes

BAD: Final = HARD | SOFT
OF_ITS_OWN: Final = frozenset({Symptom.CERTIFICATE, Symptom.TOKEN})
_DID_NOT_GET_AS_FAR: Final[Mapping[Symptom, frozenset[Symptom]]] = {
    Symptom.CERTIFICATE: HARD,
    Symptom.TOKEN: HARD | {Symptom.CERTIFICATE},
    Symptom.BROKEN: frozenset({Symptom.CERTIFICATE}),
    Symptom.SLOW: frozenset({Symptom.CERTIFICATE}),
}
"""By what I see: what of others' ended before it could be seen, so that they have no word on it."""
RUN_AGREED, RUN_MINE, RUN_MINE_ONE_WITNESS = 2, 3, 6


def api_server(case: Case) -> Iterator[Finding]:
    """By its address and by its name: it is one thing, and everybody's if either is."""
    found = [
        one
        for letter in (Shared.API_SERVER_DIRECT, Shared.API_SERVER_DNS)
        for one in _of(case, letter, Kind.API_SERVER)
    ]
    found.sort(key=lambda one: one.culprit == case.mine.node)
    if found:
        yield replace(found[0], explains=frozenset().union(*(one.explains for one in found)))


def ingress(case: Case) -> Iterator[Finding]:
    yield from _of(case, Shared.ME_INGRESS, Kind.INGRESS)


def _of(case: Case, letter: Shared, kind: Kind) -> Iterator[Finding]:
    """Bad from most nodes: it is bad. From here alone: it is this node's way, or its trust."""
    said = case.shared(letter)
    if said is None or said.symptom not in BAD:
        return
    if said.symptom in DEAD and kind is Kind.API_SERVER and not case.facts.is_settled:
        return
    if said.symptom in STALLS and not case.facts.sizes_are_settled:
        return  # its TLS may be too large for the way
    if kind is Kind.INGRESS and backends.explain(case, letter):
        return
    # Who was answered for a dead backend does not tell whether what is silent for me is so for all.
    besides = backends.shown_by(case, letter) if said.symptom is Symptom.SILENT else frozenset()
    besides |= _DID_NOT_GET_AS_FAR.get(said.symptom, frozenset())
    votes = case.votes(letter, _alike(said.symptom).__contains__, besides=besides)
    everywhere, what = CLUSTER, kind
    if said.symptom is Symptom.CERTIFICATE:
        everywhere, what = kind.value, Kind.CERTIFICATE
    elif said.symptom is Symptom.TOKEN:
        kind = what = Kind.PROBER
    evidence = shared(case, letter)
    explains = frozenset({TYPES[letter]})
    lately = _see_it_now_and_then(case, letter, votes)
    if votes and len(votes.alike) + lately >= MOST_AGREE * len(votes) and said.run >= RUN_AGREED:
        yield Finding(
            kind=what,
            culprit=everywhere,
            cause=CAUSES[said.symptom],
            confidence=agreed(len(votes.alike) + 1),
            evidence=(evidence, *alike(votes.alike)),
            against=otherwise(votes.other),
            second=f"{kind} {case.mine.node}",
            explains=explains,
        )
    elif case.facts.nodes == 1 and said.run >= RUN_MINE:
        yield Finding(
            kind=what,
            culprit=everywhere,
            cause=CAUSES[said.symptom],
            confidence=ALONE,
            evidence=(evidence,),
            against=("this is the only node",),
            explains=explains,
        )
    elif len(votes.alike) + lately <= FEW_AGREE * len(votes) and said.run >= max(
        RUN_MINE if len(votes) > 1 else RUN_MINE_ONE_WITNESS,
        case.facts.run_alone,
    ):
        yield Finding(
            kind=kind,
            culprit=case.mine.node,
            cause=CAUSES[said.symptom],
            confidence=CONTRADICTED if votes else SUSPICION,
            evidence=(evidence, *well_elsewhere(votes.other)),
            against=() if votes else ("no neighbour was heard",),
            second=f"{what} {everywhere}",
            explains=explains,
        )


def _see_it_now_and_then(case: Case, letter: Shared, votes: Votes) -> int:
    """How many find it well now, and did not a minute ago or less.

    Where one of several backends is bad, each agent meets it now and then.
    """
    if case.mine.shared[letter].symptom in OF_ITS_OWN:
        return 0
    return len(case.facts.bad_lately.get(letter, frozenset()).intersection(votes.other))


def _alike(mine: Symptom) -> frozenset[Symptom]:
    """What others see of the same fault: whose token is refused was answered, and well."""
    return frozenset({mine}) if mine in OF_ITS_OWN else BAD - OF_ITS_OWN


def extra(case: Case) -> Iterator[Finding]:
    """No view has extra checks, so they stay suspicions; on the only node there is, they do not."""
    confidence = ALONE if case.facts.nodes == 1 else SUSPICION
    for name, said in case.facts.extras.items():
        if said.symptom in BAD and said.run >= RUN_MINE and case.is_open(name):
            is_certificate = said.symptom is Symptom.CERTIFICATE
            yield Finding(
                kind=Kind.CERTIFICATE if is_certificate else Kind.EXTRA,
                culprit=name,
                cause=CAUSES[said.symptom],
                confidence=confidence,
                evidence=(seen(case, name, said),),
                against=("agents do not tell each other of extra checks",),
                explains=frozenset({name}),
            )
