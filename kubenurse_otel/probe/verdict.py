"""Make the result of a check of what was probed: is it bad, and why. No I/O, no clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubenurse_otel import errors
from kubenurse_otel.model import Auth, CheckResult, Failure, Outcome

if TYPE_CHECKING:
    from kubenurse_otel.model import DnsQuery, Measurement, Target
    from kubenurse_otel.probe.prober import Probed


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
        )
    return None


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
