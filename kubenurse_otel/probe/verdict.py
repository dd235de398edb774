"""Make the result of a check of what was probed: is it bad, and why. No I/O, no clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubenurse_otel import errors
from kubenurse_otel.model import Auth, CheckResult, Failure, Outcome

if TYPE_CHECKING:
    from kubenurse_otel.model import Target
    from kubenurse_otel.probe.prober import Probed


def failure(probed: Probed) -> Failure | None:
    """What is wrong: the exchange, else who answered, else the answer's status.

    A neighbour is asked at an address, and its answer names its node. One that names none
    (kubenurse, an agent without KUBENURSE_NODE_NAME) is taken as it is.
    """
    if probed.failure is not None or probed.reply is None:
        return probed.failure
    target, answered = probed.target, probed.measurement.answering_node
    if target.neighbour is not None and answered not in ("", target.neighbour.node_name):
        return errors.wrong_peer_failure(
            expected=target.neighbour.node_name, answered=answered, target=target.url.host_port
        )
    lowest, highest = target.expect
    status_code = probed.reply.status_code
    if not lowest <= status_code <= highest:
        return errors.status_failure(
            status_code,
            target=target.url.host_port,
            with_token=target.auth is Auth.SERVICE_ACCOUNT_TOKEN,
        )
    return None


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
