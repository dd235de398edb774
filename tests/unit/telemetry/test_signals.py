"""What each signal's bytes say beside what OpenTelemetry's encoder puts there."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, TraceFlags

from kubenurse_otel.telemetry import signals

SAMPLED, RANDOM = 0x01, 0x02
"""W3C Trace Context, level 2: trace-flags."""
REMOTE_IS_KNOWN, REMOTE = 0x100, 0x200
"""trace.proto: SpanFlags."""


def context(number: int, flags: int = SAMPLED, *, remote: bool = False) -> SpanContext:
    return SpanContext(1, number, is_remote=remote, trace_flags=TraceFlags(flags))


def span(
    number: int, *, flags: int = SAMPLED, parent: SpanContext | None = None, scope: str = "a"
) -> ReadableSpan:
    links = [Link(context(20, RANDOM, remote=True)), Link(context(21, SAMPLED | RANDOM))]
    return ReadableSpan(
        name=str(number),
        context=context(number, flags),
        parent=parent,
        resource=Resource({}),
        links=links,
        instrumentation_scope=InstrumentationScope(scope),
    )


@pytest.mark.parametrize(
    ("parent", "expected"),
    [
        (None, REMOTE_IS_KNOWN),
        (context(9), REMOTE_IS_KNOWN),
        (context(9, remote=True), REMOTE_IS_KNOWN | REMOTE),
    ],
)
def test_flags_are_the_traces_and_whether_the_parent_is_remote(
    parent: SpanContext | None, expected: int
) -> None:
    """Of spans and of links, also where the encoder orders spans anew, by their scopes."""
    spans = [
        span(1, parent=parent),
        span(2, flags=SAMPLED | RANDOM, parent=parent, scope="b"),
        span(3, parent=parent),
    ]
    request = signals.traces().encode(spans)
    encoded = [one for scope in request.resource_spans[0].scope_spans for one in scope.spans]
    assert {one.name: one.flags for one in encoded} == {
        "1": SAMPLED | expected,
        "2": SAMPLED | RANDOM | expected,
        "3": SAMPLED | expected,
    }
    assert [link.flags for link in encoded[0].links] == [
        RANDOM | REMOTE_IS_KNOWN | REMOTE,
        SAMPLED | RANDOM | REMOTE_IS_KNOWN,
    ]
