"""/alive documents of a little cluster, as server/alive.py writes them (the parts that count)."""

from __future__ import annotations

from typing import Any

from kubenurse_otel.report.verdicts import Named, Told

GOOD: dict[str, Any] = {
    "outcome": "ok",
    "duration_seconds": 0.002,
    "phases": {
        "dns": 0.0002,
        "connect": 0.00003,
        "tls": 0.0007,
        "request": 0.00107,
        "loss": 0.0,
        "network_round_trip": 0.00002,
        "far_end": 0.00105,
        "own_delay": 0.0015,
    },
}
REFUSED: dict[str, Any] = {
    "outcome": "failed",
    "error_type": "connection_refused",
    "phases": {},
}
EXPIRED: dict[str, Any] = {
    "outcome": "failed",
    "error_type": "tls_certificate_expired",
    "phases": {"dns": 0.0002, "connect": 0.00003, "loss": 0.0},
}


def slow(part: str, seconds: float = 0.4, **phases: float) -> dict[str, Any]:
    """A good check, one part of which took long."""
    return {
        "outcome": "ok",
        "duration_seconds": seconds + 0.001,
        "phases": {"request": seconds, "network_round_trip": 0.00002, part: seconds, **phases},
    }


def document(**targets: dict[str, Any]) -> dict[str, Any]:
    """One agent's /alive; a key's two underscores stand for its dash."""
    named = {key.replace("__", "-"): about for key, about in targets.items()}
    return {"details": {"targets": {key: {"type": key, **about} for key, about in named.items()}}}


def named(sentence: str, *reporters: str, kind: str = "ingress", culprit: str = "cluster") -> Named:
    """A verdict, as the agents tell it."""
    told = Told(sentence=sentence, kind=kind, culprit=culprit, evidence=("from node-1: late",))
    return Named(verdict=told, reporters=reporters)
