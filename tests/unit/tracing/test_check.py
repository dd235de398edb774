"""Checker: one target, one root span, one result."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from bridge_doubles import (
    MESSAGE,
    Asked,
    Script,
    check_provider,
    checker,
    failure,
    measured,
    target,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import baggage, context
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NoOpTracer, SpanKind, StatusCode

from kubenurse_otel import semconv
from kubenurse_otel.config.urls import parse_url
from kubenurse_otel.model import Outcome, Phase, Statuses, TargetKind
from kubenurse_otel.tracing import httpx_adapter
from kubenurse_otel.tracing.check import Checker
from kubenurse_otel.tracing.httpx_adapter import InstrumentedProber

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan


pytestmark = pytest.mark.usefixtures("trace_context_only")


class Rig:
    """A checker whose ended spans can be looked at."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = check_provider(SimpleSpanProcessor(self._exporter), ratio=1.0)
        self.checker, self.prober = checker(self.provider)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    @property
    def root(self) -> ReadableSpan:
        (root,) = [span for span in self.spans if span.parent is None]
        return root

    @property
    def client(self) -> ReadableSpan:
        (client,) = [span for span in self.spans if span.kind is SpanKind.CLIENT]
        return client


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_a_good_check_is_a_root_span_over_a_client_span(rig: Rig) -> None:
    """The root carries target and outcome, ends last, and the CLIENT span is its child."""
    result = await rig.checker.check(target())

    root, client = rig.root, rig.client
    assert root is rig.spans[-1]
    assert (root.name, root.kind) == ("check path", SpanKind.INTERNAL)
    assert dict(root.attributes or {}) == {
        "kubenurse.type": "path_b",
        "kubenurse.target.key": "path_b",
        "kubenurse.target.node": "b",
        "kubenurse.target.pod": "pod-b",
        "kubenurse.method": "GET",
        "kubenurse.outcome": "ok",
        "kubenurse.code": "200",
    }
    assert root.status.status_code is StatusCode.UNSET
    assert client.parent is not None
    assert root.context is not None
    assert client.parent.span_id == root.context.span_id
    assert result.outcome is Outcome.OK
    assert result.failure is None
    assert result.measurement is not None
    assert result.trace_id == f"{root.context.trace_id:032x}"
    assert result.span_id == f"{root.context.span_id:016x}"


async def test_started_at_is_the_wall_clock_before_the_request(rig: Rig) -> None:
    """A result says when its check began."""
    times = iter([1234.5, 9999.0])
    made = Checker(
        rig.checker._prober, rig.provider.get_tracer("t"), wall_clock=lambda: next(times)
    )

    result = await made.check(target())

    assert result.started_at == 1234.5


@pytest.mark.parametrize(
    ("answering", "neighbour", "status", "error_type"),
    [
        ("b", True, 200, None),
        ("", True, 200, None),
        ("c", True, 200, "wrong_peer"),
        ("c", True, 503, "wrong_peer"),
        ("b", True, 503, "http_status"),
        ("c", False, 200, None),
    ],
)
async def test_a_neighbours_answer_comes_from_its_node(
    rig: Rig, answering: str, neighbour: bool, status: int, error_type: str | None
) -> None:
    """A name that is another's is a failure of its own kind; no name, or no neighbour, is none."""
    rig.prober.script = Script(status=status, measurement=measured(answering_node=answering))

    result = await rig.checker.check(target() if neighbour else target(neighbour=None))

    assert (result.failure.error_type if result.failure else None) == error_type


