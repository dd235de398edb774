"""Which signals are exported, how, how often, and with which resource.

OTEL_* after the OpenTelemetry specification 1.5x (sdk-environment-variables.md, resource/sdk.md)
and opentelemetry-python 1.45's own; how they and ours act together is decided here, too.
"""

from __future__ import annotations

from dataclasses import field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from kubenurse_otel.config.lists import BUCKETS, RESOURCE_ATTRIBUTES
from kubenurse_otel.config.otlp import (
    OTLP,
    OTLP_LOGS,
    OTLP_METRICS,
    OTLP_TRACES,
    OtlpConfig,
    read_otlp,
)
from kubenurse_otel.config.sampling import SAMPLER, SAMPLER_ARG, TRACE_RATIO, read_sampling
from kubenurse_otel.config.span_limits import SpanLimitsConfig
from kubenurse_otel.config.values import (
    BOOLEAN,
    INT32_MAX,
    MILLISECONDS,
    OTEL_BOOLEAN,
    TIMEOUT,
    InvalidTextError,
    Parser,
    comma_list,
    duration,
    integer,
    one_of,
    printable,
    word,
)
from kubenurse_otel.config.variable import Origin, Variable, filled_by, variable
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from kubenurse_otel.config.reader import Reader


class MetricsChoice(StrEnum):
    BOTH = "both"
    KUBENURSE = "kubenurse"
    OWN = "own"


class Temporality(StrEnum):
    CUMULATIVE = "cumulative"
    DELTA = "delta"
    LOW_MEMORY = "lowmemory"


# --- what fills more than one field, or acts on others ------------------------------------------

_SDK_DISABLED: Final = Variable(
    "OTEL_SDK_DISABLED",
    OTEL_BOOLEAN,
    "false",
    "No traces and no OTLP, and no other OTEL_* is looked at. Checks, /alive and the scrape go on.",
    example="true",
)
_SERVICE_NAME: Final = Variable(
    "OTEL_SERVICE_NAME",
    printable(255),
    None,
    "service.name; wins over OTEL_RESOURCE_ATTRIBUTES.",
    absent="kubenurse-otel",
    example="kubenurse-edge",
)
_RESOURCE: Final = Variable(
    "OTEL_RESOURCE_ATTRIBUTES",
    RESOURCE_ATTRIBUTES,
    None,
    "Resource attributes; they win over ours.",
    absent="ours: service.*, k8s.*",
    example="deployment.environment.name=production,team=network",
)


def _resource(
    name: str | None, attributes: tuple[tuple[str, str], ...] | None
) -> tuple[tuple[str, str], ...]:
    return tuple((dict(attributes or ()) | ({"service.name": name} if name else {})).items())


def _exporters(*known: str) -> Parser[frozenset[str]]:
    def parse(text: str) -> frozenset[str]:
        names = frozenset(
            exporter
            for item in comma_list(text.lower())
            for exporter in (("otlp", "prometheus") if item == "both" in known else (item,))
        )
        some = (names & set(known)) - {"none"}
        if names in ({"none"}, some):
            return some
        raise InvalidTextError(known=some or None)

    return Parser(parse, f"{', '.join(known[:-1])} or {known[-1]}, or several with commas between")


_METRICS_EXPORTER: Final = Variable(
    "OTEL_METRICS_EXPORTER",
    _exporters("prometheus", "otlp", "both", "console", "none"),
    "prometheus",
    "How metrics leave: /metrics (else 404), OTLP, both, standard output, or not at all.",
    example="prometheus,otlp",
)
_TRACES_EXPORTER: Final = Variable(
    "OTEL_TRACES_EXPORTER",
    _exporters("otlp", "console", "none"),
    None,
    "How traces leave.",
    absent="otlp if an OTLP endpoint for traces is set, else none",
    example="console",
)
_LOGS_EXPORTER: Final = Variable(
    "OTEL_LOGS_EXPORTER",
    _exporters("otlp", "console", "none"),
    "none",
    "How verdicts leave as log records, the events kubenurse.verdict. The agent's own log lines go "
    "to standard error in any case.",
    example="otlp",
)


