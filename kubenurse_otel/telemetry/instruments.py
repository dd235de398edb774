"""The instruments of semconv.METRICS, made once at start: what the agent records with.

Owns which metrics there are and their bounds. Keeps nothing: that is the store's (meter.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, set_span_in_context

from kubenurse_otel.config import Config, MetricsChoice
from kubenurse_otel.semconv import METRICS, Metric, MetricFamily, MetricKind
from kubenurse_otel.telemetry import vmrange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from opentelemetry import metrics as api

    from kubenurse_otel.semconv import Observation

SCOPE_NAME: Final = "kubenurse_otel"

# Without a context an instrument of the API takes the current span.
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
    """Upper bounds in seconds; those of kubenurse's own histograms are the user's to choose."""
    if metric.kind is not MetricKind.HISTOGRAM or metric.family is not MetricFamily.KUBENURSE:
        return metric.bounds
    if config.telemetry.victoriametrics_histogram:
        return vmrange.BOUNDS
    return config.telemetry.histogram_buckets or metric.bounds


@runtime_checkable
class ObservingMeter(Protocol):
    """That of meter.py: it knows series by their label values."""

    def observe(self, observations: Iterable[Observation], context: Context | None) -> None: ...


class Instruments:
    """What the rest of the agent records with. Safe from any thread; unwanted metrics are no-ops.

    ``attributes`` must be the metric's labels with values from bounded sets. An exemplar is kept
    only where ``context`` holds a sampled span; without a context there is none, whatever the
    current span is. Negative and non-finite values are refused with a log line.
    """

    def __init__(self, meter: api.Meter, metrics: Sequence[Metric]) -> None:
        self._add: dict[str, Callable[..., None]] = {}
        self._record: dict[str, Callable[..., None]] = {}
        self._observe = meter.observe if isinstance(meter, ObservingMeter) else self._each
        for metric in metrics:
            if metric.kind is MetricKind.COUNTER:
                counter = meter.create_counter(metric.name, metric.unit, metric.help)
                self._add[metric.name] = counter.add
            elif metric.kind is MetricKind.HISTOGRAM:
                histogram = meter.create_histogram(metric.name, metric.unit, metric.help)
                self._record[metric.name] = histogram.record

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
            record(value, attributes, context or _NO_SPAN)

    def observe(self, observations: Iterable[Observation], context: Context | None) -> None:
        """Add or record all that a check is worth: 15 to 20."""
        self._observe(observations, context or _NO_SPAN)

    def _each(self, observations: Iterable[Observation], context: Context | None) -> None:
        """Hand it to any meter's instruments."""
        for metric, value, label_values in observations:
            tell = self.add if metric.kind is MetricKind.COUNTER else self.record
            tell(metric, value, dict(zip(metric.labels, label_values, strict=True)), context)
