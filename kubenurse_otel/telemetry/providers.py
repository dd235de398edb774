"""Telemetry: every part of telemetry built from the Config, joined, and shut down in bounded time.

Owns which parts exist. No exporter library is imported unless one is configured.
"""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider

from kubenurse_otel import semconv
from kubenurse_otel.process.figures import GaugeSources, process_sources
from kubenurse_otel.record import record
from kubenurse_otel.telemetry.batches import BatchQueue
from kubenurse_otel.telemetry.collection import Collection
from kubenurse_otel.telemetry.delivery import Delivery
from kubenurse_otel.telemetry.exporters import make_exporter
from kubenurse_otel.telemetry.exposition import Exposition, Rendered
from kubenurse_otel.telemetry.identity import make_resource
from kubenurse_otel.telemetry.instruments import Instruments, bounds_of, chosen_metrics
from kubenurse_otel.telemetry.push import MetricPush
from kubenurse_otel.telemetry.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.sampling import Sampler

    from kubenurse_otel.config import Config, OtlpConfig
    from kubenurse_otel.diagnosis.diagnosis import Judgement
    from kubenurse_otel.semconv import Metric
    from kubenurse_otel.telemetry.points import Points
    from kubenurse_otel.telemetry.verdict_events import LogQueue, VerdictEvents

_log = logging.getLogger(__name__)

_UNLIMITED: Final = SpanLimits.UNSET
_ABANDON_SECONDS: Final = 0.2


class Telemetry:
    """The agent's telemetry. Made by `start`; the parts are public for the app to hand on.

    ``instruments`` records; ``offer`` takes a whole kept trace (None without a trace exporter);
    ``refresh`` is to be called between checks; ``render`` answers a scrape.
    """

    def __init__(  # `start` is the way in
        self,
        *,
        resource: Resource,
        instruments: Instruments,
        store: Store,
        collection: Collection,
        queues: Sequence[BatchQueue[ReadableSpan]],
        pushes: Sequence[MetricPush],
        log_queues: Sequence[LogQueue],
    ) -> None:
        self.resource = resource
        self.instruments = instruments
        self._store = store
        self._collection = collection
        self._queues = tuple(queues)
        self._pushes = tuple(pushes)
        self._log_queues = tuple(log_queues)
        self._verdict_events = _verdict_events(self._log_queues, resource)
        self._shut_down = False

    @classmethod
    def start(
        cls,
        config: Config,
        *,
        gauges: GaugeSources,
        clock: Callable[[], float] = time.monotonic,
    ) -> Telemetry:
        """Build everything and start the exporters' threads (none without an exporter).

        ``gauges`` are read on the thread that calls `refresh` and `render`. The process's own
        sources are added here. Raises nothing for a collector that is not there.
        """
        telemetry = config.telemetry
        resource = make_resource(config)
        exporters = _Exporters.of(config)

        store = Store(
            ((metric, bounds_of(metric, config)) for metric in chosen_metrics(config)),
            ttl_seconds=telemetry.series_ttl_seconds,
            on_overflow=lambda metric, count: instruments.add(
                semconv.SERIES_OVERFLOWED, count, {"metric": metric.name}
            ),
            started_ns=time.time_ns(),
            clock=clock,
        )
        instruments = Instruments(store, exemplars=telemetry.exemplars and bool(exporters.traces))
        collection = Collection(
            store,
            Exposition(
                store,
                metadata=telemetry.expose_metadata,
                victoriametrics=telemetry.victoriametrics_histogram,
            ),
            gauges={**process_sources(), **gauges},
            ttl_seconds=telemetry.series_ttl_seconds,
            clock=clock,
        )
        queues = [
            BatchQueue[ReadableSpan](
                _delivery("traces", otlp, instruments),
                name="otlp-traces",
                on_dropped=lambda spans, reason: instruments.add(
                    semconv.SPANS_DROPPED, spans, {"reason": reason}
                ),
                queue_size=telemetry.bsp_queue_size,
                batch_size=telemetry.bsp_batch_size,
                delay_seconds=telemetry.bsp_delay_seconds,
            )
            for otlp in exporters.traces
        ]
        pushes = [
            MetricPush(
                _delivery("metrics", otlp, instruments),
                _points(store, resource=resource, temporality=telemetry.temporality, number=number),
                await_fresh=collection.await_fresh,
                interval_seconds=telemetry.metric_interval_seconds,
                timeout_seconds=telemetry.metric_timeout_seconds,
            )
            for number, otlp in enumerate(exporters.metrics)
        ]
        log_queues = [_log_queue(otlp, instruments) for otlp in exporters.logs]
        parts: list[BatchQueue[Any] | MetricPush] = [*queues, *pushes, *log_queues]
        for part in parts:
            part.start()
        return cls(
            resource=resource,
            instruments=instruments,
            store=store,
            collection=collection,
            queues=queues,
            pushes=pushes,
            log_queues=log_queues,
        )

    def tracer_provider(self, *, sampler: Sampler, processor: SpanProcessor) -> TracerProvider:
        """A provider for our SERVER spans; checks have one of their own, tracing/check_spans.py.

        Its span limits are off whatever the environment says (export_form.py applies the user's
        limits to what is exported). The app shuts nothing of it down: ``processor`` holds no
        thread.
        """
        provider = TracerProvider(
            sampler=sampler,
            resource=self.resource,
            shutdown_on_exit=False,
            span_limits=SpanLimits(
                max_attributes=_UNLIMITED,
                max_events=_UNLIMITED,
                max_links=_UNLIMITED,
                max_span_attributes=_UNLIMITED,
                max_event_attributes=_UNLIMITED,
                max_link_attributes=_UNLIMITED,
                max_attribute_length=_UNLIMITED,
                max_span_attribute_length=_UNLIMITED,
            ),
        )
        provider.add_span_processor(processor)
        return provider

    @property
    def exports_traces(self) -> bool:
        """Whether a kept trace goes anywhere."""
        return bool(self._queues)

    def offer(self, spans: Sequence[ReadableSpan]) -> bool:
        """Hand over a whole trace to be exported. False if an exporter's queue is full."""
        taken = [queue.offer(spans) for queue in self._queues]
        return all(taken)

    def tell(self, judgement: Judgement) -> None:
        """Send an event per verdict that was raised or cleared, if log records are exported."""
        if self._verdict_events is not None:
            self._verdict_events.tell(judgement)

    def retain(self, types: frozenset[str]) -> None:
        """Let all series expire except those of these ``type`` values, which have a target now."""
        self._store.retain(types)

    def refresh(self) -> bool:
        """Do about two milliseconds of pending work in a quiet moment; True if more is pending."""
        return self._collection.refresh()

    def render(self, accept: str = "", *, gzip: bool = False) -> Rendered:
        """The exposition in the format that ``accept`` prefers; see Collection for staleness."""
        return self._collection.render(accept, gzip=gzip)

    def figures(self, metric: Metric) -> list[tuple[float, tuple[str, ...]]]:
        """Return a metric's values (for a histogram, the sums) with their label values, as of now.

        A gauge's values are those of the last collection. A metric that is not kept has none.
        """
        with self._store.lock:
            family = self._store.families.get(metric.name)
            series = [] if family is None else family.all_series()
            return [(one.value, one.label_values) for one in series]

    def shutdown(self, timeout_seconds: float) -> None:
        """Send what can be sent and be gone within ``timeout_seconds``, whatever is dead.

        Blocks: call it last, or from a thread. A second call does nothing.
        """
        if self._shut_down:
            return
        self._shut_down = True
        end = time.monotonic() + timeout_seconds
        deadline = end - min(_ABANDON_SECONDS, timeout_seconds / 2)
        queues: list[BatchQueue[Any]] = [*self._queues, *self._log_queues]
        for queue in queues:
            queue.stop(deadline=deadline)
        self._collection.collect_now()
        for push in self._pushes:
            push.stop(deadline=deadline)
        parts: list[BatchQueue[Any] | MetricPush]
        parts = [*queues, *self._pushes]
        for part in parts:
            part.thread.join(max(0.0, deadline - time.monotonic()))
        left = [part for part in parts if part.thread.is_alive()]
        if not left:
            return
        # An exporter's shutdown may itself wait for a connection: never on this thread.
        for part in left:
            threading.Thread(target=part.abandon, daemon=True).start()
        _log.warning(
            "telemetry: %s still busy after %.1f s; what they held is lost",
            ", ".join(part.thread.name for part in left),
            timeout_seconds,
        )
        for part in left:
            part.thread.join(max(0.0, end - time.monotonic()))