@pytest.mark.parametrize(
    ("status", "expect", "good"),
    [
        (200, ((200, 200),), True),
        (201, ((200, 200),), False),
        (103, ((200, 399),), False),
        (301, ((200, 399),), True),
        (308, ((200, 308),), True),
        (400, ((200, 399),), False),
        (503, ((200, 200),), False),
        (404, ((200, 404),), True),
        (401, ((200, 299), (401, 401)), True),
        (403, ((200, 299), (401, 401)), False),
    ],
)
async def test_the_status_must_be_in_an_expected_range(
    rig: Rig,
    status: int,
    expect: Statuses,
    good: bool,
) -> None:
    """Both ends of a range are good; what is outside is an http_status failure."""
    rig.prober.script = Script(status=status)

    result = await rig.checker.check(target(expect=expect))

    attributes = rig.root.attributes or {}
    assert attributes[semconv.CODE] == str(status)
    assert result.outcome is (Outcome.OK if good else Outcome.FAILED)
    assert attributes[semconv.OUTCOME] == result.outcome.value
    if not good:
        assert result.failure is not None
        assert result.failure.error_type == "http_status"
        assert result.failure.phase is Phase.STATUS
        assert attributes[semconv.FAILURE_EVENT] == f"status_code_{status}"
        assert attributes[semconv.FAILURE_ERROR_TYPE] == "http_status"
        assert attributes[semconv.FAILURE_PHASE] == "status"
        assert attributes[semconv.FAILURE_MESSAGE] == rig.root.status.description
        assert rig.root.status.status_code is StatusCode.ERROR


async def test_statuses_that_nobody_registered_are_one_word() -> None:
    """A far end that makes them up makes no series; the message has the number."""
    codes, events = set(), set()
    for status in range(100, 1000):
        rig = Rig()
        rig.prober.script = Script(status=status)
        result = await rig.checker.check(target(expect=((900, 900),)))
        codes.add((rig.root.attributes or {})[semconv.CODE])
        if result.failure is not None:
            events.add(result.failure.event)
            assert f" status {status}" in result.failure.message

    registered = {str(int(status)) for status in HTTPStatus}
    assert codes == registered | {"unregistered"}
    assert events == {f"status_code_{code}" for code in codes}


async def test_a_failed_exchange_is_told_in_the_probers_words(rig: Rig) -> None:
    """The failure that was probed counts, whichever exception of httpx brought it up."""
    found = failure()
    rig.prober.script = Script(failure=found)

    result = await rig.checker.check(target())

    attributes = rig.root.attributes or {}
    assert result.failure == found
    assert attributes[semconv.OUTCOME] == "failed"
    assert attributes[semconv.CODE] == "round_trip_error"
    assert attributes[semconv.FAILURE_EVENT] == "connect_done"
    assert rig.root.status.description == MESSAGE
    assert not rig.root.events


async def test_a_body_that_fails_after_a_200_is_a_round_trip_error(rig: Rig) -> None:
    """A status line alone is no answer."""
    found = failure("connection_closed_early", Phase.RECEIVE, "round_trip_error")
    rig.prober.script = Script(status=200, failure=found)

    result = await rig.checker.check(target())

    assert (rig.root.attributes or {})[semconv.CODE] == "round_trip_error"
    assert result.failure == found


@pytest.mark.makes_bugs
@pytest.mark.parametrize("error", [ZeroDivisionError, httpx.ReadError])
async def test_a_bug_of_the_prober_is_a_failed_check(rig: Rig, error: type[Exception]) -> None:
    """What is no network condition, or has no reason, fails this check alone and says so."""
    rig.prober.script = Script(raises=error)

    result = await rig.checker.check(target())

    assert result.failure is not None
    assert result.failure.error_type == "unhandled_exception"
    attributes = dict(rig.root.attributes or {})
    assert attributes[semconv.OUTCOME] == "failed"
    assert attributes[semconv.FAILURE_ERROR_TYPE] == "unhandled_exception"
    assert attributes[semconv.CODE] == "round_trip_error"