@record(frozen=True, slots=True, kw_only=True)
class TelemetryConfig:
    """Which telemetry there is, how long it is kept, and who gets it. Times are in seconds. If an
    ``otlp_*`` is None, that signal is not sent.
    """

    metrics: MetricsChoice = variable(
        "KUBENURSE_METRICS",
        one_of(MetricsChoice),
        "both",
        "Which metrics there are: kubenurse's five, our own, or both.",
        example="kubenurse",
    )
    histogram_buckets: tuple[float, ...] = variable(
        "KUBENURSE_HISTOGRAM_BUCKETS",
        BUCKETS,
        None,
        "Bounds of the kubenurse_httpclient_* histograms.",
        otherwise=(),
        kubenurse=True,
        absent=".005,.01,.025,.05,.1,.25,.5,1,2.5,5,10",
        example=".0005,.001,.01,.1,1",
    )
    """Empty: semconv.DEFAULT_BOUNDS. Whole numbers are ints."""
    victoriametrics_histogram: bool = variable(
        "KUBENURSE_VICTORIAMETRICS_HISTOGRAM",
        BOOLEAN,
        "false",
        "kubenurse_httpclient_* with VictoriaMetrics' vmrange buckets in place of le. Excludes "
        "KUBENURSE_HISTOGRAM_BUCKETS.",
        kubenurse=True,
        example="true",
        lenient=True,
    )
    expose_metadata: bool = variable(
        "KUBENURSE_EXPOSE_METADATA",
        BOOLEAN,
        "true",
        "HELP and TYPE in /metrics (kubenurse's default is false).",
        kubenurse=True,
        example="false",
        lenient=True,
    )
    series_ttl_seconds: float = variable(
        "KUBENURSE_SERIES_TTL",
        duration("1ms", "8760h"),
        "10m",
        "A series is removed if it was not updated for so long and has no current target.",
        example="1h",
    )
    sdk_disabled: bool = filled_by(_SDK_DISABLED, make=bool)
    resource_attributes: tuple[tuple[str, str], ...] = filled_by(
        _SERVICE_NAME, _RESOURCE, make=_resource
    )
    """As the user gave them. They override ours."""
    prometheus: bool = filled_by(_METRICS_EXPORTER, make=lambda names: "prometheus" in names)
    """Whether /metrics is served."""
    console_metrics: bool = filled_by(_METRICS_EXPORTER, make=lambda names: "console" in names)
    console_traces: bool = filled_by(_TRACES_EXPORTER, make=bool)
    console_logs: bool = filled_by(_LOGS_EXPORTER, make=lambda names: "console" in names)
    trace_ratio: float = filled_by(TRACE_RATIO, SAMPLER, SAMPLER_ARG, make=lambda ratio, *_: ratio)
    trace_max_per_minute: int = variable(
        "KUBENURSE_TRACE_MAX_PER_MINUTE",
        integer(0, 1_000_000),
        "60",
        "Most traces per minute that are kept beside the ratio (failed, slow, changed, ...).",
        example="600",
    )
    slow_threshold_seconds: float = variable(
        "KUBENURSE_SLOW_THRESHOLD",
        duration("1us"),
        "1s",
        "A check or an answer of ours that takes longer is slow: its trace is kept.",
        example="250ms",
    )
    otlp_traces: OtlpConfig | None = filled_by(
        _TRACES_EXPORTER, *OTLP, *OTLP_TRACES, make=lambda *_: None
    )
    otlp_metrics: OtlpConfig | None = filled_by(
        _METRICS_EXPORTER, *OTLP, *OTLP_METRICS, make=lambda *_: None
    )
    otlp_logs: OtlpConfig | None = filled_by(
        _LOGS_EXPORTER, *OTLP, *OTLP_LOGS, make=lambda *_: None
    )
    temporality: Temporality = variable(
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        one_of(Temporality),
        "cumulative",
        "Whether OTLP metrics are sums since the start or since the last export, which Prometheus'"
        " receiver refuses (500) and VictoriaMetrics' misreads: a warning.",
        example="delta",
    )
    bsp_queue_size: int = variable(
        "OTEL_BSP_MAX_QUEUE_SIZE",
        integer(1, INT32_MAX),
        "512",
        "Most spans that wait for their export (about 6 KB each). The specification's default is "
        "2048.",
        example="2048",
    )
    bsp_batch_size: int = variable(
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        integer(1, INT32_MAX),
        "64",
        "Spans in one export, at most the queue's size. The specification's default is 512.",
        example="128",
    )
    bsp_delay_seconds: float = variable(
        "OTEL_BSP_SCHEDULE_DELAY",
        MILLISECONDS,
        "5000",
        "Time between two exports of spans, in milliseconds.",
        example="1000",
    )
    metric_interval_seconds: float = variable(
        "OTEL_METRIC_EXPORT_INTERVAL",
        MILLISECONDS,
        "60000",
        "Time between two exports of metrics over OTLP or to standard output, in milliseconds.",
        example="10000",
    )
    metric_timeout_seconds: float = variable(
        "OTEL_METRIC_EXPORT_TIMEOUT",
        TIMEOUT,
        "30000",
        "Time for one export of metrics with its retries, in milliseconds.",
        example="5000",
    )
    exemplars: bool = variable(
        "OTEL_METRICS_EXEMPLAR_FILTER",
        word("trace_based", "always_on", "always_off").to("always_off".__ne__),
        "trace_based",
        "always_off: no exemplars. always_on is trace_based here: only kept traces are exemplars.",
        example="always_off",
    )
    span_limits: SpanLimitsConfig = field(default_factory=SpanLimitsConfig)


