"""The one cumulative store: every series that the scrape and OTLP show, until it expires.

Owns adding up what is recorded, start times, last exemplars, limits and forgetting. Knows no
format. Who reads from another thread holds ``lock`` meanwhile.
"""

from __future__ import annotations

import logging
import threading
import time
from bisect import bisect_left
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from kubenurse_otel import semconv
from kubenurse_otel.semconv import Metric, MetricKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kubenurse_otel.semconv import Observation

_log = logging.getLogger(__name__)

SETS_FLOOR: Final = 2_000
"""The SDK's own default limit of attribute sets per metric."""
SETS_PER_TYPE: Final = 20
"""Attribute sets per type: nine events, twice, since a cluster in a roll-out shows its old and its
new nodes together.
"""
TEXT: Final = 0
OPENMETRICS: Final = 1

_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def limit_of_sets(types: int) -> int:
    """How many attribute sets one metric may have with that many ``type`` values."""
    return SETS_FLOOR + SETS_PER_TYPE * types


class TraceIds(NamedTuple):
    """The sampled span that a measurement belongs to."""

    trace_id: int
    span_id: int


class Exemplar:
    """The last measurement of a bucket that belongs to an exported trace."""

    __slots__ = ("sent", "span_id", "time_ns", "trace_id", "value")

    def __init__(self, value: float, time_ns: int, trace_id: int, span_id: int) -> None:
        self.value = value
        self.time_ns = time_ns
        self.trace_id = trace_id
        self.span_id = span_id
        self.sent = 0
        """Bit n: exporter n has sent it."""


class Series:
    """One label set of one metric. ``counts`` is empty except for histograms.

    ``exemplars`` are replaced, never changed, so that a reader may keep them; who keeps ``counts``
    copies them.
    ``chunks`` holds the rendered lines of each format, None when they must be made again.
    """

    __slots__ = (
        "chunks",
        "counts",
        "exemplars",
        "label_text",
        "label_values",
        "start_ns",
        "touched",
        "value",
    )

    def __init__(
        self, metric: Metric, label_values: tuple[str, ...], start_ns: int, *, buckets: int = 0
    ) -> None:
        self.label_values = label_values
        self.label_text = ",".join(
            f'{name}="{value.translate(_ESCAPES)}"'
            for name, value in zip(metric.labels, label_values, strict=True)
        )
        self.start_ns = start_ns
        self.touched = 0.0
        self.value: float = 0
        """A counter's total, a gauge's reading, a histogram's sum."""
        self.counts = [0] * buckets
        self.exemplars: dict[int, Exemplar] = {}
        self.chunks: list[bytes | None] = [None, None]

    def changed(self) -> None:
        self.chunks[TEXT] = self.chunks[OPENMETRICS] = None


class Family:
    """One metric and its series, in the order in which they were first seen."""

    def __init__(self, metric: Metric, bounds: tuple[float, ...]) -> None:
        self.metric = metric
        self.bounds = bounds
        self.series: dict[tuple[str, ...], Series] = {}
        self.overflow: Series | None = None
        self.overflowing: set[tuple[str, ...]] = set()
        """Label sets that found no room since the last collection, as many as this set may hold."""
        self.is_histogram = metric.kind is MetricKind.HISTOGRAM
        self.type_index = metric.labels.index("type") if "type" in metric.labels else None

    def new_series(self, label_values: tuple[str, ...], start_ns: int) -> Series:
        buckets = len(self.bounds) + 1 if self.is_histogram else 0
        return Series(self.metric, label_values, start_ns, buckets=buckets)

    def all_series(self) -> list[Series]:
        """Every series, the overflow one last."""
        return [*self.series.values(), *([self.overflow] if self.overflow else [])]


