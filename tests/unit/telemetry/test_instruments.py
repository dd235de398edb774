"""What is recorded in the store, beside the SDK's instruments over the same records."""

from __future__ import annotations

import math
from typing import Any

import pytest
from bridge_doubles import MeterRecorder
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from kubenurse_otel import semconv
from kubenurse_otel.telemetry.instruments import Instruments
from kubenurse_otel.telemetry.store import Series, Store

COUNTER, HISTOGRAM = semconv.ERRORS, semconv.OWN_DELAY_TIME
BEGAN_NS = 1_790_000_000_000_000_000


class Ours:
    def __init__(self, *, exemplars: bool = True) -> None:
        self.store = Store(
            [(COUNTER, ()), (HISTOGRAM, HISTOGRAM.bounds)],
            ttl_seconds=600,
            on_overflow=lambda _metric, _count: None,
            started_ns=BEGAN_NS,
        )
        self.instruments = Instruments(self.store, exemplars=exemplars)

    def series(self, metric: semconv.Metric) -> dict[tuple[str, ...], Series]:
        return self.store.families[metric.name].series

    def found(self) -> dict[str, Any]:
        return {
            metric.name: {
                key: (one.value, tuple(one.counts), {e.trace_id for e in one.exemplars.values()})
                for key, one in self.series(metric).items()
            }
            for metric in (COUNTER, HISTOGRAM)
        }


class Stock:
    """The SDK's own instruments, over the same records."""

    def __init__(self) -> None:
        self.instruments = MeterRecorder()

    def found(self) -> dict[str, Any]:
        points = self.instruments.all_points()  # once: exemplars are told once
        self.instruments.shutdown()
        return {
            metric.name: {
                key: (
                    getattr(point, "sum", None) or getattr(point, "value", 0),
                    tuple(getattr(point, "bucket_counts", ())),
                    {exemplar.trace_id for exemplar in point.exemplars},
                )
                for key, point in points[metric.name]
            }
            for metric in (COUNTER, HISTOGRAM)
        }


def in_trace(trace_id: int, *, sampled: bool = True) -> Context:
    flags = TraceFlags(sampled)
    context = SpanContext(trace_id, 7, is_remote=False, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(context), Context())


def record(instruments: semconv.Recorder, records: list[tuple[str, float, Context | None]]) -> None:
    for type_, amount, context in records:
        instruments.add(COUNTER, amount, {"type": type_, "event": "dns_done"}, context)
        instruments.record(HISTOGRAM, amount, {"type": type_}, context)


AMOUNTS = st.sampled_from([0, 0.005, 0.1, 1, 2, -1, math.nan, math.inf, -math.inf]) | st.floats()


@given(st.lists(st.tuples(st.sampled_from("ab"), AMOUNTS)))
def test_sums_and_buckets_are_the_sdks(records: list[tuple[str, float]]) -> None:
    """Whatever is recorded: also what is refused, and what stands on a bound."""
    ours, stock = Ours(), Stock()
    made = [(type_, amount, None) for type_, amount in records]
    for one in (ours, stock):
        record(one.instruments, made)

    assert ours.found() == stock.found()


@pytest.mark.parametrize(
    ("context", "kept"),
    [(in_trace(5), {5}), (in_trace(5, sampled=False), set()), (Context(), set()), (None, set())],
)
def test_exemplars_are_of_sampled_spans_as_the_sdks(
    context: Context | None, kept: set[int]
) -> None:
    """What trace_based means, where a context is handed over and where none is."""
    ours, stock = Ours(), Stock()
    for one in (ours, stock):
        record(one.instruments, [("a", 0.5, context)])

    assert ours.found() == stock.found()
    assert ours.found()[COUNTER.name]["a", "dns_done"][2] == kept


def test_a_bucket_keeps_its_last_exemplar() -> None:
    """Each bucket one; with when it was measured."""
    ours = Ours()
    record(
        ours.instruments,
        [("a", amount, in_trace(n)) for n, amount in enumerate((0.01, 0.02, 3), 1)],
    )

    exemplars = ours.series(HISTOGRAM)["a",].exemplars
    assert {bucket: (e.value, e.trace_id) for bucket, e in exemplars.items()} == {
        3: (0.02, 2),
        6: (3, 3),
    }
    assert all(exemplar.time_ns > BEGAN_NS for exemplar in exemplars.values())


def test_exemplars_can_be_off() -> None:
    """Where no trace leaves, none can be pointed at."""
    ours = Ours(exemplars=False)
    record(ours.instruments, [("a", 0.5, in_trace(5))])

    assert ours.series(HISTOGRAM)["a",].exemplars == {}


def test_a_series_begins_at_the_last_collection() -> None:
    """So that its first point covers what was recorded, and none before it is later."""
    ours = Ours()
    record(ours.instruments, [("a", 1, None)])
    ours.store.collected(BEGAN_NS + 10)
    record(ours.instruments, [("b", 1, None)])

    starts = [series.start_ns for series in ours.series(HISTOGRAM).values()]
    assert starts == [BEGAN_NS, BEGAN_NS + 10]


def test_a_metric_that_was_not_chosen_records_nothing() -> None:
    """It has no family in the store."""
    ours = Ours()
    ours.instruments.add(semconv.RETRANSMITS, 1, {"type": "a"})
    ours.instruments.record(semconv.LOSS_DELAY, 1, {"type": "a", "direction": "in"})

    assert set(ours.store.families) == {COUNTER.name, HISTOGRAM.name}
    assert ours.found() == {COUNTER.name: {}, HISTOGRAM.name: {}}