async def test_a_cancelled_check_has_no_outcome(rig: Rig) -> None:
    """Cancellation passes through; the spans end, the root without an outcome."""
    reached = asyncio.Event()

    async def hang(_asked: Asked) -> None:
        reached.set()
        await asyncio.get_running_loop().create_future()

    rig.prober.script = Script(before=hang)
    task = asyncio.create_task(rig.checker.check(target()))
    await asyncio.wait_for(reached.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert semconv.OUTCOME not in (rig.root.attributes or {})
    assert rig.client.status.status_code is StatusCode.UNSET


async def test_the_trace_context_goes_down_and_nothing_else(rig: Rig) -> None:
    """Of the CLIENT span; no baggage, whatever is current."""
    with_baggage = baggage.set_baggage("secret", "s3cr3t")
    token = context.attach(with_baggage)
    await rig.checker.check(target())
    context.detach(token)

    (asked,) = rig.prober.asked
    assert set(asked.propagation) == {"traceparent"}
    ours = rig.client.context
    assert ours is not None
    assert asked.propagation["traceparent"].split("-")[1:3] == [
        f"{ours.trace_id:032x}",
        f"{ours.span_id:016x}",
    ]


@pytest.mark.parametrize(
    "location",
    [
        "http://elsewhere/",
        "//",
        "http://[",
        "http://\x7f",
        "http://a:99999999/",
        "a" * 70_000,
        "::",
    ],
)
async def test_a_redirect_is_a_status_like_any_other(rig: Rig, location: str) -> None:
    """It is not followed, and where it leads is not even read."""
    rig.prober.script = Script(status=302, headers={"Location": location})

    result = await rig.checker.check(target())

    assert len(rig.prober.asked) == 1
    assert result.failure is not None
    assert result.failure.event == "status_code_302"


async def test_a_body_that_calls_itself_gzip_is_not_unpacked(rig: Rig) -> None:
    """Whether a body can be unpacked says nothing about the check."""
    rig.prober.script = Script(headers={"Content-Encoding": "gzip"})

    result = await rig.checker.check(target())

    assert result.outcome is Outcome.OK


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    status=st.integers(200, 599),
    headers=st.dictionaries(
        st.sampled_from(
            ["Location", "Set-Cookie", "Content-Encoding", "Content-Type", "WWW-Authenticate"]
        ),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40),
    ),
)
def test_no_answer_makes_a_check_raise(status: int, headers: dict[str, str]) -> None:
    """Whatever the headers say, a whole answer is judged by its status."""
    rig = Rig()
    rig.prober.script = Script(status=status, headers=headers)

    result = asyncio.run(rig.checker.check(target()))

    assert (result.outcome is Outcome.OK) == (status == 200)


_STRANGE_ENVIRONMENT = {
    "HTTP_PROXY": "http://127.0.0.1:1",
    "ALL_PROXY": "http://127.0.0.1:1",
    "OTEL_SEMCONV_STABILITY_OPT_IN": "database",
    "OTEL_PYTHON_EXCLUDED_URLS": "alwayshappy",
    "OTEL_PYTHON_HTTPX_EXCLUDED_URLS": "alwayshappy",
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST": ".*",
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_RESPONSE": ".*",
}
_IN_A_PROCESS_OF_ITS_OWN = """
import asyncio, json, sys
from kubenurse_otel.config import take_environment
take_environment()
sys.path[:0] = [sys.argv[1], "tests"]
from test_check import Rig, target
rig = Rig()
asyncio.run(rig.checker.check(target()))
print(json.dumps(sorted(rig.client.attributes)))
"""


