"""The form in which kept spans are exported."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from kubenurse_otel import semconv
from kubenurse_otel.config import SpanLimitsConfig
from kubenurse_otel.semconv import Kept
from kubenurse_otel.tracing.export_form import rebuild

UNLIMITED = SpanLimitsConfig(attribute_count=None, event_count=None, event_attribute_count=None)
STATE = TraceState([("a", "b")])


def span(**changes: Any) -> ReadableSpan:
    fields: dict[str, Any] = {
        "context": SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(2), trace_state=STATE),
        "parent": SpanContext(1, 3, is_remote=True, trace_flags=TraceFlags(0)),
        "resource": Resource({"service.name": "kubenurse-otel"}),
        "kind": SpanKind.CLIENT,
        "start_time": 10,
        "end_time": 20,
    }
    return ReadableSpan("GET", **(fields | changes))


def test_only_what_must_change_changes() -> None:
    """Ids, parent, times, kind, name, resource and state stay; both contexts are sampled."""
    before = span(attributes={"a": 1}, events=[Event("dns_start", {"b": 2.0}, 11)])

    after = rebuild(before, UNLIMITED)

    assert after.context is not None
    assert after.parent is not None
    assert (after.context.trace_id, after.context.span_id) == (1, 2)
    assert (after.context.trace_flags, after.context.trace_state) == (3, STATE)
    assert (after.parent.span_id, after.parent.is_remote, after.parent.trace_flags) == (3, True, 1)
    assert dict(after.attributes or {}) == {"a": 1}
    assert [(e.name, e.timestamp, dict(e.attributes or {})) for e in after.events] == [
        ("dns_start", 11, {"b": 2.0})
    ]
    for name in ("name", "kind", "resource", "start_time", "end_time", "links"):
        assert getattr(after, name) == getattr(before, name)
    assert dict(before.attributes or {}) == {"a": 1}


@pytest.mark.parametrize(
    ("status", "attributes", "events", "expected"),
    [
        (Status(StatusCode.UNSET), {}, [], None),
        (Status(StatusCode.ERROR, "our own sentence"), {}, [], "our own sentence"),
        (Status(StatusCode.ERROR, "ConnectError: http://u:p@h/"), {}, [Event("exception")], None),
        (
            Status(StatusCode.ERROR, "ConnectError: http://u:p@h/"),
            {semconv.FAILURE_MESSAGE: "h refused"},
            [Event("exception", {"exception.stacktrace": "..."})],
            "h refused",
        ),
    ],
)
def test_a_status_says_our_sentence_or_nothing(
    status: Status, attributes: dict[str, str], events: list[Event], expected: str | None
) -> None:
    """The text of an exception, and the event that holds its stack, never leave."""
    after = rebuild(span(status=status, attributes=attributes, events=events), UNLIMITED)

    assert after.status.status_code is status.status_code
    assert after.status.description == expected
    assert after.events == ()


def test_error_type_is_our_word() -> None:
    """Where the probe left one; else what is there stays (a status, by the conventions)."""
    ours = {semconv.ERROR_TYPE: "ConnectError", semconv.FAILURE_ERROR_TYPE: "connection_refused"}

    after = rebuild(span(attributes=ours), UNLIMITED)
    untouched = rebuild(span(attributes={semconv.ERROR_TYPE: "503"}), UNLIMITED)

    assert (after.attributes or {})[semconv.ERROR_TYPE] == "connection_refused"
    assert (untouched.attributes or {})[semconv.ERROR_TYPE] == "503"


def test_a_query_string_does_not_leave() -> None:
    """It may be a key."""
    after = rebuild(span(attributes={semconv.URL_FULL: "https://h/a?key=secret"}), UNLIMITED)

    assert (after.attributes or {})[semconv.URL_FULL] == "https://h/a"


@pytest.mark.parametrize(
    ("address", "stays"),
    [("10.0.0.7", True), ("fd00::7", True), ("shop.example", False), ("", False)],
)
def test_a_peer_is_an_address(address: str, stays: bool) -> None:
    """Where there was no connection the instrumentation says the URL's host: that leaves not."""
    peer = {semconv.NETWORK_PEER_ADDRESS: address, semconv.NETWORK_PEER_PORT: 443}

    after = rebuild(span(attributes=peer | {semconv.SERVER_ADDRESS: "h"}), UNLIMITED)

    expected = peer if stays else {}
    assert dict(after.attributes or {}) == expected | {semconv.SERVER_ADDRESS: "h"}


def test_limits_drop_what_came_last_and_say_how_much() -> None:
    """As the specification says; why the trace was kept is never what is dropped."""
    attributes = dict.fromkeys("abcd", "long value")
    events = [Event(name, {"x": "long value", "y": 1}, 5) for name in ("one", "two", "three")]
    limits = SpanLimitsConfig(
        attribute_count=3, attribute_value_length=4, event_count=2, event_attribute_count=1
    )

    after = rebuild(span(attributes=attributes, events=events), limits, Kept.SLOW)

    assert dict(after.attributes or {}) == {semconv.KEPT: "slow", "a": "long", "b": "long"}
    assert after.dropped_attributes == 2
    assert [(event.name, dict(event.attributes or {})) for event in after.events] == [
        ("one", {"x": "long"}),
        ("two", {"x": "long"}),
    ]
    assert after.dropped_events == 1
    assert [event.dropped_attributes for event in after.events] == [1, 1]
    assert [event.timestamp for event in after.events] == [5, 5]


@given(
    attributes=st.dictionaries(
        st.text(min_size=1, max_size=5),
        st.one_of(
            st.text(),
            st.integers(-(2**63), 2**63 - 1),
            st.booleans(),
            st.floats(),
            st.lists(st.text(), max_size=2).map(tuple),
        ),
        max_size=6,
    ),
    count=st.none() | st.integers(0, 5),
    length=st.none() | st.integers(0, 5),
    kept=st.sampled_from([None, Kept.RATIO]),
)
def test_limits_hold_and_the_result_can_be_encoded(
    attributes: dict[str, Any], count: int | None, length: int | None, kept: Kept | None
) -> None:
    """For any limits, nothing exceeds them, nothing is lost uncounted, and OTLP takes it."""
    limits = SpanLimitsConfig(
        attribute_count=count,
        attribute_value_length=length,
        event_count=count,
        event_attribute_count=count,
    )
    events = [Event(str(number), attributes, number) for number in range(3)]

    after = rebuild(span(attributes=attributes, events=events), limits, kept)

    for item, dropped, total in [
        (after.attributes, after.dropped_attributes, len(attributes) + (kept is not None)),
        *((e.attributes, e.dropped_attributes, len(attributes)) for e in after.events),
    ]:
        held = dict(item or {})
        assert len(held) + dropped == total
        assert count is None or len(held) <= count
        assert length is None or all(
            len(text) <= length
            for value in held.values()
            if isinstance(value, str | tuple)
            for text in ([value] if isinstance(value, str) else value)
        )
    assert len(after.events) + after.dropped_events == 3
    (encoded,) = encode_spans([after]).resource_spans[0].scope_spans[0].spans
    assert encoded.dropped_attributes_count == after.dropped_attributes
