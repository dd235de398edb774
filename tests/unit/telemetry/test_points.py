"""points.py: the time of a round of pushed points, when the wall clock is set."""

from __future__ import annotations

import itertools

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.metrics.v1.metrics_pb2 import NumberDataPoint
from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from kubenurse_otel import __version__, semconv
from kubenurse_otel.config import Temporality
from kubenurse_otel.telemetry.instruments import SCOPE_NAME
from kubenurse_otel.telemetry.points import MOST_AHEAD_NS, Points
from kubenurse_otel.telemetry.store import Store, limit_of_sets

SECOND = 1_000_000_000
NOON = 1_790_000_000 * SECOND
GAUGE, COUNTER = semconv.CHECK_SUCCESS, semconv.PROCESS_CPU


class Pushing:
    """A store, its wall clock and the monotonic one; one round at a time."""

    def __init__(self, temporality: Temporality = Temporality.CUMULATIVE) -> None:
        self.wall_ns, self.monotonic_ns = NOON, 7 * SECOND
        self.store = Store(
            [(GAUGE, ()), (COUNTER, ())],
            ttl_seconds=600,
            on_overflow=lambda _metric, _count: None,
            started_ns=NOON,
        )
        self.points = Points(
            self.store,
            resource=Resource.get_empty(),
            temporality=temporality,
            clock_ns=lambda: self.monotonic_ns,
        )
        self.spent = 0

    def round(self, *, seconds: float, step: float = 0) -> dict[str, NumberDataPoint]:
        """``seconds`` later, the wall clock set by ``step`` meanwhile: each metric's point."""
        self.monotonic_ns += int(seconds * SECOND)
        self.wall_ns += int((seconds + step) * SECOND)
        self.spent += 1
        self.store.set_gauge(GAUGE, [(1, ("path_a",))], now_ns=self.wall_ns)
        labels = ("user",) * len(COUNTER.labels)
        self.store.set_gauge(COUNTER, [(self.spent, labels)], now_ns=self.wall_ns)
        self.store.collected_ns = self.wall_ns
        found: dict[str, NumberDataPoint] = {}
        for data, delivered in self.points.pieces():
            delivered()
            for metric in data.resource_metrics[0].scope_metrics[0].metrics:
                (point,) = getattr(metric, metric.WhichOneof("data")).data_points
                assert isinstance(point, NumberDataPoint)
                found[metric.name] = point
        return found

    def time(self, *, seconds: float, step: float = 0) -> float:
        """Seconds after noon that the round says."""
        times = {p.time_unix_nano for p in self.round(seconds=seconds, step=step).values()}
        (time_ns,) = times
        return (time_ns - NOON) / SECOND


def test_a_round_has_the_time_of_its_collection() -> None:
    """With a clock that goes on, a leap forward included, it is the wall clock's."""
    pushing = Pushing()
    assert [pushing.time(seconds=15) for _ in range(3)] == [15, 30, 45]
    assert pushing.time(seconds=15, step=3600) == 3660
    assert pushing.time(seconds=15) == 3675


def test_while_the_wall_clock_is_behind_time_goes_on() -> None:
    """A minute back: nine seconds in ten, none has the time of another; the wall clock forward."""
    pushing = Pushing()
    assert [pushing.time(seconds=15) for _ in range(2)] == [15, 30]
    assert pushing.time(seconds=15, step=-60) == 43.5
    assert [pushing.time(seconds=15) for _ in range(3)] == [57, 70.5, 84]
    assert pushing.time(seconds=15, step=60) == 105


def test_time_meets_the_wall_clock_again() -> None:
    """A minute back is caught up within ten; from then on it is the wall clock's."""
    pushing = Pushing()
    assert pushing.time(seconds=15) == 15
    ours = [pushing.time(seconds=60, step=0 if number else -60) for number in range(12)]
    wall = [15 + 60 * number for number in range(12)]
    ahead = [one - other for one, other in zip(ours, wall, strict=True)]
    assert ahead == [54, 48, 42, 36, 30, 24, 18, 12, 6, 0, 0, 0]
    assert {54, 60} == {after - before for before, after in itertools.pairwise(ours)}


def test_two_rounds_of_one_collection_differ() -> None:
    """Also where no time went by between them."""
    pushing = Pushing()
    first = pushing.round(seconds=1)[GAUGE.name]
    second = pushing.round(seconds=0)[GAUGE.name]
    assert second.time_unix_nano - first.time_unix_nano == 1


