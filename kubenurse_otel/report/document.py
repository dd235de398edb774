"""One CheckResult as a JSON document: /alive's details and ``check --json`` name things alike.

Seconds, to the microsecond; moments in RFC 3339, UTC. What is not known is left out, and so are a
URL's secrets. No I/O, no clock.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from kubenurse_otel.text import host_port

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kubenurse_otel.model import CheckResult, Measurement, Target
    from kubenurse_otel.state.results import Standing

MOST_WAYS: Final = 64
"""The most bad ways in one agent's report. The worst come first."""
MOST_SLOWER: Final = 64


def document(result: CheckResult, *, in_full: bool = False) -> dict[str, Any]:
    """Return all that is known of a check. ``in_full`` adds offsets and TCP's counts."""
    about: dict[str, Any] = {
        "url": result.target.url.shown,
        "outcome": result.outcome.value,
        "checked_at": moment(result.started_at),
        **_failure(result),
    }
    if result.measurement is not None:
        about |= _measurement(result.measurement)
        if in_full:
            about |= _tcp(result.measurement)
    return about


def target(about: Target, standing: Standing | None, *, in_full: bool = False) -> dict[str, Any]:
    """Return all that is known of one target. What is not known is left out."""
    told: dict[str, Any] = {
        "type": about.type,
        "url": about.url.shown,
        "interval_seconds": about.interval_seconds,
    }
    if standing is None:
        return told | {"outcome": None}
    told |= document(standing.result, in_full=in_full)
    told |= {
        "since": moment(standing.since),
        "consecutive_failures": standing.consecutive_failures,
    }
    if standing.last_failure is not None:
        told["last_failure"] = failure(standing.last_failure)
    return told


def failure(result: CheckResult) -> dict[str, Any]:
    """Return only a failed check's reason and its time."""
    return {"at": moment(result.started_at), **_failure(result)}


def moment(unix_seconds: float) -> str:
    """Return a time as RFC 3339 in UTC, with milliseconds."""
    when = datetime.fromtimestamp(unix_seconds, UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _failure(result: CheckResult) -> dict[str, Any]:
    about: dict[str, Any] = {}
    if result.failure is not None:
        about = {
            "error_type": result.failure.error_type,
            "phase": result.failure.phase.value,
            "event": result.failure.event,
            "message": result.failure.message,
        }
    if result.trace_id:
        about["trace_id"] = result.trace_id
    return about


def _measurement(measured: Measurement) -> dict[str, Any]:
    split = measured.split
    phases = {name: getattr(split, name) for name in split.__dataclass_fields__}
    return _known(
        {
            "duration_seconds": round(split.duration, 6)
            if split.request is not None or measured.word
            else None,
            "phases": _known({name: _rounded(seconds) for name, seconds in phases.items()}),
            "loss_direction": split.loss_direction,
            "timing_source": measured.timing_source if measured.is_timed else None,
            "timing_fallback_reason": measured.fallback_reason,
            "status_code": measured.status_code,
            "answer": measured.answer,
            "addresses": list(measured.addresses) or None,
            "dns_tries": measured.dns_tries or None,
            "peer": host_port(measured.peer_address, measured.peer_port)
            if measured.peer_address
            else "",
            "answering_node": measured.answering_node,
            "intercepted": measured.intercepted,
            "retransmits": measured.retransmits,
            **_sizes(measured),
            "certificate_expiry": moment(measured.certificate_expiry)
            if measured.certificate_expiry is not None
            else None,
        }
    )


def _sizes(measured: Measurement) -> dict[str, int | None]:
    """Return the bytes of a full-size check: the padding of request and answer, segment and path
    MTU.
    """
    if measured.padding is None:
        return {}
    return {
        "padding": measured.padding,
        "answered_padding": measured.answered_padding,
        "send_mss": measured.send_mss,
        "pmtu": measured.pmtu,
    }


def _tcp(measured: Measurement) -> dict[str, Any]:
    counted = measured.retransmits is not None
    return _known(
        {
            "offsets": {name: round(seconds, 6) for name, seconds in measured.offsets},
            "real_offsets": {
                name: round(seconds, 6)
                for (name, _), seconds in zip(measured.offsets, measured.real_offsets, strict=False)
            },
            "round_trip_source": measured.round_trip_source,
            "connection_reused": measured.connection_reused,
            "address_failures": list(measured.address_failures),
            "rtt": _rounded(measured.rtt),
            "min_rtt": _rounded(measured.min_rtt),
            "pmtu": measured.pmtu,
            "dsacks": measured.dsacks if counted else None,
            "lost": measured.lost if counted else None,
            "synack_retransmits": measured.synack_retransmits,
        }
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def _known(about: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in about.items() if value not in ("", None)}
