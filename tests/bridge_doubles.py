"""What the tests of check, bridge and sampling share: a scripted prober, real SDK providers."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.metrics import MeterProvider, TraceBasedExemplarFilter
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.trace import INVALID_SPAN, set_span_in_context

from kubenurse_otel import semconv
from kubenurse_otel.model import (
    Failure,
    Measurement,
    Neighbour,
    Phase,
    Split,
    Target,
    TargetKind,
    Url,
)
from kubenurse_otel.probe import phases
from kubenurse_otel.probe.exchange import Reply
from kubenurse_otel.probe.kernel import read_clocks
from kubenurse_otel.probe.marks import Marks
from kubenurse_otel.probe.prober import Probed
from kubenurse_otel.tracing.check import Checker
from kubenurse_otel.tracing.check_spans import CheckTracerProvider
from kubenurse_otel.tracing.httpx_adapter import InstrumentedProber
from kubenurse_otel.tracing.sampling import CheckSampler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from opentelemetry import trace as api
    from opentelemetry.context import Context
    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

OFFSETS = {
    "connect_start": 0.001,
    "connect_done": 0.002,
    "got_conn": 0.002,
    "wrote_request": 0.002,
    "got_first_resp_byte": 0.004,
}
"""What a check of an IP address over plain HTTP reaches."""

_GOOD: Final = Measurement(
    split=Split(
        connect=0.001,
        request=0.003,
        network_round_trip=0.0005,
        far_end=0.0025,
        egress=0.000002,
        loss=0.0,
        own_delay=0.002,
    ),
    status_code=200,
    peer_address="10.0.0.7",
    retransmits=0,
)


def measured(*, split: Mapping[str, float] | None = None, **changes: Any) -> Measurement:
    """What is measured in a good check, but for these; 4 ms in all."""
    return replace(_GOOD, split=replace(_GOOD.split, **split or {}), **changes)


MESSAGE = "10.0.0.7:8080 refused the connection: nothing listens on that port there"


def failure(
    error_type: str = "connection_refused",
    phase: Phase = Phase.CONNECT,
    event: str = "connect_done",
) -> Failure:
    return Failure(error_type=error_type, phase=phase, event=event, message=MESSAGE)


def target(key: str = "path_b", **changes: Any) -> Target:
    fields: dict[str, Any] = {
        "type": key,
        "kind": TargetKind.PATH,
        "url": Url.of("http", "10.0.0.7", 8080, "/alwayshappy"),
        "interval_seconds": 5.0,
        "timeout_seconds": 5.0,
        "propagate": True,
        "neighbour": Neighbour(pod_name="pod-b", node_name="b", pod_ip="10.0.0.7"),
    }
    return Target(key=key, **(fields | changes))


@dataclass(frozen=True)
class Asked:
    target: Target
    propagation: dict[str, str]


@dataclass
class Script:
    """What the next exchanges do. Without ``raises`` an answer comes."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    measurement: Measurement = _GOOD
    offsets: dict[str, float] = field(default_factory=lambda: dict(OFFSETS))
    failure: Failure | None = None
    raises: type[Exception] | None = None
    sub_spans: int = 2
    before: Callable[[Asked], Any] | None = None
    """Awaited in the middle of the exchange."""


class ScriptedProber:
    """In the place of probe.Prober: returns what the script says, and asks nobody."""

    def __init__(self, provider: api.TracerProvider) -> None:
        self.script = Script()
        self.asked: list[Asked] = []
        self._tracer = provider.get_tracer("scripted prober")

    async def probe(self, target: Target, *, propagation: Iterable[tuple[bytes, bytes]]) -> Probed:
        script = self.script
        headers = {name.decode(): value.decode() for name, value in propagation}
        self.asked.append(Asked(target, headers))
        for _ in range(script.sub_spans):
            self._tracer.start_span(semconv.SPAN_SOCKET_CONNECT).end()
        if script.before is not None:
            await script.before(self.asked[-1])
        if script.raises is not None:
            raise script.raises(f"cannot reach {target.url}")
        now = read_clocks()
        marks = Marks(started=now, ended=now)
        reply = Reply(
            script.status,
            b"HTTP/1.1",
            [(name.lower().encode(), value.encode()) for name, value in script.headers.items()],
            reusable=False,
        )
        return Probed(
            target=target,
            measurement=script.measurement,
            failure=script.failure,
            reply=None if script.failure else reply,
            marks=marks,
            timeline=replace(
                phases.measure(marks),
                offsets=tuple(script.offsets.items()),
                event_times_ns=(now.monotonic_ns,) * len(script.offsets),
            ),
        )


