"""What a check shows, in one letter."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kubenurse_otel import errors
from kubenurse_otel.diagnosis.symptoms import Symptom, symptom
from kubenurse_otel.errors import ErrorType
from kubenurse_otel.model import (
    Auth,
    CheckResult,
    DnsQuery,
    Failure,
    Measurement,
    Outcome,
    Phase,
    Split,
    Target,
    TargetKind,
    Url,
)

TARGET = Target(
    key="path_n2",
    type="path_n2",
    kind=TargetKind.PATH,
    url=Url.of("http", "10.0.0.2", 8080, "/alwayshappy"),
    interval_seconds=5.0,
    timeout_seconds=5.0,
)
NO_TESTIMONY = {
    ErrorType.OWN_TIMEOUT,
    ErrorType.CREDENTIALS_MISSING,
    ErrorType.NO_LOCAL_PORT,
    ErrorType.UNHANDLED_EXCEPTION,
    ErrorType.WRONG_PEER,
    ErrorType.OTHER,
}


def failed(error: ErrorType, **measured: object) -> CheckResult:
    return CheckResult(
        target=TARGET,
        outcome=Outcome.FAILED,
        started_at=0.0,
        failure=Failure(error_type=error, phase=Phase.REQUEST, event="", message=""),
        measurement=Measurement(split=Split(), **measured),
    )


@pytest.mark.parametrize("error", ErrorType)
def test_every_error_has_a_symptom_or_says_nothing_of_its_target(error: ErrorType) -> None:
    """A new error type has to be put on one side or the other."""
    assert (symptom(failed(error), slow_seconds=1.0) is None) is (error in NO_TESTIMONY)


def test_a_dns_server_that_is_checked_does_not_stall() -> None:
    """By UDP there is no connection: it is silent, and no look-up of ours has failed."""
    result = failed(ErrorType.RESPONSE_TIMEOUT)
    query = DnsQuery(name="a.test", record_type="A")
    asked = replace(result, target=replace(result.target, query=query))
    assert symptom(asked, slow_seconds=1.0) is Symptom.SILENT


@pytest.mark.parametrize("error", [ErrorType.RESPONSE_TIMEOUT, ErrorType.TLS_HANDSHAKE_TIMEOUT])
@pytest.mark.parametrize(
    ("retransmits", "dsacks", "seen"),
    [
        (0, 0, Symptom.MUTE),
        (3, 0, Symptom.STALLED),
        (2, 2, Symptom.MUTE),  # it had what we sent again
        (None, 0, Symptom.STALLED),  # nobody knows: nothing is said of its kernel
    ],
)
def test_silence_after_connecting_is_the_agents_or_the_ways(
    error: ErrorType, retransmits: int | None, dsacks: int, seen: Symptom
) -> None:
    result = failed(error, retransmits=retransmits, dsacks=dsacks)
    assert symptom(result, slow_seconds=1.0) is seen


@pytest.mark.parametrize(
    ("auth", "status", "seen"),
    [
        (Auth.SERVICE_ACCOUNT_TOKEN, 401, Symptom.TOKEN),
        (Auth.SERVICE_ACCOUNT_TOKEN, 403, Symptom.TOKEN),
        (Auth.SERVICE_ACCOUNT_TOKEN, 500, Symptom.BROKEN),
        (Auth.NONE, 401, Symptom.BROKEN),  # no token was shown
    ],
)
def test_a_refused_token_is_not_a_broken_answer(auth: Auth, status: int, seen: Symptom) -> None:
    failure = errors.status_failure(
        status, target="10.0.0.1:443", with_token=auth is Auth.SERVICE_ACCOUNT_TOKEN
    )
    result = failed(ErrorType(failure.error_type), status_code=status)
    assert symptom(result, slow_seconds=1.0) is seen


@pytest.mark.parametrize(
    ("far_end", "seen"), [(None, Symptom.OK), (0.99, Symptom.OK), (1.0, Symptom.SLOW)]
)
def test_a_good_answer_may_be_late(far_end: float | None, seen: Symptom) -> None:
    measurement = Measurement(split=Split(far_end=far_end))
    result = CheckResult(target=TARGET, outcome=Outcome.OK, started_at=0.0, measurement=measurement)
    assert symptom(result, slow_seconds=1.0) is seen


def test_what_our_own_node_kept_was_not_acknowledged_by_anybody() -> None:
    """A rule or a queue of this node: the far end's process never had the request."""
    result = failed(ErrorType.RESPONSE_TIMEOUT, retransmits=0)
    measurement = replace(result.measurement, split=Split(egress=4.9))
    assert symptom(replace(result, measurement=measurement), slow_seconds=1.0) is Symptom.STALLED
