"""A measured check, and a failure, that report/ shows."""

from __future__ import annotations

from check_results import TRACE, target
from check_results import result as check_result

from kubenurse_otel.model import (
    CheckResult,
    Failure,
    Measurement,
    Phase,
    Split,
    TargetKind,
)

STARTED = 1_795_000_000.0
MEASURED = Measurement(
    split=Split(
        dns=0.002,
        connect=0.003,
        tls=0.005,
        request=0.01,
        receive=0.0002,
        loss=0.002,
        request_loss=0.002,
        network_round_trip=0.003,
        far_end=0.005,
        far_end_wait=0.001,
        far_end_app=0.003,
        own_delay=0.0004,
    ),
    offsets=(("dns_start", 0.0), ("got_first_resp_byte", 0.02)),
    round_trip_source="hello_ack",
    status_code=200,
    peer_address="127.0.0.1",
    peer_port=443,
    retransmits=1,
    certificate_expiry=STARTED + 30 * 86400,
    answering_node="node-b",
)
EXPIRED = Failure(
    error_type="tls_certificate_expired",
    phase=Phase.TLS,
    event="tls_handshake_done",
    message="the certificate of localhost:443 has expired: renew it",
)


def result(
    measurement: Measurement | None = MEASURED,
    failure: Failure | None = None,
    url: str = "https://localhost/alwayshappy",
) -> CheckResult:
    return check_result(
        target("1", url=url, kind=TargetKind.EXTRA),
        STARTED,
        good=failure is None,
        failure=failure,
        measurement=measurement,
        trace_id=TRACE,
    )
