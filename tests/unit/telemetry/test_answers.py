"""Answers of collectors that nobody thought of: any status, any headers, any bytes."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel.telemetry import signals
from kubenurse_otel.telemetry.answers import (
    MAX_ANSWER_BYTES,
    AnswerError,
    Result,
    of_http,
    of_message,
)

TRACES, METRICS = signals.traces(), signals.metrics()
TYPES = st.sampled_from(["application/x-protobuf", "application/json", "text/plain", "", "\x00"])
CODINGS = st.sampled_from(["", "gzip", "deflate", "identity", "br"])


@given(
    status=st.integers(100, 599),
    kind=TYPES,
    coding=CODINGS,
    retry_after=st.text(max_size=40),
    body=st.binary(max_size=200) | st.binary(max_size=200).map(gzip.compress),
)
def test_any_answer_has_a_meaning(
    status: int, kind: str, coding: str, retry_after: str, body: bytes
) -> None:
    """Only a 2xx is a success, all else a failure with a cause; nothing raises."""
    headers = {"content-type": kind, "content-encoding": coding, "retry-after": retry_after}
    answer = of_http(status, headers, body, TRACES, sent=5, now=1e9)
    if answer.result is Result.FAILURE:
        assert answer.cause.startswith(f"HTTP {status}")
        assert answer.reason
    else:
        assert 200 <= status < 300
    assert 0 <= answer.rejected <= 5
    assert answer.retryable == (status in {429, 502, 503, 504} and "no OTLP" not in answer.cause)
    assert (answer.retry_after_seconds or 0.0) >= 0


@given(st.binary(max_size=300), st.booleans())
def test_any_message_is_read_or_refused(message: bytes, json: bool) -> None:
    """Bytes that are no answer raise one error, and no other."""
    try:
        answer = of_message(message, METRICS, sent=3, json=json)
    except AnswerError:
        return
    assert answer.result in (Result.SUCCESS, Result.PARTIAL)
    assert (answer.rejected > 0) == (answer.result is Result.PARTIAL)


def test_more_than_nothing_cannot_be_rejected() -> None:
    """A negative number of rejected items is none."""
    message = TRACES.new_response()
    message.partial_success.rejected_spans = -(2**40)
    assert of_message(message.SerializeToString(), TRACES, sent=3).result is Result.SUCCESS


def test_a_redirect_to_nowhere_gives_no_advice() -> None:
    """304, or a 3xx without a Location: there is no endpoint to be set."""
    to = of_http(307, {"location": "https://b/v1/traces"}, b"", TRACES, sent=1, now=0.0)
    assert to.reason.endswith("set the endpoint that it leads to: https://b/v1/traces")
    nowhere = of_http(304, {}, b"", TRACES, sent=1, now=0.0)
    assert nowhere.reason.endswith("not followed, and this one names no Location")


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_what_unpacks_to_more_than_an_answer_is_refused(pack: object) -> None:
    """A few hundred bytes that would be a hundred megabytes are unpacked to 64 KiB at most."""
    assert callable(pack)
    body = pack(bytes(MAX_ANSWER_BYTES + 1))
    coding = "gzip" if pack is gzip.compress else "deflate"
    answer = of_http(200, {"content-encoding": coding}, body, TRACES, sent=1, now=0.0)
    assert answer.result is Result.FAILURE
    assert "unpacks to more than 65536 bytes" in answer.reason


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Sun, 09 Sep 2001 01:47:10 GMT", 30.0),
        ("Sat, 08 Sep 2001 01:47:10 GMT", 0.0),
        ("-5", None),
        ("soon", None),
        ("1" * 400, None),
        ("\u00b2", None),
        ("Fri, 99 Foo 99999 99:99:99 GMT", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    """RFC 9110 section 10.2.3; what is neither is nothing."""
    answer = of_http(503, {"retry-after": text}, b"", TRACES, sent=1, now=1e9)
    assert answer.retry_after_seconds == seconds
