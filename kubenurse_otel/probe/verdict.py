"""Make a check's result from what was probed: is it bad, and why. No I/O, no clock."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from kubenurse_otel import errors
from kubenurse_otel.config.urls import hidden
from kubenurse_otel.model import Auth, CheckResult, Failure, Outcome, TargetKind
from kubenurse_otel.text import printable

if TYPE_CHECKING:
    from kubenurse_otel.model import DnsQuery, Measurement, Target
    from kubenurse_otel.probe.exchange import Reply
    from kubenurse_otel.probe.prober import Probed

_GATEWAYS: Final = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT})
"""A proxy uses these to report somebody behind it (RFC 9110 sections 15.6.3 and 15.6.5)."""
_LONGEST: Final = 200


def failure(probed: Probed) -> Failure | None:
    """What is wrong: the exchange, else who answered, else what (the status, the addresses).

    A neighbour is asked at an address, and its answer names its node. One that names none
    (kubenurse, an agent without KUBENURSE_NODE_NAME) is taken as it is.
    """
    target, measured = probed.target, probed.measurement
    if probed.failure is None and target.query is not None:
        return _of_answer(target.query, measured, target=target.url.host_port)
    if probed.failure is not None or probed.reply is None:
        return probed.failure
    answered = measured.answering_node
    if target.neighbour is not None and answered not in ("", target.neighbour.node_name):
        return errors.wrong_peer_failure(
            expected=target.neighbour.node_name, answered=answered, target=target.url.host_port
        )
    status_code = probed.reply.status_code
    if not target.expects(status_code):
        return errors.status_failure(
            status_code,
            target=target.url.host_port,
            with_token=target.auth is Auth.SERVICE_ACCOUNT_TOKEN,
            leads_to=_header(probed.reply, b"location") if 300 <= status_code < 400 else "",
            gateway=_header(probed.reply, b"server") if _is_gateways(probed) else None,
            answering_node=answered,
        )
    return None


def _is_gateways(probed: Probed) -> bool:
    """Whether a proxy answered in the place of its backend, by all signs.

    503 may be the backend's own word: not where it is an agent, which names its node. By 404 an
    ingress says that it has no route to us (Traefik has none while there is no endpoint).
    """
    if probed.reply is None or probed.measurement.answering_node:
        return False
    target, status_code = probed.target, probed.reply.status_code
    wants_agent = target.answered_by_agent and target.kind is not TargetKind.EXTRA
    if status_code == HTTPStatus.NOT_FOUND:
        return target.kind is TargetKind.ME_INGRESS
    return status_code in _GATEWAYS or (
        wants_agent and status_code == HTTPStatus.SERVICE_UNAVAILABLE
    )


def _header(reply: Reply, name: bytes) -> str:
    """The first of this name, fit to be shown: short, and without what may be a secret in a URL."""
    found = next((value for other, value in reply.headers if other == name), b"")
    return printable(hidden(found.decode("latin-1").strip()), _LONGEST)


def _of_answer(query: DnsQuery, measured: Measurement, *, target: str) -> Failure | None:
    """What is wrong with what a DNS server answered: its code, else its addresses."""
    told, wanted = measured.answer, query.rcode or "an address"
    if told == (query.rcode or "NOERROR"):
        strangers = [one for one in measured.addresses if one not in query.addresses]
        if query.rcode or (measured.addresses and not (query.addresses and strangers)):
            return None
        told = strangers[0] if strangers else f"no {query.record_type} record"
    if query.addresses:
        wanted = " or ".join(sorted(query.addresses))
    return errors.unexpected_answer_failure(
        target=target, told=f"{told} to {query.record_type} {query.name}", wanted=wanted
    )


def result(
    probed: Probed, started_at: float, *, trace_id: str = "", span_id: str = ""
) -> CheckResult:
    """The check's result; ``started_at`` is Unix seconds."""
    found = failure(probed)
    return CheckResult(
        target=probed.target,
        outcome=Outcome.OK if found is None else Outcome.FAILED,
        started_at=started_at,
        failure=found,
        measurement=probed.measurement,
        trace_id=trace_id,
        span_id=span_id,
    )


def bug(error: Exception, target: Target, started_at: float) -> CheckResult:
    """The result of a check that a bug of ours ended: it says nothing about the far end."""
    return CheckResult(
        target=target,
        outcome=Outcome.FAILED,
        started_at=started_at,
        failure=errors.unhandled_failure(error, target=target.url.host_port),
    )
