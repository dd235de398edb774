"""The store as the SDK's MetricsData, in pieces, for one exporter.

Owns temporality (cumulative, or deltas since what this exporter last delivered) and which
exemplars it has sent. Changes nothing in the store but those marks.
"""

from __future__ import annotations

import time
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from opentelemetry.sdk.metrics import Exemplar as SdkExemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from kubenurse_otel import __version__, semconv
from kubenurse_otel.config import Temporality
from kubenurse_otel.semconv import MetricKind
from kubenurse_otel.telemetry.instruments import SCOPE_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.sdk.resources import Resource

    from kubenurse_otel.telemetry.store import Exemplar, Family, Series, Store

POINTS_A_PIECE: Final = 64
MOST_AHEAD_NS: Final = 600 * 1_000_000_000
"""How far in the future Prometheus takes samples (maxAheadTime in storage/remote)."""
_CATCH_UP: Final = 10
"""While ahead of the wall clock, one second of so many is left out: a minute is caught up in ten,
and until then a rate shows as 11 % higher."""
_DELTA_KINDS: Final = {
    Temporality.CUMULATIVE: frozenset[MetricKind](),
    Temporality.DELTA: frozenset(
        {MetricKind.COUNTER, MetricKind.HISTOGRAM, MetricKind.OBSERVABLE_COUNTER}
    ),
    Temporality.LOW_MEMORY: frozenset({MetricKind.COUNTER, MetricKind.HISTOGRAM}),
}


class _Sent(NamedTuple):
    """What the far end has of one series."""

    value: float
    counts: tuple[int, ...]
    time_ns: int


class Points:
    """One exporter's view of the store; ``number`` tells the exporters apart (0, 1, ...).

    Deltas and exemplars count as sent once a piece was delivered: what a dead collector did not
    take is in the next delta, whose start time is the end of the last one delivered.
    """

    def __init__(
        self,
        store: Store,
        *,
        resource: Resource,
        temporality: Temporality,
        number: int = 0,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._store = store
        self._resource = resource
        self._scope = InstrumentationScope(SCOPE_NAME, __version__, semconv.SCHEMA_URL)
        self._delta_kinds = _DELTA_KINDS[temporality]
        self._mark = 1 << number
        self._sent: dict[Series, _Sent] = {}
        self._clock_ns = clock_ns
        self._time_ns = max(store.collected_ns, store.gauges_ns)
        self._moved_at_ns = clock_ns()

    def pieces(self) -> Iterator[tuple[MetricsData, Callable[[], None]]]:
        """Every series in batches of POINTS_A_PIECE, each with what to call once it is delivered.

        The store is locked only while one batch is built; a batch is a whole OTLP request. All
        of a round have one time: with each request Prometheus writes the resource's target_info,
        and refuses what goes back in time ("out of order sample").
        """
        with self._store.lock:
            self._move_time(max(self._store.collected_ns, self._store.gauges_ns))
            everything = [
                (family, series)
                for family in self._store.families.values()
                for series in family.all_series()
            ]
            for _family, series in everything:
                # Where the clock was set back, by the old one's time.
                series.start_ns = min(series.start_ns, self._time_ns)
        for gone in self._sent.keys() - {series for _family, series in everything}:
            del self._sent[gone]
        for start in range(0, len(everything), POINTS_A_PIECE):
            piece = self._piece(everything[start : start + POINTS_A_PIECE])
            if piece is not None:
                yield piece

    def _move_time(self, now_ns: int) -> None:
        """Take the collection's time for this round; where the wall clock was set back, go on.

        A receiver refuses a time that it has, or one before it: so while the wall clock is behind,
        ours goes on by the monotonic clock, a little slower, until they meet. Not where it is
        further in the future than Prometheus follows: what was sent from there was refused as well.
        """
        at_ns = self._clock_ns()
        passed_ns = at_ns - self._moved_at_ns
        on_ns = self._time_ns + max(1, passed_ns - passed_ns // _CATCH_UP)
        if now_ns < on_ns <= now_ns + MOST_AHEAD_NS:
            now_ns = on_ns
        self._time_ns, self._moved_at_ns = now_ns, at_ns

    def _piece(
        self, some: list[tuple[Family, Series]]
    ) -> tuple[MetricsData, Callable[[], None]] | None:
        metrics: list[Metric] = []
        sent: dict[Series, _Sent] = {}
        exemplars: list[Exemplar] = []
        with self._store.lock:
            for family, members in groupby(some, key=lambda pair: pair[0]):
                points = [
                    point
                    for _family, series in members
                    if (point := self._point(family, series, sent, exemplars)) is not None
                ]
                if points:
                    metrics.append(self._metric(family, points))
        if not metrics:
            return None

        def delivered() -> None:
            self._sent.update(sent)
            for exemplar in exemplars:
                exemplar.sent |= self._mark

        url = semconv.SCHEMA_URL
        scope_metrics = ScopeMetrics(self._scope, metrics, url)
        return MetricsData([ResourceMetrics(self._resource, [scope_metrics], url)]), delivered

    def _metric(self, family: Family, points: list[Any]) -> Metric:
        metric = family.metric
        temporality = (
            AggregationTemporality.DELTA
            if metric.kind in self._delta_kinds
            else AggregationTemporality.CUMULATIVE
        )
        data: Sum | Gauge | Histogram
        if metric.kind is MetricKind.GAUGE:
            data = Gauge(points)
        elif metric.kind is MetricKind.HISTOGRAM:
            data = Histogram(points, temporality)
        else:
            data = Sum(points, temporality, is_monotonic=True)
        return Metric(metric.name, metric.help, metric.unit, data)

    def _point(
        self,
        family: Family,
        series: Series,
        sent: dict[Series, _Sent],
        exemplars: list[Exemplar],
    ) -> NumberDataPoint | HistogramDataPoint | None:
        kind = family.metric.kind
        time_ns = self._time_ns
        start_ns, value, counts = series.start_ns, series.value, tuple(series.counts)
        if kind in self._delta_kinds:
            before = self._sent.get(series)
            if before is not None:
                if before.value == value and before.counts == counts:
                    return None
                start_ns = min(before.time_ns, time_ns)
                value -= before.value
                counts = tuple(now - then for now, then in zip(counts, before.counts, strict=True))
            sent[series] = _Sent(series.value, tuple(series.counts), time_ns)
        attributes: dict[str, Any] = (
            {semconv.OVERFLOW: True}
            if series is family.overflow
            else dict(zip(family.metric.labels, series.label_values, strict=True))
        )
        new = [one for one in series.exemplars.values() if not one.sent & self._mark]
        exemplars.extend(new)
        sdk_exemplars = [
            SdkExemplar({}, one.value, one.time_ns, one.span_id, one.trace_id) for one in new
        ]
        if kind is MetricKind.HISTOGRAM:
            unset = cast("float", None)  # the encoder leaves min and max out
            return HistogramDataPoint(
                attributes,
                start_ns,
                time_ns,
                sum(counts),
                value,
                counts,
                family.bounds,
                unset,
                unset,
                sdk_exemplars,
            )
        if kind is MetricKind.GAUGE:
            start_ns = 0
        return NumberDataPoint(attributes, start_ns, time_ns, value, sdk_exemplars)
