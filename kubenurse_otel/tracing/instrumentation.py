"""OpenTelemetry's instrumentation of httpx, with its attributes of a URL and an answer cached.

The CLIENT span, its name, its attributes, its scope and the headers are the package's own. The
package makes them for each request, together with those of a metric that does not exist here. Ours
caches the results of the package's functions.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

import httpx
from opentelemetry.instrumentation import _semconv as conventions
from opentelemetry.instrumentation import httpx as package
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.propagate import inject
from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan, SpanKind, StatusCode

from kubenurse_otel import semconv

if TYPE_CHECKING:
    from opentelemetry.trace import Status, TracerProvider
    from opentelemetry.util.types import AttributeValue


_HTTPX: Final = cast("Any", httpx)
_MODE: Final = conventions._StabilityMode.HTTP  # noqa: SLF001 - there is no public way


class Instrumentation(package.AsyncOpenTelemetryTransport):
    """The package's transport. Whoever uses it has the stable HTTP conventions, no metrics, no
    hooks, and no excluded URLs and captured headers: config.take_environment has taken what says so
    out of the environment.
    """

    def __init__(
        self, transport: httpx.AsyncBaseTransport, *, tracer_provider: TracerProvider
    ) -> None:
        _use_stable_http_conventions()
        super().__init__(
            transport, tracer_provider=tracer_provider, meter_provider=NoOpMeterProvider()
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass ``request`` on within a CLIENT span, with that span's traceparent in its headers."""
        name, attributes = _asked(request.method, request.url)
        with self._tracer.start_as_current_span(
            name, kind=SpanKind.CLIENT, attributes=attributes
        ) as span:
            inject(request.headers)
            try:
                response = await self._transport.handle_async_request(request)
            except Exception as error:
                span.set_attribute(semconv.ERROR_TYPE, type(error).__qualname__)
                raise
            status, told = _answered(response.status_code, response.http_version)
            span.set_status(status)
            span.set_attributes(told)
        return response


@lru_cache(maxsize=1024)
def _asked(method: str, url: httpx.URL) -> tuple[str, dict[str, AttributeValue]]:
    """Return the CLIENT span's name, and its attributes at its start."""
    attributes: dict[str, AttributeValue] = {}
    package._apply_request_client_attributes_to_span(  # noqa: SLF001 - there is no public way
        attributes, {}, url, method, _MODE, _HTTPX, None, [], []
    )
    return package._get_default_span_name(method), attributes  # noqa: SLF001 - likewise


class _Said(NonRecordingSpan):
    """Collects the status and the attributes that the package sets on a span."""

    def __init__(self) -> None:
        super().__init__(INVALID_SPAN_CONTEXT)
        self.status: Status | StatusCode = StatusCode.UNSET
        self.attributes: dict[str, AttributeValue] = {}

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:  # noqa: ARG002 - nobody describes one
        self.status = status

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        self.attributes[key] = value


@lru_cache(maxsize=256)
def _answered(
    status_code: int, http_version: str
) -> tuple[Status | StatusCode, dict[str, AttributeValue]]:
    """Return the span's status, and its attributes that come from the answer."""
    span = _Said()
    package._apply_response_client_attributes_to_span(  # noqa: SLF001 - there is no public way
        span, status_code, http_version, _MODE, _HTTPX, None, [], []
    )
    return span.status, span.attributes


def _use_stable_http_conventions() -> None:
    """Choose the stable HTTP conventions, whatever OTEL_SEMCONV_STABILITY_OPT_IN says.

    The instrumentation (pinned to one version) knows no parameter for it: it fills these fields
    from the environment, once in a process, and the first to ask decides.
    """
    chosen = conventions._OpenTelemetrySemanticConventionStability  # noqa: SLF001 - there is no public way
    signal = conventions._OpenTelemetryStabilitySignalType.HTTP  # noqa: SLF001 - there is no public way
    chosen._OTEL_SEMCONV_STABILITY_SIGNAL_MAPPING[signal] = _MODE  # noqa: SLF001 - there is no public way
    chosen._initialized = True  # noqa: SLF001 - there is no public way
