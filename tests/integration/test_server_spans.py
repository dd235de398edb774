"""The SERVER span of /alwayshappy: whose child it is, what it says, and when there is none."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from running_server import ask, client, get, running

from kubenurse_otel.semconv import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"traceparent: 00-{TRACE}-{PARENT}-01"


@pytest.fixture
def provider() -> Iterator[tuple[TracerProvider, InMemorySpanExporter]]:
    exporter = InMemorySpanExporter()
    made = TracerProvider(shutdown_on_exit=False)
    made.add_span_processor(SimpleSpanProcessor(exporter))
    yield made, exporter
    made.shutdown()


async def spans_of(
    provider: tuple[TracerProvider, InMemorySpanExporter], *lines: str, path: str = "/alwayshappy"
) -> tuple[ReadableSpan, ...]:
    async with running(tracer=provider[0].get_tracer("t")) as here:
        assert (await ask(here.port, path, *lines)).status in (200, 301, 500)
    return provider[1].get_finished_spans()


async def test_the_span_continues_the_callers_trace(
    provider: tuple[TracerProvider, InMemorySpanExporter],
) -> None:
    """With a traceparent there is one SERVER span, child of the caller's, as HTTP's conventions."""
    before = time.time_ns()
    (span,) = await spans_of(
        provider, TRACEPARENT, "tracestate: a=b", "baggage: secret=1", "User-Agent: kubenurse"
    )
    assert (span.name, span.kind) == ("GET /alwayshappy", SpanKind.SERVER)
    assert span.status.status_code is StatusCode.UNSET
    assert span.context is not None
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == PARENT
    assert span.parent.is_remote
    assert span.context.trace_state.get("a") == "b"
    attributes = dict(span.attributes or {})
    wait, app = attributes.pop("kubenurse.server.wait"), attributes.pop("kubenurse.server.app")
    assert isinstance(wait, float)
    assert isinstance(app, float)
    assert isinstance(attributes.pop("network.peer.port"), int)
    assert attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/alwayshappy",
        "url.path": "/alwayshappy",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "network.peer.address": "127.0.0.1",
        "client.address": "127.0.0.1",
        "server.address": "agent",
        "user_agent.original": "kubenurse",
    }
    assert span.start_time is not None
    assert span.end_time is not None
    assert before - 50_000_000 <= span.start_time <= span.end_time <= time.time_ns() + 50_000_000
    # Not a moment of our own after the write: the caller may be done by then.
    assert span.end_time - span.start_time == pytest.approx((wait + app) * 1e9, abs=2_000)


@pytest.mark.parametrize(
    ("target", "host", "expected"),
    [
        ("/alwayshappy", "kubenurse.example:8443", ("kubenurse.example", 8443)),
        ("/alwayshappy", "ingress.example", ("ingress.example", None)),
        ("/alwayshappy?a=http://b", "[fd00::1]:8080", ("fd00::1", 8080)),
        ("/alwayshappy", "a" * 300, ("a" * 256, None)),
        ("/alwayshappy", "a:" + "9" * 5_000, ("a", None)),
        ("http://other.example:81/alwayshappy", "proxy.example", ("other.example", 81)),
        ("/alwayshappy", "", ("127.0.0.1", "ours")),
        ("/alwayshappy", ":81", ("127.0.0.1", "ours")),
    ],
)
async def test_the_server_is_named_as_it_was_asked_for(
    provider: tuple[TracerProvider, InMemorySpanExporter],
    target: str,
    host: str,
    expected: tuple[str, object],
) -> None:
    """server.address and .port are the request's, a port that it does not name stays unsaid."""
    async with running(tracer=provider[0].get_tracer("t")) as here:
        async with client(here.port) as connection:
            head = f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{TRACEPARENT}\r\n\r\n"
            connection.send(head.encode())
            assert (await connection.answer()).status == 200
        address, port = expected
        (span,) = provider[1].get_finished_spans()
        attributes = span.attributes or {}
        assert attributes["server.address"] == address
        assert attributes.get("server.port") == (here.port if port == "ours" else port)


