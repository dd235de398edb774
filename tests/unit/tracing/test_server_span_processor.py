"""Which of our SERVER spans are exported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from bridge_doubles import MeterRecorder, Queue, provider
from clock import Clock
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    set_span_in_context,
)

from kubenurse_otel import semconv
from kubenurse_otel.tracing.sampling import ServerSampler
from kubenurse_otel.tracing.server_spans import ServerSpanProcessor

if TYPE_CHECKING:
    from collections.abc import Iterator

SECOND_NS = 1_000_000_000


class Rig:
    def __init__(self) -> None:
        self.recorder = MeterRecorder()
        self.queue = Queue()
        self.clock = Clock()
        self.processor = ServerSpanProcessor(
            self.recorder, self.queue.offer, slow_threshold_seconds=0.5, clock=self.clock
        )
        made = provider(self.processor, sampler=ServerSampler())
        self.tracer = made.get_tracer("server")

    def answer(
        self,
        *,
        flags: int | None,
        lasted_ns: int = 1000,
        kind: SpanKind = SpanKind.SERVER,
        caller: str = "10.0.0.2",
    ) -> None:
        context = Context()
        if flags is not None:
            parent = SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(flags))
            context = set_span_in_context(NonRecordingSpan(parent), context)
        span = self.tracer.start_span(
            semconv.SPAN_SERVER,
            context=context,
            kind=kind,
            start_time=SECOND_NS,
            attributes={semconv.CLIENT_ADDRESS: caller},
        )
        span.end(SECOND_NS + lasted_ns)


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.recorder.shutdown()


@pytest.mark.parametrize(
    ("flags", "lasted_ns", "reason"),
    [
        (1, 1000, "caller"),
        (3, 1000, "caller"),
        (0, 1000, None),
        (2, 1000, None),
        (0, SECOND_NS // 2 - 1, None),
        (0, SECOND_NS // 2, "slow"),
        (2, SECOND_NS, "slow"),
        (1, SECOND_NS, "caller"),
        (None, SECOND_NS, None),
    ],
)
def test_sampled_and_slow_answers_are_exported(
    rig: Rig, flags: int | None, lasted_ns: int, reason: str | None
) -> None:
    """By the caller's flag or by how long it took; without a caller there is no span."""
    rig.answer(flags=flags, lasted_ns=lasted_ns)

    assert rig.queue.reasons() == ([] if reason is None else [reason])
    for root in rig.queue.roots():
        assert root.context is not None
        assert root.parent is not None
        assert root.context.trace_id == 7
        assert root.context.trace_flags.sampled
        assert (root.parent.span_id, root.parent.is_remote) == (8, True)


def test_at_most_twenty_a_second_leave(rig: Rig) -> None:
    """Whoever sends sampled=1 all day cannot fill our queue; what is held back is counted."""
    for number in range(50):
        rig.answer(flags=1, caller=f"10.0.0.{number}")
        rig.clock.now += 0.01
    assert len(rig.queue.traces) == 20
    rig.clock.now += 0.7
    for number in range(50):
        rig.answer(flags=1, caller=f"10.0.1.{number}")

    assert len(rig.queue.traces) == 40
    assert rig.recorder.points(semconv.SPANS_DROPPED) == {("rate_limited",): 60}


def test_one_caller_does_not_own_them_all(rig: Rig) -> None:
    """An address has a share; another one that asks seldom is kept beside it."""
    for second in range(20):
        for _ in range(50):
            rig.answer(flags=1, caller="10.0.0.66")
        if second % 5 == 0:
            rig.answer(flags=1, caller="10.0.0.2")
        rig.clock.now += 1

    kept = [(root.attributes or {})[semconv.CLIENT_ADDRESS] for root in rig.queue.roots()]
    assert kept.count("10.0.0.2") == 4
    assert kept.count("10.0.0.66") <= 5 + 20 * 2
    dropped = rig.recorder.points(semconv.SPANS_DROPPED)[("rate_limited",)]
    assert dropped == 20 * 50 + 4 - len(kept)


def test_other_spans_are_not_its_business(rig: Rig) -> None:
    """Only SERVER spans with a context are exported."""
    rig.answer(flags=1, kind=SpanKind.INTERNAL)
    rig.processor.on_end(ReadableSpan("no context", kind=SpanKind.SERVER))

    assert rig.queue.traces == []
