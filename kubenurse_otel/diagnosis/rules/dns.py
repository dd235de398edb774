"""DNS: its servers, one replica of them, the way to them, and what a look-up takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.case import CLUSTER, DNS_TYPE, TYPES, Finding
from kubenurse_otel.diagnosis.rules import (
    ALONE,
    CAUSES,
    FEW_AGREE,
    MOST_AGREE,
    ONE_WITNESS,
    SUSPICION,
    agreed,
)
from kubenurse_otel.diagnosis.symptoms import DEAD, DNS, Symptom
from kubenurse_otel.diagnosis.verdict import Cause, Evidence, Kind
from kubenurse_otel.diagnosis.view import Shared
from kubenurse_otel.diagnosis.words import (
    alike,
    endpoints,
    otherwise,
    shared,
    silent_endpoints,
    well_elsewhere,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubenurse_otel.diagnosis.case import Case

KINDS: Final = {Symptom.DNS_PART: Kind.DNS_REPLICA, Symptom.DNS_LOSSY: Kind.DNS_LOSS}
RUN, RUN_OF_PART, RUN_MINE_LATE = 2, 3, 6
"""The latest: from here alone with one witness, and of a replica, which others may not have met."""
MOST_AT_ONCE: Final = 0.75
"""Of the witnesses, where they saw it just now: half of all first look-ups meet a silent replica.
"""
DETOUR_SECONDS: Final = 0.05


def failing(case: Case) -> Iterator[Finding]:
    """Names are not found: from most nodes, or from this one alone."""
    said = case.shared(Shared.DNS)
    if said is None or said.symptom not in DNS or not case.facts.is_settled:
        return
    symptom = said.symptom
    if symptom is Symptom.DNS_LOSSY and _most_say_part(case):
        symptom = Symptom.DNS_PART
    kind = KINDS.get(symptom, Kind.DNS)
    if said.run < (RUN if kind is Kind.DNS else RUN_OF_PART):
        return
    if kind is Kind.DNS_REPLICA and _are_a_consequence(case):
        return
    votes = case.votes(Shared.DNS, DNS.__contains__)
    evidence = shared(case, Shared.DNS), *endpoints(case)
    explains = frozenset(
        TYPES[letter] for letter, one in case.mine.shared.items() if one.symptom in DNS
    ) | {DNS_TYPE}
    if votes and _is_everybodys(case, kind):
        culprit, confidence = CLUSTER, agreed(len(votes.alike) + 1)
        found = (*evidence, *alike(votes.alike)), otherwise(votes.other)
    elif case.facts.nodes == 1:
        culprit, confidence = CLUSTER, ALONE
        found = evidence, ("this is the only node",)
    elif votes.share <= FEW_AGREE and said.run >= max(
        RUN if len(votes) > 1 and kind is Kind.DNS else RUN_MINE_LATE, case.facts.run_alone
    ):
        # One witness may not have met a silent replica yet.
        is_sure = len(votes) > (0 if kind is Kind.DNS else 1)
        culprit, confidence = case.mine.node, ONE_WITNESS if is_sure else SUSPICION
        found = (*evidence, *well_elsewhere(votes.other)), () if votes else ("nobody was heard",)
    else:
        return
    yield Finding(
        kind=kind,
        culprit=culprit,
        cause=CAUSES[symptom],
        confidence=confidence,
        evidence=found[0],
        against=found[1],
        second=f"{Kind.DNS_REPLICA if kind is Kind.DNS else Kind.DNS} {CLUSTER}",
        named=silent_endpoints(case) if kind is Kind.DNS_REPLICA else "",
        explains=explains,
    )


def _is_everybodys(case: Case, kind: Kind) -> bool:
    """A look-up that happens to ask a sound replica is well: who sees any of it is alike."""
    if kind is not Kind.DNS:
        return case.votes(Shared.DNS, DNS.__contains__).share >= MOST_AGREE
    dead = (DNS - KINDS.keys()).__contains__
    return (
        case.votes(Shared.DNS, dead).share >= MOST_AT_ONCE
        or case.votes(Shared.DNS, dead, least_run=RUN).share >= MOST_AGREE
    )


def _are_a_consequence(case: Case) -> bool:
    """Whether each silent server is on a node that is silent to us, or whose agent lacks CPU."""
    nodes = {one.endpoint.node_name for one in case.facts.dns_endpoints if one.silent}
    dead = {node for node, said in case.mine.targets.items() if said.symptom in DEAD}
    return bool(nodes) and nodes <= dead | case.facts.doubted_lately


def _most_say_part(case: Case) -> bool:
    """Who seldom meets the silent replica sees a few look-ups lost; the others know better."""
    votes = case.votes(Shared.DNS, lambda symptom: symptom is Symptom.DNS_PART)
    return votes.share >= MOST_AGREE


def search_path(case: Case) -> Iterator[Finding]:
    """Names are found late, for others are asked for before.

    The path is the pods', and so are the names: that one node has it alone is not to be seen here.
    """
    seconds = case.facts.detour_seconds
    if seconds >= DETOUR_SECONDS:
        yield Finding(
            kind=Kind.SEARCH_PATH,
            culprit=CLUSTER,
            cause=Cause.DETOUR,
            confidence=ONE_WITNESS,
            evidence=(
                Evidence(words=f"names without a dot at their end cost {seconds:.3f} s more"),
            ),
        )
