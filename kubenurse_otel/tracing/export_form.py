"""The form in which a kept span is exported: sampled, in our words, within the user's limits.

Owns what an exported span may say (no stack trace, no exception's text, no query string).
Decides nothing about which spans leave; see sampling.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

from kubenurse_otel import semconv
from kubenurse_otel.text import is_address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.util.types import AnyValue

    from kubenurse_otel.config import SpanLimitsConfig
    from kubenurse_otel.semconv import Kept

_EXCEPTION_EVENT = "exception"


def rebuild(span: ReadableSpan, limits: SpanLimitsConfig, kept: Kept | None = None) -> ReadableSpan:
    """Copy an ended span in its export form. Only a trace's first span gets ``kept``.

    The limits drop what was added last, as the specification wants it; ``kept`` comes first.
    """
    attributes = dict(span.attributes or {})
    if kept is not None:
        attributes = {semconv.KEPT: kept.value, **attributes}
    error_type = attributes.get(semconv.FAILURE_ERROR_TYPE)
    if error_type is not None:
        attributes[semconv.ERROR_TYPE] = error_type  # the instrumentation left a class name
    url = attributes.get(semconv.URL_FULL)
    if isinstance(url, str):
        attributes[semconv.URL_FULL] = url.partition("?")[0]  # a query string may be a secret
    if not is_address(str(attributes.get(semconv.NETWORK_PEER_ADDRESS))):
        # No peer: the instrumentation has put the URL's host and port there.
        attributes.pop(semconv.NETWORK_PEER_ADDRESS, None)
        attributes.pop(semconv.NETWORK_PEER_PORT, None)
    return ReadableSpan(
        name=span.name,
        context=sampled(span.get_span_context()),
        parent=sampled(span.parent),
        resource=span.resource,
        attributes=_limited(attributes, limits.attribute_count, limits.attribute_value_length),
        events=_events(span.events, limits),
        links=span.links,
        kind=span.kind,
        status=_status(span, attributes),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def sampled(context: SpanContext | None) -> SpanContext | None:
    """Return the same context with the SAMPLED flag."""
    if context is None or context.trace_flags.sampled:
        return context
    return SpanContext(
        context.trace_id,
        context.span_id,
        is_remote=context.is_remote,
        trace_flags=TraceFlags(context.trace_flags | TraceFlags.SAMPLED),
        trace_state=context.trace_state,
    )


def _status(span: ReadableSpan, attributes: Mapping[str, AnyValue]) -> Status:
    """Keep the code; the description is our sentence, never the text of an exception."""
    status = span.status
    if status.status_code is not StatusCode.ERROR:
        return status
    message = attributes.get(semconv.FAILURE_MESSAGE)
    if isinstance(message, str):
        return Status(StatusCode.ERROR, message)
    # Whatever recorded an exception has put its text into the status as well.
    recorded = any(event.name == _EXCEPTION_EVENT for event in span.events)
    return Status(StatusCode.ERROR) if recorded else status


def _events(events: Sequence[Event], limits: SpanLimitsConfig) -> Sequence[Event]:
    ours = [event for event in events if event.name != _EXCEPTION_EVENT]
    kept: BoundedList[Event] = BoundedList(None)
    kept.extend([_limited_event(event, limits) for event in islice(ours, limits.event_count)])
    kept.dropped = len(ours) - len(kept)
    return kept


def _limited_event(event: Event, limits: SpanLimitsConfig) -> Event:
    attributes = event.attributes or {}
    limited = _limited(attributes, limits.event_attribute_count, limits.attribute_value_length)
    return event if limited is attributes else Event(event.name, limited, event.timestamp)


def _limited(
    attributes: Mapping[str, AnyValue], count: int | None, value_length: int | None
) -> Mapping[str, AnyValue]:
    if value_length is None and (count is None or len(attributes) <= count):
        return attributes
    # Cut here: BoundedAttributes would drop the oldest, and log a line for each value it cuts.
    limited = BoundedAttributes(
        attributes={
            name: _cut(value, value_length) for name, value in islice(attributes.items(), count)
        }
    )
    limited.dropped = len(attributes) - len(limited)
    return limited


def _cut(value: AnyValue, length: int | None) -> AnyValue:
    if isinstance(value, str):
        return value[:length]
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [_cut(element, length) for element in value]
    return value
