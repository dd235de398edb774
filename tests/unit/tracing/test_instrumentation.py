"""Our use of OpenTelemetry's instrumentation of httpx beside the package's own transport."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from opentelemetry.instrumentation.httpx import AsyncOpenTelemetryTransport
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator

from kubenurse_otel.tracing.instrumentation import Instrumentation

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import ReadableSpan

_ASKED = (
    ("GET", "http://10.0.0.1:8080/alwayshappy"),
    ("GET", "https://user:secret@example.org/a?token=b&sig=c"),
    ("GET", "https://[2001:db8::1]:6443/version"),
    ("GET", "http://example.org:80/"),
    ("HEAD", "http://example.org"),
    ("PROPFIND", "http://example.org/x"),
    ("get", "http://example.org/x"),
)
_ANSWERED = (
    (100, b"HTTP/1.1"),
    (200, b"HTTP/1.1"),
    (204, b"HTTP/1.0"),
    (301, b"HTTP/1.1"),
    (404, b"HTTP/2"),
    (503, b""),
    (99, b"HTTP/1.1"),
    (999, b"HTTP/1.1"),
)
_RAISED = (
    httpx.ConnectTimeout("late"),
    httpx.RemoteProtocolError("garbled"),
    ValueError("a bug"),
)


class _Counted(IdGenerator):
    """The same ids for both."""

    def __init__(self) -> None:
        self._last = 0

    def generate_span_id(self) -> int:
        self._last += 1
        return self._last

    generate_trace_id = generate_span_id


class _FarEnd(httpx.AsyncBaseTransport):
    """Answers, or raises, what it is told to; keeps the headers that came."""

    def __init__(self, what: tuple[int, bytes] | Exception) -> None:
        self._what = what
        self.headers: list[dict[str, str]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.headers.append(dict(request.headers))
        if isinstance(self._what, Exception):
            raise self._what
        status, version = self._what
        return httpx.Response(status, extensions={"http_version": version})


pytestmark = pytest.mark.usefixtures("trace_context_only")


async def _told(
    instrumented: Callable[[httpx.AsyncBaseTransport, TracerProvider], httpx.AsyncBaseTransport],
    method: str,
    url: str,
    what: tuple[int, bytes] | Exception,
) -> tuple[object, ...]:
    """All that comes of two requests: spans, headers, answers."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(id_generator=_Counted())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    far_end = _FarEnd(what)
    transport = instrumented(far_end, provider)
    came: list[object] = []
    for _ in range(2):
        with provider.get_tracer("t").start_as_current_span("root"):
            try:
                answer = await transport.handle_async_request(httpx.Request(method, url))
                came.append(answer.status_code)
            except Exception as error:  # noqa: BLE001 - whatever it is, both have the same
                came.append(error)
    return came, far_end.headers, [_words(span) for span in exporter.get_finished_spans()]


def _words(span: ReadableSpan) -> tuple[object, ...]:
    return (
        span.name,
        span.kind,
        span.context,
        span.parent,
        dict(span.attributes or {}),
        span.status.status_code,
        span.status.description,
        [event.name for event in span.events],
        span.instrumentation_scope,
    )


@pytest.mark.parametrize(("method", "url"), _ASKED)
@pytest.mark.parametrize("what", [*_ANSWERED, *_RAISED], ids=str)
async def test_it_tells_what_the_packages_own_transport_tells(
    method: str, url: str, what: tuple[int, bytes] | Exception
) -> None:
    """Spans, their attributes, status and scope, what is sent on and what comes back."""
    ours = await _told(
        lambda far, provider: Instrumentation(far, tracer_provider=provider), method, url, what
    )
    theirs = await _told(
        lambda far, provider: AsyncOpenTelemetryTransport(
            far, tracer_provider=provider, meter_provider=NoOpMeterProvider()
        ),
        method,
        url,
        what,
    )

    assert ours == theirs
