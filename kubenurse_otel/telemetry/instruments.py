"""The instruments of semconv.METRICS, made once at start, and the reader that empties them.

Owns the MeterProvider, views (bounds, limits, exemplar reservoirs) and delta collection. Keeps
nothing between collections: that is the store's.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context
from opentelemetry.sdk.metrics import (
    AlwaysOffExemplarFilter,
    Counter,
    Exemplar,
    ExemplarReservoir,
    Histogram,
    MeterProvider,
    TraceBasedExemplarFilter,
)
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricReader, MetricsData
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.trace import INVALID_SPAN, get_current_span, set_span_in_context

from kubenurse_otel import __version__
from kubenurse_otel.config import Config, MetricsChoice
from kubenurse_otel.semconv import METRICS, Metric, MetricFamily, MetricKind
from kubenurse_otel.telemetry import vmrange
from kubenurse_otel.telemetry.store import limit_of_sets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry import metrics as api
    from opentelemetry.sdk.resources import Resource

_log = logging.getLogger(__name__)

SCOPE_NAME: Final = "kubenurse_otel"
HTTPCLIENT_PREFIX: Final = "kubenurse_httpclient_"
MOST_TYPES: Final = 10_000
"""Twice the nodes that Kubernetes supports; the limit where NEIGHBOUR_LIMIT is 0."""
_OTHER_TYPES: Final = 4

# Not an empty Context: the SDK takes a false one for "use the current span".
_NO_SPAN: Final = set_span_in_context(INVALID_SPAN, Context())


def chosen_metrics(config: Config) -> tuple[Metric, ...]:
    """The rows of semconv.METRICS that KUBENURSE_METRICS asks for; the process's are always in."""
    choice = config.telemetry.metrics
    unwanted = {
        MetricsChoice.BOTH: None,
        MetricsChoice.KUBENURSE: MetricFamily.OWN,
        MetricsChoice.OWN: MetricFamily.KUBENURSE,
    }[choice]
    return tuple(metric for metric in METRICS if metric.family is not unwanted)


def bounds_of(metric: Metric, config: Config) -> tuple[float, ...]:
    """Upper bounds in seconds; whole numbers as ints, so that they print as le="1"."""
    bounds = metric.bounds
    if metric.kind is MetricKind.HISTOGRAM and metric.name.startswith(HTTPCLIENT_PREFIX):
        if config.telemetry.victoriametrics_histogram:
            return vmrange.BOUNDS
        bounds = config.telemetry.histogram_buckets or bounds
    return tuple(int(bound) if bound == int(bound) else bound for bound in bounds)


def limit_of_collection(config: Config) -> int:
    """The SDK's cardinality limit: the attribute sets one metric may see in one collection."""
    neighbours = config.discovery.neighbour_limit or MOST_TYPES
    return limit_of_sets(neighbours + _OTHER_TYPES + len(config.checks.extra_checks))


class Instruments:
    """What the rest of the agent records with. Safe from any thread; unwanted metrics are no-ops.

    ``attributes`` must be the metric's labels with values from bounded sets. An exemplar is kept
    only where ``context`` holds a sampled span; without a context there is none, whatever the
    current span is. Negative and non-finite values are refused by the SDK with a log line.
    """

    def __init__(self, meter: api.Meter, metrics: Sequence[Metric]) -> None:
        self._add: dict[str, Callable[..., None]] = {}
        self._record: dict[str, Callable[..., None]] = {}
        self.pending = 0
        """Measurements since the last collection (about: threads may lose a count)."""
        for metric in metrics:
            if metric.kind is MetricKind.COUNTER:
                self._add[metric.name] = meter.create_counter(
                    metric.name, metric.unit, metric.help
                ).add
            elif metric.kind is MetricKind.HISTOGRAM:
                self._record[metric.name] = meter.create_histogram(
                    metric.name, metric.unit, metric.help
                ).record

    def add(
        self,
        metric: Metric,
        value: float,
        attributes: Mapping[str, str],
        context: Context | None = None,
    ) -> None:
        """Count ``value`` more (>= 0) on a counter."""
        add = self._add.get(metric.name)
        if add is not None:
            self.pending += 1
            add(value, attributes, context or _NO_SPAN)

    def record(
        self,
        metric: Metric,
        value: float,
        attributes: Mapping[str, str],
        context: Context | None = None,
    ) -> None:
        """Observe ``value`` (in the metric's unit, >= 0) on a histogram."""
        record = self._record.get(metric.name)
        if record is not None:
            self.pending += 1
            record(value, attributes, context or _NO_SPAN)


