"""Our own Service: it fails more often than its bad backends explain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.case import CLUSTER, TYPES, Finding
from kubenurse_otel.diagnosis.rules import CAUSES, MOST_AGREE, ONE_WITNESS, backends
from kubenurse_otel.diagnosis.rules.shared import BAD
from kubenurse_otel.diagnosis.symptoms import HARD, STALLS, Symptom
from kubenurse_otel.diagnosis.verdict import Kind
from kubenurse_otel.diagnosis.view import Shared
from kubenurse_otel.diagnosis.words import alike, otherwise, shared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubenurse_otel.diagnosis.case import Case

RUN: Final = 3


def failing(case: Case) -> Iterator[Finding]:
    """Many times in a row, and the API server's virtual IP works."""
    said = case.shared(Shared.ME_SERVICE)
    api_server = case.mine.shared.get(Shared.API_SERVER_DIRECT)
    if said is None or said.symptom not in BAD:
        return
    if api_server is not None and api_server.symptom in HARD:
        return
    if said.symptom in STALLS and not case.facts.sizes_are_settled:
        return  # its TLS may be too large for the way
    if said.run < RUN or backends.explain(case, Shared.ME_SERVICE):
        return
    votes = case.votes(Shared.ME_SERVICE, lambda symptom: symptom in BAD)
    everywhere = len(votes) > 0 and votes.share >= MOST_AGREE
    is_certificate = everywhere and said.symptom is Symptom.CERTIFICATE
    yield Finding(
        kind=Kind.CERTIFICATE if is_certificate else Kind.SERVICE,
        culprit=Kind.SERVICE.value if is_certificate else CLUSTER if everywhere else case.mine.node,
        cause=CAUSES[said.symptom],
        confidence=ONE_WITNESS,
        evidence=(shared(case, Shared.ME_SERVICE), *alike(votes.alike)),
        against=otherwise(votes.other),
        second=f"{Kind.SERVICE_PATH} {CLUSTER if everywhere else case.mine.node}",
        explains=frozenset({TYPES[Shared.ME_SERVICE]}),
    )
