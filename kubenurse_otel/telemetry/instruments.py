"""The instruments that the agent records with, and the choice from semconv.METRICS.

Owns the choice of metrics, their bounds, and what makes an exemplar. Keeps nothing: that is the
store's. OpenTelemetry's metrics API is not used: everything that records is in this agent, and
knows its labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.trace import get_current_span

from kubenurse_otel.config import Config, MetricsChoice
from kubenurse_otel.semconv import METRICS, Metric, MetricFamily, MetricKind
from kubenurse_otel.telemetry import vmrange
from kubenurse_otel.telemetry.store import TraceIds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentelemetry.context import Context

    from kubenurse_otel.semconv import Observation
    from kubenurse_otel.telemetry.store import Store

SCOPE_NAME: Final = "kubenurse_otel"


def chosen_metrics(config: Config) -> tuple[Metric, ...]:
    """Return the rows of semconv.METRICS that KUBENURSE_METRICS asks for. The process's metrics are
    always included.
    """
    choice = config.telemetry.metrics
    unwanted = {
        MetricsChoice.BOTH: None,
        MetricsChoice.KUBENURSE: MetricFamily.OWN,
        MetricsChoice.OWN: MetricFamily.KUBENURSE,
    }[choice]
    return tuple(metric for metric in METRICS if metric.family is not unwanted)


def bounds_of(metric: Metric, config: Config) -> tuple[float, ...]:
    """Return upper bounds in seconds. The user may choose those of kubenurse's own histograms."""
    if metric.kind is not MetricKind.HISTOGRAM or metric.family is not MetricFamily.KUBENURSE:
        return metric.bounds
    if config.telemetry.victoriametrics_histogram:
        return vmrange.BOUNDS
    return config.telemetry.histogram_buckets or metric.bounds


class Instruments:
    """Records in the store, at once. Safe from any thread; a metric that was not chosen is ignored.

    ``attributes`` must be the metric's labels with values from bounded sets. With ``exemplars`` a
    measurement is kept as one where ``context`` holds a sampled span; without a context it never
    is, whatever the current span is. Negative and non-finite values are refused with a log line.
    """

    def __init__(self, store: Store, *, exemplars: bool) -> None:
        self._store = store
        self._exemplars = exemplars

    def add(
        self,
        metric: Metric,
        value: float,
        attributes: Mapping[str, str],
        context: Context | None = None,
    ) -> None:
        """Count ``value`` more (>= 0) on a counter."""
        label_values = tuple([str(attributes.get(label, "")) for label in metric.labels])
        self.observe(((metric, value, label_values),), context)

    record = add
    """Observe ``value`` (in the metric's unit, >= 0) on a histogram."""

    def observe(self, observations: Iterable[Observation], context: Context | None) -> None:
        """Add or record all observations of one check: 15 to 20."""
        trace: TraceIds | None = None
        if self._exemplars and context is not None:
            span = get_current_span(context).get_span_context()
            if span.trace_flags.sampled:
                trace = TraceIds(span.trace_id, span.span_id)
        self._store.observe(observations, trace)
