"""The CLIENT span of a check without HTTP: a TCP connection, or a DNS query.

It has OpenTelemetry's attributes (network.*, server.*, dns.*), and no http.*. Figures, events and
the steps below are the same as everywhere (spans.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from kubenurse_otel import semconv
from kubenurse_otel.tracing import spans

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kubenurse_otel.model import Target
    from kubenurse_otel.probe.fields import Field
    from kubenurse_otel.probe.prober import Probed


class Probing(Protocol):
    """What talks to the network: probe.Prober, or a stand-in of the tests."""

    async def probe(self, target: Target, *, propagation: Iterable[Field]) -> Probed: ...


class WithoutHttp:
    """``probe`` of the Prober below, within a CLIENT span; the steps are spans if ``sub_spans``."""

    def __init__(self, prober: Probing, tracer: Tracer, *, sub_spans: bool) -> None:
        self._prober = prober
        self._tracer = tracer
        self._sub_spans = sub_spans

    async def probe(self, target: Target) -> Probed:
        """Raises nothing for what the network or the far end does."""
        with self._tracer.start_as_current_span(
            semconv.SPAN_TCP if target.query is None else semconv.SPAN_DNS_QUERY,
            kind=SpanKind.CLIENT,
            attributes=_attributes(target),
            record_exception=False,
        ) as span:
            probed = await self._prober.probe(target, propagation=())
            span.set_attribute(semconv.NETWORK_TRANSPORT, probed.measurement.transport)
            spans.describe(span, self._tracer if self._sub_spans else None, probed)
            if probed.failure is not None:
                span.set_attribute(semconv.ERROR_TYPE, str(probed.failure.error_type))
                span.set_status(Status(StatusCode.ERROR, probed.failure.message))
        return probed


def _attributes(target: Target) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        semconv.SERVER_ADDRESS: target.url.host,
        semconv.SERVER_PORT: target.url.port,
    }
    if target.query is not None:
        attributes[semconv.DNS_QUESTION_NAME] = target.query.name
        attributes[semconv.DNS_QUESTION_TYPE] = target.query.record_type
    return attributes