async def test_a_connection_that_ends_with_its_answer_had_an_address_of_ours(
    provider: tuple[TracerProvider, InMemorySpanExporter],
) -> None:
    """Without a Host our address is asked of the socket, and before that is closed."""
    async with running(tracer=provider[0].get_tracer("t")) as here:
        async with client(here.port) as connection:
            connection.send(f"GET /alwayshappy HTTP/1.0\r\n{TRACEPARENT}\r\n\r\n".encode())
            assert (await connection.ended()).startswith(b"HTTP/1.1 200")
        (span,) = provider[1].get_finished_spans()
        attributes = span.attributes or {}
        assert (attributes["server.address"], attributes["server.port"]) == ("127.0.0.1", here.port)


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("traceparent: nonsense",),
        (f"traceparent: 00-{'0' * 32}-{PARENT}-01",),
        (f"traceparent: ff-{TRACE}-{PARENT}-01",),
        (TRACEPARENT, TRACEPARENT),
        ("traceparent: " + "0" * 9_000,),
        ("baggage: a=b",),
    ],
)
async def test_without_a_valid_traceparent_there_is_no_span(
    provider: tuple[TracerProvider, InMemorySpanExporter], lines: tuple[str, ...]
) -> None:
    """No header, or none that can be read: answered, and no trace is begun."""
    assert await spans_of(provider, *lines) == ()


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (("traceparent: " + "0" * 600,), Refusal.TRACEPARENT),
        ((TRACEPARENT, "tracestate: a=\x9b31mred"), Refusal.TRACESTATE),
        ((TRACEPARENT, "tracestate: " + "a=b," * 40), Refusal.TRACESTATE),
    ],
)
async def test_what_no_trace_context_is_is_counted_and_not_logged(
    lines: tuple[str, ...], reason: Refusal, caplog: pytest.LogCaptureFixture
) -> None:
    """However many requests bring what cannot be read, the log holds no line of it."""
    async with running() as here:
        for _ in range(3):
            assert (await ask(here.port, "/alwayshappy", *lines)).status == 200
        assert dict(here.around.refusals) == {reason: 3}
    assert not caplog.records


@pytest.mark.parametrize("path", ["/ready", "/alive", "/metrics", "/"])
async def test_other_endpoints_make_no_span(
    provider: tuple[TracerProvider, InMemorySpanExporter], path: str
) -> None:
    """Only /alwayshappy is part of a trace."""
    assert await spans_of(provider, TRACEPARENT, path=path) == ()


async def test_an_oversized_tracestate_is_dropped(
    provider: tuple[TracerProvider, InMemorySpanExporter],
) -> None:
    """The trace goes on without a tracestate that is longer than must be passed on."""
    (span,) = await spans_of(provider, TRACEPARENT, "tracestate: a=" + "b" * 600)
    assert span.context is not None
    assert len(span.context.trace_state) == 0


async def test_a_span_tells_what_the_caller_was_told(
    provider: tuple[TracerProvider, InMemorySpanExporter],
) -> None:
    """Wait and app of the span are those of Server-Timing, in seconds, also after a stall."""
    async with (
        running(tracer=provider[0].get_tracer("t")) as here,
        client(here.port) as connection,
    ):
        connection.send(get("/ready"))
        await connection.answer()
        connection.send(get("/alwayshappy", TRACEPARENT))
        time.sleep(0.06)  # noqa: ASYNC251 - the event loop is meant to be blocked
        timing = (await connection.answer()).timing
        await asyncio.sleep(0)
    (span,) = provider[1].get_finished_spans()
    attributes = span.attributes or {}
    assert timing["wait"] >= 55
    assert attributes["kubenurse.server.wait"] == pytest.approx(timing["wait"] / 1e3, abs=1e-6)
    assert attributes["kubenurse.server.app"] == pytest.approx(timing["app"] / 1e3, abs=1e-6)
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.end_time - span.start_time >= 55_000_000