class MeterRecorder:
    """Real SDK instruments of semconv.METRICS, read back as plain dictionaries."""

    def __init__(self, *readers: MetricReader) -> None:
        self._reader = InMemoryMetricReader()
        self._provider = MeterProvider(
            [self._reader, *readers],
            exemplar_filter=TraceBasedExemplarFilter(),
            shutdown_on_exit=False,
            resource=Resource.get_empty(),
        )
        meter = self._provider.get_meter("tests")
        self._exemplars: defaultdict[str, set[tuple[int, int]]] = defaultdict(set)
        self._counters = {
            metric.name: meter.create_counter(metric.name, metric.unit, metric.help)
            for metric in semconv.METRICS
            if metric.kind is semconv.MetricKind.COUNTER
        }
        self._histograms = {
            metric.name: meter.create_histogram(
                metric.name,
                metric.unit,
                metric.help,
                explicit_bucket_boundaries_advisory=metric.bounds,
            )
            for metric in semconv.METRICS
            if metric.kind is semconv.MetricKind.HISTOGRAM
        }

    def add(
        self,
        metric: semconv.Metric,
        value: float,
        attributes: Mapping[str, str],
        context: Context | None = None,
    ) -> None:
        self._counters[metric.name].add(value, attributes, context or _NO_SPAN)

    def record(
        self,
        metric: semconv.Metric,
        value: float,
        attributes: Mapping[str, str],
        context: Context | None = None,
    ) -> None:
        self._histograms[metric.name].record(value, attributes, context or _NO_SPAN)

    def observe(self, observations: Iterable[semconv.Observation], context: Context | None) -> None:
        for metric, value, label_values in observations:
            of_counter = metric.kind is semconv.MetricKind.COUNTER
            labels = dict(zip(metric.labels, label_values, strict=True))
            (self.add if of_counter else self.record)(metric, value, labels, context)

    def points(self, metric: semconv.Metric) -> dict[tuple[str, ...], Any]:
        """Label values in the metric's order -> (count, sum) of a histogram, value of a counter."""
        return {
            labels: (point.count, point.sum) if hasattr(point, "count") else point.value
            for labels, point in self.all_points()[metric.name]
        }

    def names(self) -> set[str]:
        return {metric.name for metric in semconv.METRICS if self.points(metric)}

    def exemplar_span_ids(self, metric: semconv.Metric) -> set[tuple[int, int]]:
        self.all_points()
        return self._exemplars[metric.name]

    def all_points(self) -> defaultdict[str, list[tuple[tuple[str, ...], Any]]]:
        """By a metric's name, each point of the SDK's with its label values in our order."""
        data = self._reader.get_metrics_data()
        found = defaultdict(list)
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for made in scope.metrics:
                    for point in made.data.data_points:
                        self._exemplars[made.name] |= {
                            (exemplar.trace_id, exemplar.span_id) for exemplar in point.exemplars
                        }
                        metric = _BY_NAME[made.name]
                        assert set(point.attributes) == set(metric.labels)
                        labels = tuple(point.attributes[label] for label in metric.labels)
                        found[made.name].append((labels, point))
        return found

    def shutdown(self) -> None:
        self._provider.shutdown()


_BY_NAME = {metric.name: metric for metric in semconv.METRICS}

# An empty context is false, which the SDK takes for "the current one".
_NO_SPAN = set_span_in_context(INVALID_SPAN)


@dataclass
class Queue:
    """In the place of telemetry's queue of traces: takes whole traces, or refuses them."""

    traces: list[list[ReadableSpan]] = field(default_factory=list)
    full: bool = False

    def offer(self, spans: Any) -> bool:
        if not self.full:
            self.traces.append(list(spans))
        return not self.full

    def roots(self) -> list[ReadableSpan]:
        return [spans[-1] for spans in self.traces]

    def reasons(self) -> list[Any]:
        return [(root.attributes or {})[semconv.KEPT] for root in self.roots()]


def provider(*processors: SpanProcessor, ratio: float = 0.0, **changes: Any) -> TracerProvider:
    unlimited = SpanLimits(
        max_attributes=SpanLimits.UNSET,
        max_events=SpanLimits.UNSET,
        max_links=SpanLimits.UNSET,
    )
    settings: dict[str, Any] = {"sampler": CheckSampler(ratio), "span_limits": unlimited}
    made = TracerProvider(shutdown_on_exit=False, **(settings | changes))
    for processor in processors:
        made.add_span_processor(processor)
    return made


def check_provider(processor: SpanProcessor, *, ratio: float = 0.0) -> CheckTracerProvider:
    """As the app makes it for its checks."""
    return CheckTracerProvider(
        sampler=CheckSampler(ratio), processor=processor, resource=Resource.get_empty()
    )


def checker(tracer_provider: api.TracerProvider) -> tuple[Checker, ScriptedProber]:
    prober = ScriptedProber(tracer_provider)
    made = Checker(InstrumentedProber(prober, tracer_provider), tracer_provider.get_tracer("tests"))
    return made, prober
