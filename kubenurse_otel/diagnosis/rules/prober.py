"""The prober itself: an agent that is starved measures nobody but itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubenurse_otel.diagnosis.case import Finding, path_type
from kubenurse_otel.diagnosis.doubt import NO_WITNESS
from kubenurse_otel.diagnosis.rules import ONE_WITNESS, SELF_ACCUSED
from kubenurse_otel.diagnosis.symptoms import Symptom
from kubenurse_otel.diagnosis.verdict import Cause, Evidence, Kind
from kubenurse_otel.diagnosis.words import path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubenurse_otel.diagnosis.case import Case


def doubtful(case: Case) -> Iterator[Finding]:
    """I do not trust my own checks: nothing else is said."""
    if case.mine.doubt >= NO_WITNESS:
        yield Finding(
            kind=Kind.PROBER,
            culprit=case.mine.node,
            cause=Cause.STARVED,
            confidence=SELF_ACCUSED,
            evidence=(
                Evidence(
                    words=f"this agent doubts itself ({case.mine.doubt} of 7): checks ran out of "
                    "time in its own process, or did not begin in time"
                ),
            ),
            is_last=True,
        )


def delayed(case: Case) -> Iterator[Finding]:
    """I delay my own checks, and can still tell that from the network's time."""
    if case.facts.is_sick:
        yield Finding(
            kind=Kind.PROBER,
            culprit=case.mine.node,
            cause=Cause.STARVED,
            confidence=SELF_ACCUSED,
            evidence=(
                Evidence(words="half of the latest checks were delayed by this agent for 0.1 s"),
            ),
        )


def neighbour_doubts(case: Case) -> Iterator[Finding]:
    """It took the connection and does not answer, and said before that it doubts itself."""
    for node, said in case.bad.items():
        if node in case.facts.doubting and said.symptom in (Symptom.MUTE, Symptom.STALLED):
            yield Finding(
                kind=Kind.PROBER,
                culprit=node,
                cause=Cause.STARVED,
                confidence=ONE_WITNESS,
                evidence=(path(case, node), Evidence(words=f"{node} says that it doubts itself")),
                second=f"{Kind.AGENT} {node}",
                explains=frozenset({path_type(node)}),
            )
