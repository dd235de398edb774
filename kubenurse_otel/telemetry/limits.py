"""OTEL_SPAN_* and OTEL_ATTRIBUTE_* limits, applied to spans on their way out and nowhere else.

The bridge reads metrics from spans, so the SDK's own limits are off: a limit of four attributes
must cost detail in a trace, never a metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util import BoundedList

if TYPE_CHECKING:
    from kubenurse_otel.config import SpanLimitsConfig


def limited(span: ReadableSpan, limits: SpanLimitsConfig) -> ReadableSpan:
    """The span itself where no limit applies, else a copy that counts what it lacks.

    The first attributes and events are kept (specification, common/README.md, attribute limits).
    """
    attributes = span.attributes or {}
    events = span.events
    fits = (
        _fits(attributes, limits.attribute_count, limits.attribute_value_length)
        and (limits.event_count is None or len(events) <= limits.event_count)
        and all(
            _fits(
                event.attributes or {}, limits.event_attribute_count, limits.attribute_value_length
            )
            for event in events
        )
    )
    if fits:
        return span
    kept = BoundedList.from_seq(
        None,
        [
            Event(
                event.name,
                _first(
                    event.attributes or {},
                    limits.event_attribute_count,
                    limits.attribute_value_length,
                ),
                event.timestamp,
            )
            for event in events[: limits.event_count]
        ],
    )
    kept.dropped = span.dropped_events + len(events) - len(kept)
    bounded = _first(attributes, limits.attribute_count, limits.attribute_value_length)
    bounded.dropped += span.dropped_attributes
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=bounded,
        events=kept,
        links=span.links,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _fits(attributes: Mapping[str, Any], count: int | None, length: int | None) -> bool:
    if count is not None and len(attributes) > count:
        return False
    return length is None or all(_short(value, length) for value in attributes.values())


def _short(value: object, length: int) -> bool:
    if isinstance(value, str):
        return len(value) <= length
    if isinstance(value, Sequence):
        return all(_short(item, length) for item in value)
    return True


def _first(
    attributes: Mapping[str, Any], count: int | None, length: int | None
) -> BoundedAttributes:
    bounded = BoundedAttributes(
        attributes=dict(islice(attributes.items(), count)), max_value_len=length
    )
    bounded.dropped += len(attributes) - len(bounded)
    return bounded