# --- reading, and judging together --------------------------------------------------------------


def read_telemetry(reader: Reader) -> TelemetryConfig:
    """Read and judge every variable, including those of signals that are off. If the SDK is
    disabled, of OpenTelemetry's variables only the one that disables it is read.
    """
    disabled = reader.required(_SDK_DISABLED)
    if disabled:
        reader.disregard(Origin.OPENTELEMETRY, f"{_SDK_DISABLED.name} is true")
    metrics = reader.required(_METRICS_EXPORTER)
    logs = reader.required(_LOGS_EXPORTER)
    ratio, exports_traces = read_sampling(reader)
    otlp_traces, traces_endpoint = read_otlp(reader, "traces")
    otlp_metrics, metrics_endpoint = read_otlp(reader, "metrics")
    otlp_logs, logs_endpoint = read_otlp(reader, "logs")
    traces = _trace_exporters(reader, with_endpoint=traces_endpoint)
    if not exports_traces:
        traces = frozenset()
    for signal, otlp, exporters, is_set in (
        ("TRACES", otlp_traces, traces, traces_endpoint),
        ("METRICS", otlp_metrics, metrics, metrics_endpoint),
        ("LOGS", otlp_logs, logs, logs_endpoint),
    ):
        name = f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"
        if "otlp" in exporters and not (is_set and reader.is_set(name)):
            reader.derived(name, otlp.endpoint, "what is exported to")
    telemetry = reader.record(
        TelemetryConfig,
        sdk_disabled=disabled,
        trace_ratio=ratio,
        console_traces="console" in traces,
        otlp_traces=otlp_traces if "otlp" in traces else None,
        otlp_metrics=otlp_metrics if "otlp" in metrics else None,
        otlp_logs=otlp_logs if "otlp" in logs else None,
    )
    if telemetry.histogram_buckets and telemetry.victoriametrics_histogram:
        reader.problem(
            "KUBENURSE_HISTOGRAM_BUCKETS",
            "nothing while KUBENURSE_VICTORIAMETRICS_HISTOGRAM is true: one excludes the other",
        )
    if telemetry.otlp_metrics and telemetry.temporality is not Temporality.CUMULATIVE:
        _warn_of_deltas(reader, telemetry.temporality, telemetry.otlp_metrics.endpoint)
    return _batches(reader, telemetry)


def _trace_exporters(reader: Reader, *, with_endpoint: bool) -> frozenset[str]:
    chosen = reader.optional(_TRACES_EXPORTER)
    if chosen is not None:
        return chosen
    reader.derived(
        _TRACES_EXPORTER.name,
        "otlp" if with_endpoint else "none",
        f"{'an' if with_endpoint else 'no'} OTLP endpoint for traces is set",
    )
    return frozenset({"otlp"}) if with_endpoint else frozenset()


def _batches(reader: Reader, telemetry: TelemetryConfig) -> TelemetryConfig:
    """Read the sizes of batches. A batch is at most the whole queue."""
    queue, name = telemetry.bsp_queue_size, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
    if telemetry.bsp_batch_size <= queue:
        return telemetry
    wants = "at most OTEL_BSP_MAX_QUEUE_SIZE"
    if reader.is_set(name):
        reader.problem(name, wants, taken=f"taken as that, {queue}")
    else:
        reader.derived(name, str(queue), wants)
    return replace(telemetry, bsp_batch_size=queue)


_WITHOUT_DELTAS: Final = {
    "/api/v1/otlp/": "Prometheus answers 500 and keeps gauges alone"
    " (unless it runs with --enable-feature=otlp-deltatocumulative)",
    "/opentelemetry/": "VictoriaMetrics keeps deltas as if they were sums",
}
"""By a part of the receiver's path: what that store does with deltas."""


def _warn_of_deltas(reader: Reader, temporality: Temporality, endpoint: str) -> None:
    """Warn of deltas: a store that reads sums either refuses them or holds nonsense."""
    path = urlsplit(endpoint).path
    said = [what for part, what in _WITHOUT_DELTAS.items() if part in path]
    reader.warn(
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: rules and dashboards read sums since"
        f" the start, and not those since the last export of '{temporality}'"
        + (
            f"; {said[0]}: take 'cumulative'"
            if said
            else "; a collector's deltatocumulative processor makes sums of them"
        )
    )
