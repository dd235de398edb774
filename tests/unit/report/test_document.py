"""report/document.py: one JSON document of a check, for /alive and the command."""

from __future__ import annotations

import json

import pytest
from shown_results import EXPIRED, STARTED, result

from kubenurse_otel.model import CheckResult, Measurement, Outcome, Split
from kubenurse_otel.report.document import document


def test_secrets_in_the_url_are_not_in_the_document() -> None:
    """Its query string stays out."""
    shown = document(result(url="https://localhost/version?token=secret"), in_full=True)
    assert "secret" not in json.dumps(shown)
    assert shown["url"] == "https://localhost/version?..."


def test_what_was_not_measured_is_left_out() -> None:
    """A failure before the first step has its reason alone."""
    assert document(result(None, EXPIRED), in_full=True).keys() == {
        *("url", "outcome", "checked_at", "trace_id"),
        *("error_type", "phase", "event", "message"),
    }


def test_what_the_kernel_does_not_count_is_left_out() -> None:
    """No zeros of gVisor's, and nobody timed what took no time: a refused connection."""
    told = document(result(Measurement(split=Split())), in_full=True)
    assert not {"dsacks", "lost", "retransmits", "timing_source"} & set(told)


def test_it_holds_the_whole_measurement() -> None:
    """A script finds every figure by its name, and the trace."""
    known = json.loads(json.dumps(document(result(), in_full=True)))

    assert known["outcome"] == "ok"
    assert known["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert known["duration_seconds"] == pytest.approx(0.02)
    assert known["phases"]["far_end_app"] == pytest.approx(0.003)
    assert known["offsets"] == {"dns_start": 0.0, "got_first_resp_byte": 0.02}
    assert known["certificate_expiry"] == "2026-12-18T11:06:40.000Z"
    assert "error_type" not in known


def test_that_of_a_failure_says_what_failed_and_no_duration() -> None:
    """A check without an answer has no duration that anyone could average."""
    plain = CheckResult(
        target=result().target,
        outcome=Outcome.FAILED,
        started_at=STARTED,
        failure=EXPIRED,
        measurement=Measurement(
            split=Split(connect=0.001), peer_address="127.0.0.1", peer_port=443
        ),
    )
    known = json.loads(json.dumps(document(plain)))

    assert known == {
        "url": "https://localhost/alwayshappy",
        "outcome": "failed",
        "checked_at": known["checked_at"],
        "error_type": "tls_certificate_expired",
        "phase": "tls",
        "event": "tls_handshake_done",
        "message": EXPIRED.message,
        "phases": {"connect": 0.001},
        "timing_source": "kernel",
        "peer": "127.0.0.1:443",
        "intercepted": False,
    }


def test_alive_and_the_command_name_alike() -> None:
    """What both have is the same; the command tells more."""
    brief, full = document(result()), document(result(), in_full=True)
    assert brief.items() <= full.items()
