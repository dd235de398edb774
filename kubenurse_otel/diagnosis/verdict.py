"""A conclusion: who is at fault, how sure that is, and what speaks for and against it."""

from __future__ import annotations

from enum import StrEnum

from kubenurse_otel.record import record

MOST_EVIDENCE = 8


class Kind(StrEnum):
    """What kind of thing the culprit is."""

    NODE = "node"
    NODE_LOSS = "node_loss"
    NODE_SLOW = "node_slow"
    NODE_MTU = "node_mtu"
    AGENT = "agent"
    PAIR = "pair"
    PAIR_LOSS = "pair_loss"
    ZONE = "zone"
    ZONE_PAIR = "zone_pair"
    SERVICE_PATH = "service_path"
    SERVICE = "service"
    DNS = "dns"
    DNS_REPLICA = "dns_replica"
    DNS_LOSS = "dns_loss"
    SEARCH_PATH = "search_path"
    API_SERVER = "api_server"
    INGRESS = "ingress"
    EXTRA = "extra"
    CERTIFICATE = "certificate"
    PROBER = "prober"


class Cause(StrEnum):
    """What is wrong with the culprit, in one word."""

    SILENT = "silent"
    STALLED = "stalled"
    MUTE = "mute"
    REFUSED = "refused"
    CUT = "cut"
    FULL_SIZE = "full_size"
    CERTIFICATE = "certificate"
    BROKEN = "broken"
    TOKEN = "token"  # noqa: S105 - a word
    SLOW = "slow"
    FAILING = "failing"
    UNKNOWN = "unknown"
    """DNS knows no such name."""
    PART = "part"
    LOSSY = "lossy"
    CUT_OFF = "cut_off"
    FROZEN = "frozen"
    """Its kernel answers, its processes do not, and the API server calls the node not ready."""
    LOSS = "loss"
    STARVED = "starved"
    DETOUR = "detour"
    """Names are found, after others were asked for in vain."""


class Direction(StrEnum):
    """Which way, seen from the culprit; empty where it is both or does not matter."""

    NONE = ""
    IN = "in"
    OUT = "out"


class State(StrEnum):
    """Where a verdict stands."""

    SUSPECTED = "suspected"
    """Shown, and no verdict: confidence below 0.5."""
    RAISED = "raised"
    FLAPPING = "flapping"
    """Raised three times in ten minutes; held until five minutes were quiet."""
    CLEARED = "cleared"


@record(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One thing that was seen, in words for people; ``trace_id`` is 32 hex digits or empty."""

    words: str
    trace_id: str = ""


@record(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Who is at fault. Names are from discovery and configuration alone, never off the wire.

    ``culprit`` is a node's name (of two of them or of two zones "a|b", in order), a zone,
    "cluster", "agents", or the type of a check. ``direction`` is the culprit's own.
    ``confidence`` is 0 to 1; below 0.5 it is a suspicion. ``since`` and ``last_seen`` are Unix
    seconds. ``second`` is the best other explanation (kind and culprit), or empty. ``named`` is
    which of many it is, in words, where that is known and no culprit's name. ``explains`` are the
    types of the checks (``Target.type``) whose failures it explains.
    """

    kind: Kind
    culprit: str
    direction: Direction = Direction.NONE
    cause: Cause
    confidence: float
    since: float
    last_seen: float
    state: State = State.RAISED
    evidence: tuple[Evidence, ...] = ()
    against: tuple[str, ...] = ()
    second: str = ""
    named: str = ""
    explains: frozenset[str] = frozenset()
