"""Virtual IPs lead nowhere while pods answer: kube-proxy, or what takes its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.case import CLUSTER, TYPES, Finding
from kubenurse_otel.diagnosis.rules import (
    ALONE,
    CONTRADICTED,
    FEW_AGREE,
    MOST_AGREE,
    SUSPICION,
    agreed,
    backends,
)
from kubenurse_otel.diagnosis.symptoms import DEAD, Symptom
from kubenurse_otel.diagnosis.verdict import Cause, Kind
from kubenurse_otel.diagnosis.view import Shared
from kubenurse_otel.diagnosis.words import alike, otherwise, shared, well_elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubenurse_otel.diagnosis.case import Case
    from kubenurse_otel.diagnosis.view import View

VIRTUAL: Final = (Shared.API_SERVER_DIRECT, Shared.ME_SERVICE, Shared.DNS)
LEAST: Final = 2
SILENT: Final = frozenset({Symptom.SILENT, Symptom.DNS_SILENT})
BAD_PATHS: Final = 0.3
RUN_AGREED, RUN_MINE = 2, 3


def dead(case: Case) -> Iterator[Finding]:
    """All of them are silent, and few neighbours are to us alone."""
    asked = [letter for letter in VIRTUAL if letter in case.mine.shared]
    said = [case.mine.shared[letter] for letter in asked]
    if (
        len(asked) < LEAST
        or not all(case.is_open(TYPES[letter]) for letter in asked)
        or any(one.symptom not in SILENT for one in said)
        or _bad_paths(case) > BAD_PATHS * len(case.paths)
        or (Shared.ME_SERVICE in asked and backends.explain(case, Shared.ME_SERVICE))
    ):
        return
    witnesses = [view for view in case.witnesses if any(letter in view.shared for letter in asked)]
    same = [view.node for view in witnesses if _is_silent(view)]
    other = [view.node for view in witnesses if view.node not in same]
    share = len(same) / len(witnesses) if witnesses else 0.0
    evidence = tuple(shared(case, letter) for letter in asked)
    explains = frozenset(
        TYPES[letter] for letter, one in case.mine.shared.items() if one.symptom in SILENT
    )
    run = min(one.run for one in said)
    if witnesses and share >= MOST_AGREE and run >= RUN_AGREED:
        yield Finding(
            kind=Kind.SERVICE_PATH,
            culprit=CLUSTER,
            cause=Cause.SILENT,
            confidence=agreed(len(same) + 1),
            evidence=(*evidence, *alike(same)),
            against=otherwise(other),
            second=f"{Kind.DNS} {CLUSTER}",
            explains=explains,
        )
    else:
        is_mine = share <= FEW_AGREE and run >= max(RUN_MINE, case.facts.run_alone)
        yield Finding(
            kind=Kind.SERVICE_PATH,
            culprit=case.mine.node,
            cause=Cause.SILENT,
            confidence=_confidence(case, witnesses) if is_mine else SUSPICION,
            evidence=(*evidence, *well_elsewhere(other)),
            against=() if is_mine and witnesses else ("too few neighbours were heard, or not yet",),
            second=f"{Kind.API_SERVER} {CLUSTER}",
            explains=explains,
        )


def _bad_paths(case: Case) -> int:
    """How many ways from here may be bad: not to those who refuse, nor that others miss, too."""
    return sum(
        said.symptom in DEAD and not case.is_bad_for_others(node)
        for node, said in case.hard.items()
    )


def _confidence(case: Case, witnesses: list[View]) -> float:
    if witnesses:
        return CONTRADICTED
    return ALONE if case.paths else SUSPICION


def _is_silent(view: View) -> bool:
    said = [view.shared[letter] for letter in VIRTUAL if letter in view.shared]
    return len(said) >= LEAST and all(one.symptom in SILENT for one in said)
