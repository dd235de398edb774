"""Reads a target's JSON (/api/v1/target) into a bounded record: its last check and its last 30
minutes.

The JSON of our own agent and of another one, which may be anybody, is read in the same way: numbers
are finite, texts are printable and short, and whatever has another form is left out.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from kubenurse_otel.record import record
from kubenurse_otel.semconv import EVENTS
from kubenurse_otel.state.history import STEPS, WHOSE, Step
from kubenurse_otel.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST: Final = 600
_MOST: Final = 1e9
_EVENTS: Final = frozenset(EVENTS)
_PHASES: Final = frozenset(
    (
        *("dns", "connect", "tls", "request", "receive", "egress", "egress_queue"),
        *("request_egress", "loss", "loss_out", "loss_in", "request_loss", "network_round_trip"),
        *("far_end", "far_end_wait", "far_end_app", "own_delay"),
    )
)
_FACTS: Final = frozenset(
    (
        *("checked_at", "since", "error_type", "phase", "event", "message", "trace_id", "peer"),
        *("loss_direction", "timing_source", "timing_fallback_reason", "round_trip_source"),
        *("status_code", "answering_node", "intercepted", "retransmits", "dsacks", "lost", "rtt"),
        *("min_rtt", "pmtu", "synack_retransmits", "certificate_expiry", "connection_reused"),
        *("consecutive_failures", "interval_seconds"),
    )
)


@record(frozen=True, slots=True)
class Strip:
    """30 minutes in steps of ten seconds, oldest first. Each step has its longest duration, in
    seconds.
    """

    outcomes: tuple[Step, ...]
    parts: Mapping[str, tuple[float | None, ...]]


@record(frozen=True, slots=True, kw_only=True)
class Checked:
    """One target. ``outcome`` is ok, failed, or empty before its first check.

    ``facts`` are texts and numbers by the document's own names, those that are known.
    """

    node: str
    """The node whose agent checks it."""
    key: str
    type: str
    url: str
    outcome: str
    duration: float | None = None
    phases: Mapping[str, float]
    offsets: Mapping[str, float]
    """Seconds of events on the network's line, where the agent takes no time."""
    real_offsets: Mapping[str, float]
    """Seconds of the same events in real time."""
    facts: Mapping[str, str | float]
    strip: Strip | None = None

    def text(self, name: str) -> str:
        found = self.facts.get(name, "")
        return found if isinstance(found, str) else ""

    def number(self, name: str) -> float | None:
        found = self.facts.get(name)
        return found if isinstance(found, int | float) else None


def read(document: object) -> Checked | None:
    """Return the target, None if this is no target's document."""
    if not isinstance(document, dict) or not isinstance(document.get("key"), str):
        return None
    outcome = document.get("outcome")
    return Checked(
        node=_text(document.get("node")),
        key=_text(document["key"]),
        type=_text(document.get("type")),
        url=_text(document.get("url")),
        outcome=outcome if outcome in ("ok", "failed") else "",
        duration=_number(document.get("duration_seconds")),
        phases=_numbers(document.get("phases"), _PHASES),
        offsets=_numbers(document.get("offsets"), _EVENTS),
        real_offsets=_numbers(document.get("real_offsets"), _EVENTS),
        facts=_facts(document),
        strip=_strip(document.get("last_30_minutes")),
    )


def _facts(document: Mapping[str, Any]) -> Mapping[str, str | float]:
    found: dict[str, str | float] = {}
    for name in _FACTS & document.keys():
        value = document[name]
        number = _number(value)
        if isinstance(value, str):
            found[name] = _text(value)
        elif number is not None:
            found[name] = number
    return MappingProxyType(found)


def _strip(told: object) -> Strip | None:
    if not isinstance(told, dict):
        return None
    outcomes, parts = told.get("outcomes"), told.get("longest_seconds")
    if not isinstance(outcomes, str) or len(outcomes) != STEPS or not isinstance(parts, dict):
        return None
    letters = {step.name[0].lower(): step for step in Step}
    return Strip(
        outcomes=tuple(letters.get(letter, Step.NONE) for letter in outcomes),
        parts=MappingProxyType({name: _series(parts.get(name)) for name in WHOSE}),
    )


def _series(told: object) -> tuple[float | None, ...]:
    if not isinstance(told, list) or len(told) != STEPS:
        return (None,) * STEPS
    return tuple(_number(one) for one in told)


def _numbers(told: object, names: frozenset[str]) -> Mapping[str, float]:
    listed = told if isinstance(told, dict) else {}
    found = {name: _number(listed[name]) for name in names & listed.keys()}
    return MappingProxyType({name: one for name, one in found.items() if one is not None})


def _text(value: object) -> str:
    return printable(value, _LONGEST) if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -_MOST < value < _MOST else None  # not NaN either
