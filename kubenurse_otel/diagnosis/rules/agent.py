"""An agent that answers, and not well: its own fault, or what all agents share."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.case import AGENTS, TYPES, Finding, path_type
from kubenurse_otel.diagnosis.rules import CAUSES, SUSPICION, agreed
from kubenurse_otel.diagnosis.rules.node import MOST
from kubenurse_otel.diagnosis.symptoms import SOFT, Symptom
from kubenurse_otel.diagnosis.verdict import Cause, Kind
from kubenurse_otel.diagnosis.view import Shared
from kubenurse_otel.diagnosis.words import alike, otherwise, path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubenurse_otel.diagnosis.case import Case
    from kubenurse_otel.diagnosis.view import Said

HALF: Final = 0.5
RUN: Final = 2


def shared_certificate(case: Case) -> Iterator[Finding]:
    """Most agents show one that is not accepted: they share it."""
    shown = [node for node, said in _soft(case).items() if said.symptom is Symptom.CERTIFICATE]
    if len(shown) > HALF * len(case.paths):
        service = case.mine.shared.get(Shared.ME_SERVICE)
        also = service is not None and service.symptom is Symptom.CERTIFICATE
        yield Finding(
            kind=Kind.CERTIFICATE,
            culprit=AGENTS,
            cause=Cause.CERTIFICATE,
            confidence=agreed(len(shown)) if len(shown) > 1 else SUSPICION,
            evidence=tuple(path(case, node) for node in shown[:3]),
            second=f"{Kind.PROBER} {case.mine.node}",
            explains=frozenset(map(path_type, shown))
            | ({TYPES[Shared.ME_SERVICE]} if also else set()),
        )


def answering_badly(case: Case) -> Iterator[Finding]:
    """It answers, and most of those that check it see that it does not answer well."""
    for node, said in _soft(case).items():
        seen_by = case.seen_by(node)
        alike_ = [one for one in seen_by if one.targets[node].symptom in SOFT]
        if len(alike_) < max(case.enough, ceil(MOST * len(seen_by))):
            continue
        is_certificate = said.symptom is Symptom.CERTIFICATE
        yield Finding(
            kind=Kind.CERTIFICATE if is_certificate else Kind.AGENT,
            culprit=node,
            cause=CAUSES[said.symptom],
            confidence=agreed(len(alike_)),
            evidence=(path(case, node), *alike(one.node for one in alike_ if one != case.mine)),
            against=otherwise(one.node for one in seen_by if one not in alike_),
            second=f"{Kind.PROBER} {node}",
            explains=frozenset({path_type(node)}),
        )


def _soft(case: Case) -> dict[str, Said]:
    return {
        node: said
        for node, said in case.paths.items()
        if said.symptom in SOFT and said.run >= RUN and case.is_open(path_type(node))
    }
