"""What a collector answers: each is counted as what it is, said once, and sent again or not."""

from __future__ import annotations

import gc
import gzip
import json
import re
import socket
import time
from typing import TYPE_CHECKING, Any

import otlp_receiver
import pytest
from google.protobuf.any_pb2 import Any as Packed
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from otlp_receiver import Received
from otlp_telemetry import REJECTED, a_trace, exports, otlp, push, running, sums
from waiting import wait_until

from kubenurse_otel import semconv
from kubenurse_otel.config import OtlpProtocol, Temporality
from kubenurse_otel.telemetry.exporters import make_exporter

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

HTTP, GRPC = OtlpProtocol.HTTP_PROTOBUF, OtlpProtocol.GRPC
RECEIVERS = {HTTP: otlp_receiver.http_receiver, GRPC: otlp_receiver.grpc_receiver}
PAGE = b"<!doctype html><title>Sign in</title>"
LINE = re.compile(r"(?:cannot export|exporting) (?:traces|metrics)")


@pytest.fixture(params=list(RECEIVERS), ids=str)
def protocol(request: pytest.FixtureRequest) -> OtlpProtocol:
    return request.param


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [text for text in caplog.messages if LINE.match(text)]


def one_push(received: Received, protocol: OtlpProtocol = HTTP, **options: Any) -> dict[Any, float]:
    """Push twice, and see that no request was sent again; the exports that were counted."""
    before = len(received.paths)
    with running(otlp_metrics=otlp(received.endpoint, protocol, "metrics", **options)) as telemetry:
        push(telemetry)
        push(telemetry)
        assert len(received.paths) == before + 2
        return exports(telemetry)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_a_redirect_is_a_failure_and_says_where_to(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A collector behind a redirect gets nothing: no success, one line with status and target."""
    with otlp_receiver.http_receiver() as behind, otlp_receiver.http_receiver() as received:
        received.status = status
        target = f"{behind.endpoint}/v1/metrics?token=hidden"
        received.answer_headers = {"Location": target}
        assert one_push(received) == {("metrics", "failure"): 2}
        (line,) = lines(caplog)
        assert f"cannot export metrics to {received.endpoint}/v1/metrics: HTTP {status}" in line
        assert "redirects are not followed" in line
        assert f"{behind.endpoint}/v1/metrics?" in line
        assert "hidden" not in line
        assert behind.metrics == []


NO_OTLP: dict[str, tuple[bytes, dict[str, str]]] = {
    "a web page": (PAGE, {"Content-Type": "text/html; charset=utf-8"}),
    "a web page by the name of protobuf": (PAGE, {}),
    "a text": (b"OK", {"Content-Type": "text/plain"}),
    "no type": (b"OK", {"Content-Type": ""}),
    "garbled": (b"\x0a\xff\xff\xff\xff\x0f", {}),
    "garbled json": (b'{"partialSuccess": 5}', {"Content-Type": "application/json"}),
    "deep json": (b"[" * 60_000, {"Content-Type": "application/json"}),
    "no gzip": (b"no gzip", {"Content-Encoding": "gzip"}),
    "cut gzip": (gzip.compress(b"\x0a\x00" * 500)[:-9], {"Content-Encoding": "gzip"}),
    "a coding that we do not know": (b"\x0a\x00", {"Content-Encoding": "br"}),
}


@pytest.mark.parametrize("kind", NO_OTLP)
def test_a_200_that_is_no_answer_of_otlp_is_a_failure(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A sign-in page or a proxy's "OK" says nothing of the telemetry: it was not taken."""
    with otlp_receiver.http_receiver() as received:
        received.body, received.answer_headers = NO_OTLP[kind]
        assert one_push(received) == {("metrics", "failure"): 2}
        (line,) = lines(caplog)
        assert f"{received.endpoint}/v1/metrics: HTTP 200 OK, is it a collector?" in line


TAKEN: dict[str, tuple[int, bytes, dict[str, str]]] = {
    "empty": (200, b"", {}),
    "empty, of no type": (200, b"", {"Content-Type": ""}),
    "accepted": (202, b"", {}),
    "empty json": (200, b"{}", {"Content-Type": "application/json"}),
    "json": (200, b'{"partialSuccess": {}}', {"Content-Type": "application/json; charset=utf-8"}),
    "gzip that nobody asked for": (200, gzip.compress(b""), {"Content-Encoding": "gzip"}),
    "a field of a later version": (200, b"\x7a\x02ab", {}),
}


@pytest.mark.parametrize("kind", TAKEN)
def test_what_real_collectors_answer_is_a_success(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An empty answer, a later version's, or JSON from a vendor: taken, nothing to say."""
    with otlp_receiver.http_receiver() as received:
        received.answer_status, received.body, received.answer_headers = TAKEN[kind]
        assert one_push(received) == {("metrics", "success"): 2}
        assert lines(caplog) == []


def test_rejected_points_are_counted_and_not_sent_again(
    protocol: OtlpProtocol, caplog: pytest.LogCaptureFixture
) -> None:
    """partial_success of metrics: counted as partial, points counted, said once with the reason."""
    with RECEIVERS[protocol]() as received:
        received.rejected, received.message = 3, "out of order sample"
        with running(
            otlp_metrics=otlp(received.endpoint, protocol, "metrics"),
            temporality=Temporality.DELTA,
        ) as telemetry:
            for _ in range(2):
                telemetry.instruments.add(semconv.MISSED_CHECKS, 1, {"type": "x"})
                push(telemetry)
            counted = exports(telemetry)
            rejected = sums(telemetry, REJECTED)
            assert counted == {("metrics", "partial"): 2}
            assert rejected == {("metrics",): 6}
            points = [point.as_int for _m, point in received.points(semconv.MISSED_CHECKS.name)]
            assert points == [1, 1]
        (line,) = lines(caplog)
        assert "it rejected 3 of " in line
        assert "data points: out of order sample" in line
        assert received.endpoint in line


def test_rejected_spans_are_counted_and_not_sent_again(
    protocol: OtlpProtocol, caplog: pytest.LogCaptureFixture
) -> None:
    """partial_success of traces: counted as partial, spans counted, said once with the reason."""
    with RECEIVERS[protocol]() as received:
        received.rejected, received.message = 1, "span too old"
        with running(otlp_traces=otlp(received.endpoint, protocol, "traces")) as telemetry:
            for number in (1, 2):
                telemetry.offer(a_trace(telemetry))
                wait_until(
                    lambda number=number: exports(telemetry) == {("traces", "partial"): number}
                )
            assert sums(telemetry, REJECTED) == {("traces",): 2}
            assert len(received.spans()) == 4
        (line,) = lines(caplog)
        assert "it rejected 1 of 2 spans: span too old" in line
        assert received.endpoint in line


def test_json_of_a_partial_success_is_read(caplog: pytest.LogCaptureFixture) -> None:
    """The other encoding of the same answer is the same answer."""
    with otlp_receiver.http_receiver() as received:
        partial = {"rejectedDataPoints": "2", "errorMessage": "too many labels"}
        received.body = json.dumps({"partialSuccess": partial}).encode()
        received.answer_headers = {"Content-Type": "application/json"}
        assert one_push(received) == {("metrics", "partial"): 2}
        assert "it rejected 2 of" in caplog.text
        assert "too many labels" in caplog.text


def test_a_warning_is_a_success_and_said_once(
    protocol: OtlpProtocol, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing rejected, but a text: the far end warns."""
    with RECEIVERS[protocol]() as received:
        received.message = "this endpoint goes away in May"
        assert one_push(received, protocol) == {("metrics", "success"): 2}
        (line,) = lines(caplog)
        assert "this endpoint goes away in May" in line


def test_no_more_can_be_rejected_than_was_sent(protocol: OtlpProtocol) -> None:
    """A far end that says 2**62 does not end the usefulness of a counter."""
    with RECEIVERS[protocol]() as received:
        received.rejected = 2**62
        with running(otlp_traces=otlp(received.endpoint, protocol, "traces")) as telemetry:
            telemetry.offer(a_trace(telemetry))
            wait_until(lambda: bool(sums(telemetry, REJECTED)))
            assert sums(telemetry, REJECTED) == {("traces",): 2}


def status_body(text: str) -> bytes:
    return Status(code=8, message=text).SerializeToString()


@pytest.mark.parametrize(
    ("status", "headers", "body", "said"),
    [
        (429, {"Retry-After": "120"}, b"", "HTTP 429 Too Many Requests, Retry-After 120 s"),
        (429, {}, status_body("over quota"), "HTTP 429 Too Many Requests: over quota"),
        (400, {}, status_body("no such field"), "HTTP 400 Bad Request: no such field"),
        (401, {}, PAGE, "HTTP 401 Unauthorized"),
        (404, {"Content-Type": "text/plain"}, b"404 page not found\n", "Not Found: 404 page not"),
        (500, {}, b"\x0a\xff", "HTTP 500 Internal Server Error"),
        (599, {}, b"", "HTTP 599"),
    ],
    ids=["wait", "quota", "bad", "page", "text", "garbled", "unknown"],
)
def test_a_refusal_names_status_and_reason(
    status: int,
    headers: dict[str, str],
    body: bytes,
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The line has what somebody on call looks for: the status, the wait, the far end's words."""
    with otlp_receiver.http_receiver() as received:
        received.status, received.answer_headers, received.body = status, headers, body
        with running(
            otlp_metrics=otlp(received.endpoint, HTTP, "metrics"), metric_timeout_seconds=1.0
        ) as telemetry:
            telemetry._collection.collect_now()
            telemetry._pushes[0]._push(time.monotonic() + 0.5)
        assert said in lines(caplog)[0]


def test_a_refusal_of_grpc_keeps_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    """The second exporter that is refused for the same reason says it, too."""
    with otlp_receiver.grpc_receiver() as received:
        received.status, received.message = 403, "no such tenant"
        for _ in range(2):
            assert one_push(received, GRPC) == {("metrics", "failure"): 2}
        first, second = lines(caplog)
        assert "gRPC PERMISSION_DENIED: no such tenant" in first
        assert first == second


def test_grpc_says_when_to_come_again(caplog: pytest.LogCaptureFixture) -> None:
    """A RetryInfo in the status's details makes RESOURCE_EXHAUSTED a wait; without, a refusal."""
    status, detail, info = Status(code=8), Packed(), RetryInfo()
    info.retry_delay.seconds = 45
    detail.Pack(info)
    status.details.append(detail)
    with otlp_receiver.grpc_receiver() as received:
        received.status = 429
        received.answer_headers = {"grpc-status-details-bin": status.SerializeToString()}  # type: ignore[dict-item]
        with running(otlp_metrics=otlp(received.endpoint, GRPC, "metrics")) as telemetry:
            telemetry._collection.collect_now()
            telemetry._pushes[0]._push(time.monotonic() + 0.5)
        assert "gRPC RESOURCE_EXHAUSTED, retry in 45 s: refused by the test" in lines(caplog)[0]


def test_each_change_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """Refused, redirected, refused again, taken: three lines, whatever the number of exports."""
    with (
        otlp_receiver.http_receiver() as received,
        running(otlp_metrics=otlp(received.endpoint, HTTP, "metrics")) as telemetry,
    ):
        for status in (403, 403, 302, 403, 302, 200, 200):
            received.status = status
            push(telemetry)
        said = [re.search(r"HTTP \d+|works again", line) for line in lines(caplog)]
        assert [found and found[0] for found in said] == ["HTTP 403", "HTTP 302", "works again"]


def test_what_is_ours_is_not_logged_when_it_is_sent_back(
    protocol: OtlpProtocol, caplog: pytest.LogCaptureFixture
) -> None:
    """A far end that echoes the headers does not bring a token into the log."""
    with RECEIVERS[protocol]() as received:
        received.status, received.message = 403, "bad token Bearer s3cret-t0ken\x1b[2J\r\nforged"
        received.body = received.message.encode()
        received.answer_headers = {"Content-Type": "text/plain"} if protocol is HTTP else {}
        headers = (("authorization", "Bearer s3cret-t0ken"),)
        one_push(received, protocol, headers=headers)
        (line,) = lines(caplog)
        assert "bad token ***" in line
        assert line.isprintable()
        assert "s3cret" not in caplog.text


@pytest.mark.parametrize(
    ("status", "tries"), [(503, 2), (502, 2), (504, 2), (429, 2), (400, 1), (500, 1), (413, 1)]
)
def test_only_what_may_be_sent_again_is(status: int, tries: int) -> None:
    """OTLP names the statuses after which the same batch may be sent again."""
    with (
        otlp_receiver.http_receiver() as received,
        running(otlp_traces=otlp(received.endpoint, HTTP, "traces")) as telemetry,
    ):
        received.status = status
        telemetry.offer(a_trace(telemetry))
        assert received.wait_for(lambda: received.refused >= 1)
        received.status = 200
        if tries == 2:
            assert received.wait_for(lambda: len(received.spans()) == 2)
            wait_until(lambda: ("traces", "success") in exports(telemetry))
        else:
            dropped = {("export_failed",): 2}
            wait_until(lambda: sums(telemetry, semconv.SPANS_DROPPED.name) == dropped)
            assert received.spans() == []


def test_a_connection_is_kept_and_renewed_when_it_was_closed() -> None:
    """Exports share a connection; one that the far end closed in between costs no export."""
    with (
        otlp_receiver.http_receiver() as received,
        running(otlp_metrics=otlp(received.endpoint, HTTP, "metrics")) as telemetry,
    ):
        push(telemetry)
        received.close_after_answer = True
        push(telemetry)
        push(telemetry)
        assert exports(telemetry) == {("metrics", "success"): 3}
        assert received.peers[0] == received.peers[1] != received.peers[2]


@pytest.mark.parametrize("status", [200, 302, 403, 503])
def test_an_export_leaves_no_garbage(status: int) -> None:
    """However it ends: rings of errors and frames would wait for the garbage collector."""
    with otlp_receiver.http_receiver() as received, running() as telemetry:
        received.status = status
        spans = a_trace(telemetry)
        exporter = make_exporter("traces", otlp(received.endpoint, HTTP, "traces"))
        assert left_by(exporter, spans) < 5


def test_a_failure_to_connect_leaves_no_garbage() -> None:
    """A refused connection and a name that is none."""
    with socket.socket() as reserved, running() as telemetry:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        spans = a_trace(telemetry)
        for host in ("127.0.0.1", "name.invalid"):
            exporter = make_exporter("traces", otlp(f"http://{host}:{port}", HTTP, "traces"))
            assert left_by(exporter, spans) < 5


def left_by(exporter: Any, spans: list[ReadableSpan]) -> float:
    """Objects that only the garbage collector finds, an export."""
    exporter.export(spans, deadline=time.monotonic() + 5)
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            exporter.export(spans, deadline=time.monotonic() + 5)
        return gc.collect() / 20
    finally:
        gc.enable()
        exporter.close()
