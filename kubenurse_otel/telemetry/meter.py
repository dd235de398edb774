"""OpenTelemetry's metrics API over our store: what is recorded is in its series at once.

The SDK would aggregate first, and hand us deltas to add up again: twice the memory, and an eighth
of a check's CPU. What the store makes of the same records is what the SDK and its Prometheus
exporter make of them (tests/unit/telemetry/test_meter.py, test_exposition.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.metrics import Counter, Histogram, NoOpMeter
from opentelemetry.trace import get_current_span

from kubenurse_otel import __version__
from kubenurse_otel.telemetry.instruments import SCOPE_NAME
from kubenurse_otel.telemetry.store import TraceIds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opentelemetry.context import Context
    from opentelemetry.util.types import Attributes

    from kubenurse_otel.semconv import Observation
    from kubenurse_otel.telemetry.store import Family, Store


class StoreMeter(NoOpMeter):
    """Counters and histograms of the store's families. All other instruments record nothing.

    With ``exemplars`` the last measurement of each bucket that belongs to a sampled span is kept.
    """

    def __init__(self, store: Store, *, exemplars: bool) -> None:
        super().__init__(SCOPE_NAME, __version__)
        self._store = store
        self._exemplars = exemplars

    def create_counter(self, name: str, unit: str = "", description: str = "") -> Counter:
        family = self._store.families.get(name)
        if family is None:
            return super().create_counter(name, unit, description)
        return StoreCounter(self, family)

    def create_histogram(
        self,
        name: str,
        unit: str = "",
        description: str = "",
        *,
        explicit_bucket_boundaries_advisory: Sequence[float] | None = None,  # noqa: ARG002 - see below
    ) -> Histogram:
        """The bounds are the store's, whatever the advice."""
        family = self._store.families.get(name)
        if family is None:
            return super().create_histogram(name, unit, description)
        return StoreHistogram(self, family)

    def observe(self, observations: Iterable[Observation], context: Context | None) -> None:
        """Record all of it; an exemplar where ``context`` holds a sampled span."""
        trace: TraceIds | None = None
        if self._exemplars:
            span = get_current_span(context).get_span_context()
            if span.trace_flags.sampled:
                trace = TraceIds(span.trace_id, span.span_id)
        self._store.observe(observations, trace)


class _Instrument:
    """What counter and histogram do alike: the store knows by the metric which one it is."""

    def __init__(self, meter: StoreMeter, family: Family) -> None:
        metric = family.metric
        super().__init__(metric.name, metric.unit, metric.help)  # type: ignore[call-arg]  # the API's
        self._meter = meter
        self._metric = metric

    def _observe(self, amount: float, attributes: Attributes, context: Context | None) -> None:
        found = attributes or {}
        label_values = tuple([str(found.get(label, "")) for label in self._metric.labels])
        self._meter.observe(((self._metric, amount, label_values),), context)


class StoreCounter(_Instrument, Counter):
    def add(
        self,
        amount: float,
        attributes: Attributes = None,
        context: Context | None = None,
        **_more: Any,
    ) -> None:
        self._observe(amount, attributes, context)


class StoreHistogram(_Instrument, Histogram):
    def record(
        self,
        amount: float,
        attributes: Attributes = None,
        context: Context | None = None,
        **_more: Any,
    ) -> None:
        self._observe(amount, attributes, context)
