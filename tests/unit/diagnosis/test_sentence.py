"""diagnosis/sentence.py: every verdict can be said."""

from __future__ import annotations

import itertools

import pytest

from kubenurse_otel.diagnosis.sentence import sentence
from kubenurse_otel.diagnosis.verdict import Cause, Direction, Kind, Verdict


def verdict(
    kind: Kind, culprit: str, cause: Cause, direction: Direction = Direction.NONE
) -> Verdict:
    return Verdict(
        kind=kind,
        culprit=culprit,
        direction=direction,
        cause=cause,
        confidence=0.9,
        since=0.0,
        last_seen=0.0,
    )


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            verdict(Kind.NODE, "w3", Cause.SILENT),
            "node w3 does not answer",
        ),
        (
            verdict(Kind.NODE, "w3", Cause.SILENT, Direction.IN),
            "node w3 does not answer: what is sent to it does not arrive, and what it sends does",
        ),
        (
            verdict(Kind.NODE_LOSS, "w3", Cause.LOSS, Direction.OUT),
            "the network of node w3 loses packets, of what it sends",
        ),
        (
            verdict(Kind.NODE_SLOW, "cluster", Cause.SLOW),
            "the network between nodes is slow",
        ),
        (
            verdict(Kind.PAIR, "w3|w4", Cause.SILENT),
            "the way between nodes w3 and w4 does not answer",
        ),
        (
            verdict(Kind.DNS, "cluster", Cause.SILENT),
            "DNS does not answer",
        ),
        (
            verdict(Kind.DNS, "w3", Cause.SILENT),
            "DNS does not answer, for node w3 alone",
        ),
        (
            verdict(Kind.CERTIFICATE, "ingress", Cause.CERTIFICATE),
            "the ingress shows a certificate that is not to be trusted, or has expired",
        ),
        (
            verdict(Kind.CERTIFICATE, "agents", Cause.CERTIFICATE),
            "the agents' TLS shows a certificate that is not to be trusted, or has expired",
        ),
        (
            verdict(Kind.CERTIFICATE, "w3", Cause.CERTIFICATE),
            "w3 shows a certificate that is not to be trusted, or has expired",
        ),
        (
            verdict(Kind.EXTRA, "shop", Cause.SILENT),
            "what the check shop asks does not answer",
        ),
        (
            verdict(Kind.PROBER, "w3", Cause.STARVED),
            "the agent on node w3 gets too little CPU: what it measures is not to be believed",
        ),
    ],
)
def test_a_verdict_in_words(said: Verdict, expected: str) -> None:
    """What is at fault, and what is wrong with it."""
    assert expected == sentence(said)


def test_every_verdict_has_words() -> None:
    """Of each kind and cause, for one culprit, two, and all: no brace and no key is left."""
    for kind, cause, direction in itertools.product(Kind, Cause, Direction):
        between = kind in (Kind.PAIR, Kind.PAIR_LOSS, Kind.ZONE_PAIR)
        for culprit in ("w3|w4",) if between else ("w3", "cluster", "agents", "ingress", "shop"):
            said = sentence(verdict(kind, culprit, cause, direction))
            assert not {"{", "|"} & set(said)
