"""The metrics API over the store, beside the SDK's own over the same records."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context, attach, detach
from opentelemetry.metrics import Counter, Histogram, Meter
from opentelemetry.sdk.metrics import MeterProvider, TraceBasedExemplarFilter
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from kubenurse_otel import semconv
from kubenurse_otel.telemetry.meter import StoreMeter
from kubenurse_otel.telemetry.store import Series, Store

COUNTER, HISTOGRAM = semconv.ERRORS, semconv.OWN_DELAY_TIME
BOUNDS = (0.005, 0.1, 1)
BEGAN_NS = 1_790_000_000_000_000_000


class Ours:
    def __init__(self, *, exemplars: bool = True) -> None:
        self.store = Store(
            [(COUNTER, ()), (HISTOGRAM, BOUNDS)],
            ttl_seconds=600,
            on_overflow=lambda _metric, _count: None,
            started_ns=BEGAN_NS,
        )
        self.meter: Meter = StoreMeter(self.store, exemplars=exemplars)

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
    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.provider = MeterProvider(
            [self._reader],
            exemplar_filter=TraceBasedExemplarFilter(),
            shutdown_on_exit=False,
            views=[
                View(
                    instrument_name=HISTOGRAM.name,
                    aggregation=ExplicitBucketHistogramAggregation(BOUNDS),
                )
            ],
        )
        self.meter: Meter = self.provider.get_meter("stock")

    def found(self) -> dict[str, Any]:
        data = self._reader.get_metrics_data()
        found: dict[str, Any] = {COUNTER.name: {}, HISTOGRAM.name: {}}
        for metric in data.resource_metrics[0].scope_metrics[0].metrics if data else ():
            labels = COUNTER.labels if metric.name == COUNTER.name else HISTOGRAM.labels
            for point in metric.data.data_points:
                key = tuple(str((point.attributes or {})[label]) for label in labels)
                found[metric.name][key] = (
                    getattr(point, "sum", None) or getattr(point, "value", 0),
                    tuple(getattr(point, "bucket_counts", ())),
                    {exemplar.trace_id for exemplar in point.exemplars},
                )
        self.provider.shutdown()
        return found


def in_trace(trace_id: int, *, sampled: bool = True) -> Context:
    flags = TraceFlags(sampled)
    context = SpanContext(trace_id, 7, is_remote=False, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(context), Context())


def record(meter: Meter, records: list[tuple[str, float, Context | None]]) -> None:
    counter = meter.create_counter(COUNTER.name, COUNTER.unit)
    histogram = meter.create_histogram(HISTOGRAM.name, HISTOGRAM.unit)
    for type_, amount, context in records:
        counter.add(amount, {"type": type_, "event": "dns_done"}, context)
        histogram.record(amount, {"type": type_}, context)


AMOUNTS = st.sampled_from([0, 0.005, 0.1, 1, 2, -1, math.nan, math.inf, -math.inf]) | st.floats()


@given(st.lists(st.tuples(st.sampled_from("ab"), AMOUNTS)))
def test_sums_and_buckets_are_the_sdks(records: list[tuple[str, float]]) -> None:
    """Whatever is recorded: also what is refused, and what stands on a bound."""
    ours, stock = Ours(), Stock()
    made = [(type_, amount, None) for type_, amount in records]
    for meter in (ours.meter, stock.meter):
        record(meter, made)

    assert ours.found() == stock.found()


@pytest.mark.parametrize(
    ("context", "kept"),
    [(in_trace(5), {5}), (in_trace(5, sampled=False), set()), (Context(), set()), (None, set())],
)
def test_exemplars_are_of_sampled_spans_as_the_sdks(
    context: Context | None, kept: set[int]
) -> None:
    """What trace_based means, with a context of one's own and with the current one."""
    ours, stock = Ours(), Stock()
    for meter in (ours.meter, stock.meter):
        record(meter, [("a", 0.5, context)])

    assert ours.found() == stock.found()
    assert ours.found()[COUNTER.name]["a", "dns_done"][2] == kept


def test_without_a_context_the_current_span_counts_as_with_the_sdk() -> None:
    """That is the API's rule. (The agent's Instruments hand a context over, always.)"""
    ours, stock = Ours(), Stock()
    token = attach(in_trace(9))
    try:
        for meter in (ours.meter, stock.meter):
            record(meter, [("a", 0.5, None)])
    finally:
        detach(token)

    assert ours.found() == stock.found()
    assert ours.found()[HISTOGRAM.name]["a",][2] == {9}


def test_a_bucket_keeps_its_last_exemplar() -> None:
    """Each bucket one; with when it was measured."""
    ours = Ours()
    record(ours.meter, [("a", amount, in_trace(n)) for n, amount in enumerate((0.01, 0.02, 3), 1)])

    exemplars = ours.series(HISTOGRAM)["a",].exemplars
    assert {bucket: (e.value, e.trace_id) for bucket, e in exemplars.items()} == {
        1: (0.02, 2),
        3: (3, 3),
    }
    assert all(exemplar.time_ns > BEGAN_NS for exemplar in exemplars.values())


def test_exemplars_can_be_off() -> None:
    """Where no trace leaves, none can be pointed at."""
    ours = Ours(exemplars=False)
    record(ours.meter, [("a", 0.5, in_trace(5))])

    assert ours.series(HISTOGRAM)["a",].exemplars == {}


def test_a_series_begins_at_the_last_collection() -> None:
    """So that its first point covers what was recorded, and none before it is later."""
    ours = Ours()
    record(ours.meter, [("a", 1, None)])
    ours.store.collected(BEGAN_NS + 10)
    record(ours.meter, [("b", 1, None)])

    starts = [series.start_ns for series in ours.series(HISTOGRAM).values()]
    assert starts == [BEGAN_NS, BEGAN_NS + 10]


def test_what_the_store_does_not_know_records_nothing() -> None:
    """As the API's no-op: a metric that was not chosen, and the other kinds of instruments."""
    meter = Ours().meter
    counter, histogram = meter.create_counter("other"), meter.create_histogram("other_s")
    counter.add(1, {})
    histogram.record(1, {})
    meter.create_up_down_counter("third").add(1, {})

    assert isinstance(counter, Counter)
    assert isinstance(histogram, Histogram)