class LastExemplars(ExemplarReservoir):
    """Keeps the last measurement of each bucket that a sampled span belongs to.

    The SDK's own allocates a bucket object at once for each series and collection; this one
    allocates when something is offered. It is locked by the aggregation that owns it.
    """

    def __init__(self, boundaries: Sequence[float] = (), **_kwargs: Any) -> None:
        self._boundaries = boundaries
        self._last: dict[int, Exemplar] = {}

    def offer(
        self,
        value: float,
        time_unix_nano: int,
        attributes: Any,  # noqa: ARG002 - the SDK's signature; ours are all on the point
        context: Context,
    ) -> None:
        span = get_current_span(context).get_span_context()
        self._last[bisect_left(self._boundaries, value)] = Exemplar(
            None, value, time_unix_nano, span.span_id, span.trace_id
        )

    def collect(
        self,
        point_attributes: Any,  # noqa: ARG002 - the SDK's signature
    ) -> list[Exemplar]:
        last, self._last = self._last, {}
        return list(last.values())


def _reservoir(_aggregation: object) -> Callable[..., ExemplarReservoir]:
    return LastExemplars


class DeltaReader(MetricReader):
    """Hands each collection of counters and histograms, as deltas, to ``receive``.

    Gauges are not the SDK's here: an asynchronous instrument never forgets an attribute set, so
    that the nodes of a living cluster would fill its limit (1.45, _view_instrument_match.py).
    """

    def __init__(self, receive: Callable[[MetricsData], None]) -> None:
        super().__init__(
            preferred_temporality={
                Counter: AggregationTemporality.DELTA,
                Histogram: AggregationTemporality.DELTA,
            }
        )
        self._receive = receive

    def _receive_metrics(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,  # noqa: ARG002 - the SDK's signature
        **_kwargs: Any,
    ) -> None:
        self._receive(metrics_data)

    def shutdown(self, timeout_millis: float = 30_000, **_kwargs: Any) -> None:
        """Do nothing: Telemetry collects for the last time before it shuts down."""


def make_meter_provider(
    config: Config, *, resource: Resource, reader: DeltaReader, exemplars: bool
) -> MeterProvider:
    """A provider with one view a metric; nothing of it is read from the environment."""
    limit = limit_of_collection(config)
    views = [
        View(
            instrument_name=metric.name,
            aggregation=ExplicitBucketHistogramAggregation(
                boundaries=bounds_of(metric, config), record_min_max=False
            )
            if metric.kind is MetricKind.HISTOGRAM
            else None,
            aggregation_cardinality_limit=limit,
            exemplar_reservoir_factory=_reservoir,
        )
        for metric in chosen_metrics(config)
        if metric.kind in (MetricKind.COUNTER, MetricKind.HISTOGRAM)
    ]
    return MeterProvider(
        metric_readers=[reader],
        resource=resource,
        exemplar_filter=TraceBasedExemplarFilter() if exemplars else AlwaysOffExemplarFilter(),
        shutdown_on_exit=False,
        views=views,
    )


def make_instruments(provider: MeterProvider, metrics: Sequence[Metric]) -> Instruments:
    """All instruments at once: one made later would be missing from the first collections."""
    return Instruments(provider.get_meter(SCOPE_NAME, __version__), metrics)
