"""The check of the name servers, told: a root span, and one a query. Metrics: the bridge's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from kubenurse_otel import semconv
from kubenurse_otel.model import Outcome
from kubenurse_otel.probe.dns.health import Port, port
from kubenurse_otel.tracing.spans import dns_attributes, tell_query

if TYPE_CHECKING:
    from kubenurse_otel.probe.dns.reply import Reply

TYPE: Final = "dns"


def tell(tracer: trace.Tracer, replies: tuple[Reply, ...], *, sub_spans: bool) -> None:
    """Make the spans of a check that is over; of one that asked nobody, none."""
    if not replies:
        return
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
    ports = [port(one) for one in replies]
    outcome = Outcome.FAILED if Port.SILENT in ports else Outcome.OK
    root.set_attributes(
        dns_attributes(replies)
        | {semconv.DNS_PORTS: [one.value for one in ports], semconv.OUTCOME: outcome.value}
    )
    root.end(max(one.ended_ns for one in replies) + offset_ns)