@pytest.mark.parametrize("temporality", [Temporality.CUMULATIVE, Temporality.DELTA])
def test_nobody_follows_far_into_the_future(temporality: Temporality) -> None:
    """Two hours back, from a clock that was wrong: it is the wall clock's time again.

    No point begins after it. Prometheus refused what was sent before, and would refuse it for ever.
    """
    pushing = Pushing(temporality)
    assert pushing.time(seconds=15) == 15
    for number in range(3):
        points = pushing.round(seconds=15, step=0 if number else -7200)
        assert len(points) == 2
        for point in points.values():
            assert point.time_unix_nano == NOON + (30 + number * 15 - 7200) * SECOND
            assert (point.start_time_unix_nano or 0) <= point.time_unix_nano


def test_the_lead_has_a_bound() -> None:
    """Up to what Prometheus takes; beyond, the wall clock's time."""
    pushing = Pushing()
    assert pushing.time(seconds=15, step=MOST_AHEAD_NS / SECOND) == 615
    assert pushing.time(seconds=15, step=-MOST_AHEAD_NS / SECOND) == 628.5
    assert pushing.time(seconds=15, step=-4) == 41


def test_requests_are_those_of_opentelemetrys_encoder() -> None:
    """A gauge, an observed counter, a counter that overflows, a histogram with an exemplar."""
    requests, took = semconv.HTTPCLIENT_REQUESTS, semconv.NETWORK_ROUND_TRIP_TIME
    store = Store(
        [(GAUGE, ()), (COUNTER, ()), (requests, ()), (took, (0.1, 0.5))],
        ttl_seconds=600,
        on_overflow=lambda _metric, _count: None,
        started_ns=NOON,
    )
    resource = Resource({"service.name": "kubenurse-otel", "host.name": "ä"}, "https://schema")
    points = Points(
        store, resource=resource, temporality=Temporality.CUMULATIVE, clock_ns=lambda: SECOND
    )
    store.set_gauge(GAUGE, [(1, ("path_ä",))], now_ns=NOON + SECOND)
    store.set_gauge(COUNTER, [(0.25, ("user",) * len(COUNTER.labels))], now_ns=NOON + SECOND)
    store.observe([(requests, 3, ("path_a", "200", "GET"))])
    store.observe([(took, 0.25, ("path_a",))], trace=(0xABC, 0xDEF))
    store.collected(NOON + SECOND)
    ((ours, _delivered),) = points.pieces()

    span = (NOON, NOON + SECOND)
    (exemplar,) = store.families[took.name].series["path_a",].exemplars.values()
    linked = Exemplar({}, exemplar.value, exemplar.time_ns, 0xDEF, 0xABC)
    cumulative = sdk.AggregationTemporality.CUMULATIVE
    labels = dict(zip(requests.labels, ("path_a", "200", "GET"), strict=True))
    user = dict.fromkeys(COUNTER.labels, "user")
    of_took = sdk.HistogramDataPoint(
        *({"type": "path_a"}, *span, 1, 0.25, (0, 1, 0), (0.1, 0.5)),
        *(None, None, [linked]),  # type: ignore[arg-type]  # no least and most are kept
    )
    data: list[sdk.DataT] = [
        sdk.Gauge([sdk.NumberDataPoint({"type": "path_ä"}, 0, span[1], 1)]),
        sdk.Sum([sdk.NumberDataPoint(user, *span, 0.25)], cumulative, is_monotonic=True),
        sdk.Sum([sdk.NumberDataPoint(labels, *span, 3)], cumulative, is_monotonic=True),
        sdk.Histogram([of_took], cumulative),
    ]
    metrics = [
        sdk.Metric(one.name, one.help, one.unit, found)
        for one, found in zip((GAUGE, COUNTER, requests, took), data, strict=True)
    ]
    scope = InstrumentationScope(SCOPE_NAME, __version__, semconv.SCHEMA_URL)
    of_scope = sdk.ScopeMetrics(scope, metrics, semconv.SCHEMA_URL)
    expected = encode_metrics(
        sdk.MetricsData([sdk.ResourceMetrics(resource, [of_scope], "https://schema")])
    )
    assert str(ours) == str(expected)
    assert ours.SerializeToString() == expected.SerializeToString()


def test_what_overflows_is_said_by_a_boolean() -> None:
    """As the SDK's attribute."""
    store = Store(
        [(GAUGE, ())],
        ttl_seconds=600,
        on_overflow=lambda _metric, _count: None,
        started_ns=NOON,
    )
    store.set_gauge(GAUGE, [(1, (f"path_{n}",)) for n in range(limit_of_sets(0) + 1)], now_ns=NOON)
    points = Points(store, resource=Resource.get_empty(), temporality=Temporality.CUMULATIVE)
    *_, (last, _delivered) = points.pieces()
    (point,) = last.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[-1:]
    ((key, value),) = [(one.key, one.value.WhichOneof("value")) for one in point.attributes]
    assert (key, value) == (semconv.OVERFLOW, "bool_value")
