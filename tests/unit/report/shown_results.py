"""A measured check, and a failure, that report/ shows."""

from __future__ import annotations

from kubenurse_otel.config.urls import parse_url
from kubenurse_otel.model import (
    CheckResult,
    Failure,
    Measurement,
    Outcome,
    Phase,
    Split,
    Target,
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
    return CheckResult(
        target=Target(
            key="1",
            type="1",
            kind=TargetKind.EXTRA,
            url=parse_url(url),
            interval_seconds=5,
            timeout_seconds=5,
        ),
        outcome=Outcome.OK if failure is None else Outcome.FAILED,
        started_at=STARTED,
        failure=failure,
        measurement=measurement,
        trace_id="0af7651916cd43dd8448eb211c80319c",
    )