class Store:
    """All families by metric name.

    A series is gone when it was not touched for ``ttl_seconds`` and its ``type`` is none of the
    current ones; series without a ``type`` label are the agent's own and stay. When one comes
    back, it starts at zero with a start time after its former end.
    """

    def __init__(
        self,
        families: Iterable[tuple[Metric, tuple[float, ...]]],
        *,
        ttl_seconds: float,
        on_overflow: Callable[[Metric, int], None],
        started_ns: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lock = threading.RLock()
        self.families = {metric.name: Family(metric, bounds) for metric, bounds in families}
        self.collected_ns = started_ns
        """Unix time in ns of the last collection, which is the time of every cumulative point."""
        self.gauges_ns = started_ns
        self.version = 0
        """Moves whenever a counter or histogram changed or went away."""
        self._started_ns = started_ns
        self._ttl_seconds = ttl_seconds
        self._on_overflow = on_overflow
        self._overflowed: set[str] = set()
        self._types: frozenset[str] = frozenset()
        self._clock = clock

    def retain(self, types: frozenset[str]) -> None:
        """Let all types expire except these. The limit of series follows their number."""
        with self.lock:
            self._types = types

    def observe(self, observations: Iterable[Observation], trace: TraceIds | None = None) -> None:
        """Count each amount more, or put it into its bucket; ``trace`` makes it an exemplar.

        What is negative or not finite is refused with a log line, as the SDK does; a metric that is
        none of the families is passed over. A new series begins at the last collection: no point
        of before has a later time.
        """
        families = self.families
        with self.lock:
            now = self._clock()
            is_changed = False
            for metric, amount, label_values in observations:
                if not 0 <= amount < inf:
                    _log.warning("%s: %r is refused", metric.name, amount)
                    continue
                family = families.get(metric.name)
                if family is None:
                    continue
                series = family.series.get(label_values)
                if series is None:
                    series = self._new_series(family, label_values)
                series.value += amount
                if family.is_histogram:
                    series.counts[bisect_left(family.bounds, amount)] += 1
                if trace is not None:
                    exemplar = Exemplar(amount, time.time_ns(), *trace)
                    bucket = bisect_left(family.bounds, amount)
                    series.exemplars = {**series.exemplars, bucket: exemplar}
                series.touched = now
                chunks = series.chunks
                chunks[TEXT] = chunks[OPENMETRICS] = None
                is_changed = True
            self.version += is_changed

    def collected(self, now_ns: int) -> None:
        """End a collection: what is recorded from now on belongs to the next one."""
        with self.lock:
            self.collected_ns = now_ns
            for family in self.families.values():
                family.overflowing.clear()

    def _new_series(self, family: Family, label_values: tuple[str, ...]) -> Series:
        limit = limit_of_sets(len(self._types))
        if len(family.series) < limit:
            series = family.series[label_values] = family.new_series(
                label_values, self.collected_ns
            )
            return series
        overflow = self._overflow_of(family, self.collected_ns)
        if label_values not in family.overflowing and len(family.overflowing) < limit:
            family.overflowing.add(label_values)
            self._on_overflow(family.metric, 1)
        return overflow

    def _overflow_of(self, family: Family, start_ns: int) -> Series:
        metric = family.metric
        if family.overflow is None:
            family.overflow = family.new_series(("",) * len(metric.labels), start_ns)
            family.overflow.label_text = f'{semconv.OVERFLOW.replace(".", "_")}="true"'
        if metric.name not in self._overflowed:
            self._overflowed.add(metric.name)
            _log.error(
                "%s has more label sets than its limit of %d: the rest is added up in one series"
                ' with otel_metric_overflow="true" (said once a metric;'
                " kubenurse_telemetry_series_overflowed_total counts)",
                metric.name,
                limit_of_sets(len(self._types)),
            )
        return family.overflow

    def set_gauge(
        self, metric: Metric, readings: Iterable[tuple[float, tuple[str, ...]]], *, now_ns: int
    ) -> None:
        """Replace every series of a gauge (or observable counter) by its readings.

        A series whose reading did not change keeps its rendered lines. Raises ValueError where a
        reading has not one value for each of the metric's labels.
        """
        with self.lock:
            family = self.families.get(metric.name)
            if family is None:
                return
            before = family.series
            after: dict[tuple[str, ...], Series] = {}
            limit = limit_of_sets(len(self._types))
            family.overflow = None
            for value, label_values in readings:
                if len(after) >= limit and label_values not in after:
                    self._overflow_of(family, now_ns).value += 1  # how many were left out
                    self._on_overflow(metric, 1)
                    continue
                series = before.get(label_values)
                if series is None:
                    series = Series(metric, label_values, self._started_ns)
                    series.value = value
                elif series.value != value:
                    series.value = value
                    series.changed()
                after[label_values] = series
            family.series = after
            self.gauges_ns = now_ns

    def expire(self, *, now: float) -> None:
        """Forget series that were not touched for the TTL and whose type is not current."""
        oldest = now - self._ttl_seconds
        with self.lock:
            for family in self.families.values():
                index = family.type_index
                if index is None or family.metric.kind is MetricKind.GAUGE:
                    continue
                gone = [
                    key
                    for key, series in family.series.items()
                    if series.touched < oldest and key[index] not in self._types
                ]
                for key in gone:
                    del family.series[key]
                    self.version += 1
