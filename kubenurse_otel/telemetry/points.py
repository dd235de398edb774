"""The store as OTLP's requests, in pieces, for one exporter (opentelemetry/proto/metrics/v1).

Owns temporality (cumulative, or deltas since what this exporter last delivered) and which
exemplars it has sent. Changes nothing in the store but those marks.
"""

from __future__ import annotations

import time
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as PbResource

from kubenurse_otel import __version__, semconv
from kubenurse_otel.config import Temporality
from kubenurse_otel.semconv import MetricKind
from kubenurse_otel.telemetry.instruments import SCOPE_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from opentelemetry.sdk.resources import Resource

    from kubenurse_otel.telemetry.store import Exemplar, Family, Series, Store

POINTS_A_PIECE: Final = 64
MOST_AHEAD_NS: Final = 600 * 1_000_000_000
"""Nanoseconds up to which Prometheus accepts samples from the future (maxAheadTime in
storage/remote).
"""
_CATCH_UP: Final = 10
"""While our time is ahead of the wall clock, it does not advance in one second of this many. So one
minute is caught up within ten, and until then rates appear 11 % higher.
"""
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
        self._resource = PbResource(attributes=_key_values(resource.attributes))
        self._resource_schema_url = resource.schema_url
        self._delta_kinds = _DELTA_KINDS[temporality]
        self._mark = 1 << number
        self._sent: dict[Series, _Sent] = {}
        self._clock_ns = clock_ns
        self._time_ns = max(store.collected_ns, store.gauges_ns)
        self._moved_at_ns = clock_ns()

    def pieces(self) -> Iterator[tuple[ExportMetricsServiceRequest, Callable[[], None]]]:
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
    ) -> tuple[ExportMetricsServiceRequest, Callable[[], None]] | None:
        metrics: list[pb.Metric] = []
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

        scope_metrics = pb.ScopeMetrics(
            scope=InstrumentationScope(name=SCOPE_NAME, version=__version__),
            metrics=metrics,
            schema_url=semconv.SCHEMA_URL,
        )
        resource_metrics = pb.ResourceMetrics(
            resource=self._resource,
            scope_metrics=[scope_metrics],
            schema_url=self._resource_schema_url,
        )
        return ExportMetricsServiceRequest(resource_metrics=[resource_metrics]), delivered

    def _metric(self, family: Family, points: list[Any]) -> pb.Metric:
        metric = family.metric
        temporality = (
            pb.AGGREGATION_TEMPORALITY_DELTA
            if metric.kind in self._delta_kinds
            else pb.AGGREGATION_TEMPORALITY_CUMULATIVE
        )
        made = pb.Metric(name=metric.name, description=metric.help, unit=metric.unit)
        if metric.kind is MetricKind.GAUGE:
            made.gauge.data_points.extend(points)
        elif metric.kind is MetricKind.HISTOGRAM:
            made.histogram.aggregation_temporality = temporality
            made.histogram.data_points.extend(points)
        else:
            made.sum.aggregation_temporality = temporality
            made.sum.is_monotonic = True
            made.sum.data_points.extend(points)
        return made

    def _point(
        self,
        family: Family,
        series: Series,
        sent: dict[Series, _Sent],
        exemplars: list[Exemplar],
    ) -> pb.NumberDataPoint | pb.HistogramDataPoint | None:
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
        about: dict[str, Any] = {
            "attributes": _key_values(attributes),
            "time_unix_nano": time_ns,
            "exemplars": [_exemplar(one) for one in new],
        }
        if kind is not MetricKind.GAUGE:
            about["start_time_unix_nano"] = start_ns
        if kind is MetricKind.HISTOGRAM:
            return pb.HistogramDataPoint(
                count=sum(counts),
                sum=value,
                bucket_counts=counts,
                explicit_bounds=family.bounds,
                **about,
            )
        return pb.NumberDataPoint(**_number(value), **about)


def _exemplar(one: Exemplar) -> pb.Exemplar:
    return pb.Exemplar(
        time_unix_nano=one.time_ns,
        span_id=one.span_id.to_bytes(8, "big"),
        trace_id=one.trace_id.to_bytes(16, "big"),
        **_number(one.value),
    )


def _number(value: float) -> dict[str, Any]:
    return {"as_int" if isinstance(value, int) else "as_double": value}


def _key_values(attributes: Mapping[str, Any]) -> list[KeyValue]:
    """Strings and booleans: there are no others."""
    return [
        KeyValue(
            key=key,
            value=AnyValue(bool_value=value)
            if isinstance(value, bool)
            else AnyValue(string_value=value),
        )
        for key, value in attributes.items()
    ]
