"""The check of the name servers as spans: a root, and one per query. The bridge makes metrics."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from kubenurse_otel import semconv
from kubenurse_otel.model import Outcome
from kubenurse_otel.probe.dns.health import Health, port
from kubenurse_otel.tracing.spans import dns_attributes, tell_query

if TYPE_CHECKING:
    from opentelemetry.util.types import AttributeValue

TYPE: Final = "dns"


def tell(tracer: trace.Tracer, checked: Health, *, sub_spans: bool) -> None:
    """Make the spans of a finished check. A check that asked no server gets none."""
    if not checked.ports:
        return
    replies = (*checked.ports, *(one.reply for one in checked.endpoints))
    offset_ns = time.time_ns() - time.monotonic_ns()
    root = tracer.start_span(
        semconv.SPAN_CHECK_PREFIX + TYPE,
        context=Context(),  # a root, whatever span is current
        kind=SpanKind.INTERNAL,
        attributes={semconv.TYPE: TYPE, semconv.TARGET_KEY: TYPE},
        start_time=min(one.started_ns for one in replies) + offset_ns,
    )
    context = trace.set_span_in_context(root)
    for reply in replies if sub_spans else ():
        tell_query(tracer, reply, context, offset_ns)
    ports = [port(one) for one in checked.ports]
    outcome = Outcome.FAILED if checked.is_bad else Outcome.OK
    root.set_attributes(
        dns_attributes(checked.ports)
        | _endpoints(checked)
        | {semconv.DNS_PORTS: [one.value for one in ports], semconv.OUTCOME: outcome.value}
    )
    root.end(max(one.ended_ns for one in replies) + offset_ns)


def _endpoints(checked: Health) -> dict[str, AttributeValue]:
    """Return three lists of one length, from which a metric is made."""
    if not checked.endpoints:
        return {}
    return {
        semconv.DNS_ENDPOINTS: [one.endpoint.address for one in checked.endpoints],
        semconv.DNS_ENDPOINT_TRANSPORTS: [one.transport.value for one in checked.endpoints],
        semconv.DNS_ENDPOINT_OUTCOMES: [one.reply.outcome for one in checked.endpoints],
    }