def test_the_environment_has_no_say() -> None:
    """Proxies, old conventions, excluded URLs, captured headers: all as if they were not set."""
    done = subprocess.run(
        [sys.executable, "-c", _IN_A_PROCESS_OF_ITS_OWN, str(Path(__file__).parent)],
        env=_STRANGE_ENVIRONMENT,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stderr == ""
    names = json.loads(done.stdout)
    assert {"http.request.method", "http.response.status_code", "url.full"} <= set(names)
    assert not {"http.method", "http.url", "http.status_code"} & set(names)
    assert not [name for name in names if "header" in name]


async def test_a_response_of_httpx_says_where_a_redirect_leads_and_nothing_else(rig: Rig) -> None:
    """No other header of a far end goes further than the probe."""
    rig.prober.script = Script(status=302, headers={"Location": "/a", "X-Long": "x" * 60_000})
    asked = httpx_adapter._Asked(target())
    transport = InstrumentedProber(rig.prober, rig.provider).transport

    response = await transport.handle_async_request(httpx_adapter._Request(asked))

    assert (response.status_code, dict(response.headers)) == (302, {"location": "/a"})
    assert response.http_version == "HTTP/1.1"
    assert asked.probed is not None


async def test_a_check_is_a_trace_of_its_own(rig: Rig) -> None:
    """A current span does not become the root's parent, and checks at once do not mix."""
    tracer = rig.provider.get_tracer("t")
    with tracer.start_as_current_span("something else"):
        results = await asyncio.gather(
            *(rig.checker.check(target(f"path_{name}")) for name in "abc")
        )

    assert len({result.trace_id for result in results}) == 3
    for result in results:
        spans = [
            span
            for span in rig.spans
            if span.context is not None and f"{span.context.trace_id:032x}" == result.trace_id
        ]
        assert sorted(span.kind.name for span in spans) == ["CLIENT", *["INTERNAL"] * 3]
        types = {(span.attributes or {}).get(semconv.TYPE) for span in spans}
        assert types == {result.target.type, None}


@pytest.mark.parametrize(("reason", "flag"), [("follow_up", 1), (None, 0)])
async def test_a_sample_reason_sets_the_flag_that_is_sent(reason: str | None, flag: int) -> None:
    """Both ends sample what the bridge asked for, and nothing else at ratio 0."""
    made, prober = checker(check_provider(SpanProcessor(), ratio=0.0))

    await made.check(target(), sample_reason=reason)

    flags = int(prober.asked[0].propagation["traceparent"].split("-")[3], 16)
    assert flags & 1 == flag


async def test_an_extra_check_has_no_neighbour(rig: Rig) -> None:
    """The span's name says the kind, its type the check's own name."""
    await rig.checker.check(
        target(
            "shop",
            kind=TargetKind.EXTRA,
            url=parse_url("https://shop.example/?q=1"),
            neighbour=None,
        )
    )

    attributes = rig.root.attributes or {}
    assert rig.root.name == "check extra"
    assert attributes[semconv.TYPE] == "shop"
    assert semconv.TARGET_NODE not in attributes


async def test_a_failure_that_a_verdict_explains_says_so(rig: Rig) -> None:
    """On its root span; a good check says nothing of verdicts."""
    explained = {semconv.VERDICT_KIND: "agent", semconv.VERDICT_CULPRIT: "b"}
    made = Checker(
        rig.checker._prober, rig.provider.get_tracer("t"), explanation=lambda _: explained
    )
    rig.prober.script = Script(status=503)

    await made.check(target())

    assert explained.items() <= dict(rig.root.attributes or {}).items()


async def test_a_good_check_needs_no_explanation(rig: Rig) -> None:
    """Whatever verdict stands."""
    made = Checker(
        rig.checker._prober,
        rig.provider.get_tracer("t"),
        explanation=lambda _: {semconv.VERDICT_KIND: "agent"},
    )

    await made.check(target())

    assert semconv.VERDICT_KIND not in (rig.root.attributes or {})


async def test_without_tracing_there_is_no_trace_id(rig: Rig) -> None:
    """A result does not name a trace that cannot exist."""
    result = await Checker(rig.checker._prober, NoOpTracer()).check(target())

    assert (result.trace_id, result.span_id) == ("", "")


async def test_httpx_does_not_log_the_url(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Its line a request would hold the query string."""
    with caplog.at_level(logging.INFO):
        await rig.checker.check(target(url=parse_url("http://10.0.0.7:8080/?key=secret")))

    assert "secret" not in caplog.text
