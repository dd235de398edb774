"""A verdict in one sentence for people: what is at fault, and what is wrong with it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.verdict import Cause, Direction, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kubenurse_otel.diagnosis.verdict import Verdict

EVERYBODY: Final = frozenset({"cluster", "agents"})
"""Culprits that are nobody's alone."""

_OF_A_NODE: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        Kind.NODE: "node {}",
        Kind.NODE_LOSS: "the network of node {}",
        Kind.NODE_SLOW: "the network of node {}",
        Kind.NODE_MTU: "node {}",
        Kind.AGENT: "the agent on node {}",
        Kind.PROBER: "the agent on node {}",
        Kind.ZONE: "zone {}",
    }
)
_BETWEEN: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        Kind.PAIR: "the way between nodes {} and {}",
        Kind.PAIR_LOSS: "the way between nodes {} and {}",
        Kind.ZONE_PAIR: "the way between zones {} and {}",
    }
)
_OF_ALL: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        Kind.SERVICE_PATH: "the way to the addresses of Services",
        Kind.SERVICE: "the agents' Service",
        Kind.NODE_MTU: "the network between nodes",
        Kind.NODE_SLOW: "the network between nodes",
        Kind.DNS: "DNS",
        Kind.DNS_REPLICA: "one server of DNS",
        Kind.DNS_LOSS: "the way to DNS",
        Kind.SEARCH_PATH: "DNS, asked by way of the search path,",
        Kind.API_SERVER: "the API server",
        Kind.INGRESS: "the ingress",
        Kind.PROBER: "the agents",
    }
)
_CERTIFICATES: Final[Mapping[str, str]] = MappingProxyType(
    {kind.value: words for kind, words in _OF_ALL.items()} | {"agents": "the agents' TLS"}
)
"""Whose it is; else a node's name, or an extra check's."""
_DOES: Final[Mapping[Cause, str]] = MappingProxyType(
    {
        Cause.SILENT: "does not answer",
        Cause.STALLED: "connects and then is silent, while packets are lost",
        Cause.MUTE: "connects and never answers, though no packet is lost: a process hangs",
        Cause.REFUSED: "refuses connections: nothing listens there",
        Cause.CUT: "closes connections before it has answered",
        Cause.FULL_SIZE: "lets small packets pass and no full-size ones (look at the MTU)",
        Cause.CERTIFICATE: "shows a certificate that is not to be trusted, or has expired",
        Cause.BROKEN: "answers, but not as it should",
        Cause.TOKEN: "has a token that the API server refuses",
        Cause.SLOW: "is slow",
        Cause.FAILING: "answers that it failed",
        Cause.UNKNOWN: "knows no such name",
        Cause.PART: "does not answer, while others do",
        Cause.LOSSY: "loses packets",
        Cause.CUT_OFF: "is cut off: nothing answers it",
        Cause.FROZEN: "is frozen: its kernel answers and its processes do not",
        Cause.LOSS: "loses packets",
        Cause.STARVED: "gets too little CPU: what it measures is not to be believed",
        Cause.DETOUR: "is asked for many names that do not exist",
    }
)
_WAY: Final[Mapping[Direction, str]] = MappingProxyType(
    {
        Direction.NONE: "",
        Direction.IN: ", of what is sent to it",
        Direction.OUT: ", of what it sends",
    }
)
_CUT_INWARDS: Final = ": what is sent to it does not arrive, and what it sends does"


def sentence(verdict: Verdict) -> str:
    """Say it, without a full stop: "node worker-3 does not answer"."""
    named = f" ({verdict.named})" if verdict.named else ""
    who = _who(verdict.kind, verdict.culprit) + named
    is_cut_inwards = (verdict.cause, verdict.direction) == (Cause.SILENT, Direction.IN)
    way = _CUT_INWARDS if is_cut_inwards else _WAY[verdict.direction]
    said = f"{who} {_DOES[verdict.cause]}{way}"
    return f"{said}, for node {verdict.culprit} alone" if _is_of_one_seat(verdict) else said


def _who(kind: Kind, culprit: str) -> str:
    if kind in _OF_A_NODE and culprit not in EVERYBODY:
        return _OF_A_NODE[kind].format(culprit)
    if kind in _BETWEEN:
        one, _, other = culprit.partition("|")
        return _BETWEEN[kind].format(one, other)
    if kind in _OF_ALL:
        return _OF_ALL[kind]
    if kind is Kind.EXTRA:
        return f"what the check {culprit} asks"
    return _CERTIFICATES.get(culprit, culprit)


def _is_of_one_seat(verdict: Verdict) -> bool:
    """Whether something that all ask fails for one node only."""
    return (
        verdict.kind in _OF_ALL
        and verdict.kind not in _OF_A_NODE
        and verdict.culprit not in EVERYBODY
    )
