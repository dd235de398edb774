"""The spans of checks, beside the SDK's own of the same checks."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from bridge_doubles import Script, check_provider, checker, failure, provider, target
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import SpanContext, Status, StatusCode, get_current_span

from kubenurse_otel import unhandled
from kubenurse_otel.config import SpanLimitsConfig
from kubenurse_otel.tracing.export_form import rebuild

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import TracerProvider


class Ended(SpanProcessor):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


async def exported(make: Callable[[SpanProcessor], TracerProvider], script: Script) -> list[Any]:
    """What leaves of one check: times and ids by whether and where they are."""
    ended = Ended()
    made, prober = checker(make(ended))
    prober.script = script
    await made.check(target(), sample_reason="follow_up")
    numbers: dict[int, int] = {}

    def about(context: SpanContext | None) -> Any:
        if context is None:
            return None
        span = numbers.setdefault(context.span_id, len(numbers))
        return span, context.trace_id == root.trace_id, context.is_remote, context.trace_state

    root = ended.spans[-1].context
    assert root is not None
    found = []
    for span in ended.spans:
        left = rebuild(span, SpanLimitsConfig())
        as_json = json.loads(left.to_json())
        for event in as_json["events"]:
            assert event.pop("timestamp")
        for timed in ("start_time", "end_time", "context", "parent_id"):
            as_json.pop(timed)
        assert left.start_time is not None
        assert left.end_time is not None
        assert left.start_time <= left.end_time
        found.append(
            (
                as_json,
                about(left.context),
                about(left.parent),
                left.context and left.context.trace_flags,
                left.instrumentation_scope,
            )
        )
    return found


def stock(processor: SpanProcessor) -> TracerProvider:
    from opentelemetry.sdk.resources import Resource

    return provider(processor, ratio=0.0, resource=Resource.get_empty())


@pytest.mark.parametrize(
    "script",
    [
        Script(),
        Script(status=503),
        Script(status=302, headers={"Location": "/elsewhere"}),
        Script(failure=failure(), status=0),
    ],
    ids=["good", "503", "302", "failed"],
)
async def test_what_leaves_is_what_the_sdks_own_spans_would_say(script: Script) -> None:
    """Names, kinds, parents, flags, attributes, events, status and scope."""
    assert await exported(check_provider, replace(script)) == await exported(stock, script)


@pytest.mark.makes_bugs
async def test_a_bugs_span_is_an_error_and_says_nothing_of_the_exception() -> None:
    """Its text may hold what nobody should see; its frames would keep what they refer to."""
    ended = Ended()
    made, prober = checker(check_provider(ended))
    prober.script = Script(raises=ZeroDivisionError, sub_spans=0)
    await made.check(target())
    unhandled.counts().clear()

    client, root = ended.spans
    assert client.status.status_code is root.status.status_code is StatusCode.ERROR
    assert (client.status.description, client.events) == (None, [])


def test_what_is_said_after_the_end_is_lost() -> None:
    """What was recorded of a span when it ended stays true."""
    ended = Ended()
    span = check_provider(ended).get_tracer("t").start_span("check path", context=Context())
    span.set_status(StatusCode.ERROR, "first")
    span.set_status(Status(StatusCode.UNSET))
    span.end(123)
    span.set_attribute("a", 1)
    span.set_attributes({"b": 2})
    span.add_event("late")
    span.set_status(StatusCode.OK)
    span.update_name("late")
    span.end(456)

    (one,) = ended.spans
    assert (one.name, one.end_time, dict(one.attributes or {}), one.events) == (
        "check path",
        123,
        {},
        [],
    )
    assert (one.status.status_code, one.status.description) == (StatusCode.ERROR, "first")
    assert not span.is_recording()


def test_a_block_that_raises_is_left_as_it_was_found() -> None:
    """The current span is the one before, and the exception goes on."""
    ended = Ended()
    tracer = check_provider(ended).get_tracer("t")
    before = get_current_span()
    with pytest.raises(ZeroDivisionError), tracer.start_as_current_span("check path"):
        raise ZeroDivisionError
    assert get_current_span() is before
    assert ended.spans[0].status.status_code is StatusCode.ERROR