def _points(store: Store, **options: Any) -> Points:
    """Import points.py only if metrics are pushed: it imports the SDK's metrics, a megabyte."""
    from kubenurse_otel.telemetry.points import Points  # noqa: PLC0415 - see above

    return Points(store, **options)


def _log_queue(otlp: OtlpConfig | None, instruments: Instruments) -> LogQueue:
    """Import verdict_events.py only if log records are exported: it imports the SDK's logs."""
    from kubenurse_otel.telemetry.verdict_events import (  # noqa: PLC0415 - see above
        BACKOFF_SECONDS,
        LogQueue,
    )

    return LogQueue(_delivery("logs", otlp, instruments, backoff_seconds=BACKOFF_SECONDS))


def _delivery(
    signal: str, otlp: OtlpConfig | None, instruments: Instruments, **options: Any
) -> Delivery[Any]:
    return Delivery(
        partial(make_exporter, signal, otlp),
        signal=signal,
        otlp=otlp,
        instruments=instruments,
        **options,
    )


def _verdict_events(queues: Sequence[LogQueue], resource: Resource) -> VerdictEvents | None:
    if not queues:
        return None
    from kubenurse_otel.telemetry.verdict_events import VerdictEvents  # noqa: PLC0415 - as above

    return VerdictEvents(queues, resource)


@record(frozen=True, slots=True)
class _Exporters:
    """Where each signal goes: OTLP configurations, None for the console."""

    traces: tuple[OtlpConfig | None, ...] = ()
    metrics: tuple[OtlpConfig | None, ...] = ()
    logs: tuple[OtlpConfig | None, ...] = ()

    @classmethod
    def of(cls, config: Config) -> _Exporters:
        telemetry = config.telemetry
        if telemetry.sdk_disabled:
            return cls()
        return cls(
            _ways(telemetry.otlp_traces, console=telemetry.console_traces),
            _ways(telemetry.otlp_metrics, console=telemetry.console_metrics),
            _ways(telemetry.otlp_logs, console=telemetry.console_logs)
            if config.checks.diagnosis
            else (),
        )


def _ways(otlp: OtlpConfig | None, *, console: bool) -> tuple[OtlpConfig | None, ...]:
    return ((otlp,) if otlp else ()) + ((None,) if console else ())
