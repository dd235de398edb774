"""The table of OTEL_* variables: each is used, refused or ignored, and the reference says which.

After the OpenTelemetry specification 1.5x (sdk-environment-variables.md, protocol/exporter.md,
resource/sdk.md) and opentelemetry-python 1.45's own. Times are whole milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final, TypeVar

from kubenurse_otel.config.lists import HEADERS, RESOURCE_ATTRIBUTES, hidden_headers
from kubenurse_otel.config.settings import OtlpProtocol, Temporality
from kubenurse_otel.config.urls import hidden
from kubenurse_otel.config.values import (
    MAX_MILLISECONDS,
    MILLISECONDS,
    OTEL_BOOLEAN,
    PATH,
    RATIO,
    TIMEOUT,
    InvalidTextError,
    Parser,
    comma_list,
    integer,
    one_of,
    printable,
    word,
)
from kubenurse_otel.config.variable import Origin, Unread, Use, Variable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

_COUNT: Final = integer(0, MAX_MILLISECONDS)
_POSITIVE: Final = integer(1, MAX_MILLISECONDS)


def _otel(
    name: str,
    parser: Parser[T],
    default: str | None,
    text: str,
    lands: str,
    *,
    absent: str = "",
    example: str = "",
    hidden: Callable[[str], str] | None = None,
) -> Variable[T]:
    return Variable(
        name,
        parser,
        default,
        text,
        lands,
        Origin.OPENTELEMETRY,
        absent=absent,
        example=example,
        hidden=hidden,
    )


# --- general ------------------------------------------------------------------------------------

SDK_DISABLED: Final = _otel(
    "OTEL_SDK_DISABLED",
    OTEL_BOOLEAN,
    "false",
    "No traces and no OTLP, and no other OTEL_* is looked at. Checks, /alive and the scrape go on.",
    "telemetry.sdk_disabled",
    example="true",
)
SERVICE_NAME: Final = _otel(
    "OTEL_SERVICE_NAME",
    printable(255),
    None,
    "service.name; wins over OTEL_RESOURCE_ATTRIBUTES.",
    "telemetry.resource_attributes",
    absent="kubenurse-otel",
    example="kubenurse-edge",
)
RESOURCE: Final = _otel(
    "OTEL_RESOURCE_ATTRIBUTES",
    RESOURCE_ATTRIBUTES,
    None,
    "Resource attributes; they win over ours.",
    "telemetry.resource_attributes",
    absent="ours: service.*, k8s.*",
    example="deployment.environment.name=production,team=network",
)


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


METRICS_EXPORTER: Final = _otel(
    "OTEL_METRICS_EXPORTER",
    _exporters("prometheus", "otlp", "both", "console", "none"),
    "prometheus",
    "How metrics leave: /metrics (else 404), OTLP, both, standard output, or not at all.",
    "telemetry.prometheus, telemetry.otlp_metrics, telemetry.console_metrics",
    example="prometheus,otlp",
)
TRACES_EXPORTER: Final = _otel(
    "OTEL_TRACES_EXPORTER",
    _exporters("otlp", "console", "none"),
    None,
    "How traces leave.",
    "telemetry.otlp_traces, telemetry.console_traces",
    absent="otlp if an OTLP endpoint for traces is set, else none",
    example="console",
)

# --- sampling -----------------------------------------------------------------------------------

SAMPLER: Final = _otel(
    "OTEL_TRACES_SAMPLER",
    word(
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    ),
    None,
    "always_on is KUBENURSE_TRACE_RATIO=1; always_off exports no trace at all; traceidratio is the "
    "ratio in OTEL_TRACES_SAMPLER_ARG. A check has no parent, so parentbased_ changes nothing. "
    "KUBENURSE_TRACE_RATIO wins. Metrics never depend on it.",
    "telemetry.trace_ratio",
    absent="KUBENURSE_TRACE_RATIO",
    example="always_on",
)
SAMPLER_ARG: Final = _otel(
    "OTEL_TRACES_SAMPLER_ARG",
    RATIO,
    "1",
    "The ratio; read only with OTEL_TRACES_SAMPLER=traceidratio or parentbased_traceidratio.",
    "telemetry.trace_ratio",
    example="0.25",
)

# --- OTLP ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OtlpVariables:
    """OTEL_EXPORTER_OTLP_* of all signals or of one; a signal's own wins over the common one."""

    endpoint: Variable[str]
    protocol: Variable[OtlpProtocol]
    insecure: Variable[bool]
    headers: Variable[tuple[tuple[str, str], ...]]
    compression: Variable[str]
    timeout: Variable[float]
    certificate: Variable[Path]
    client_key: Variable[Path]
    client_certificate: Variable[Path]


def _endpoint(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text or len(text) > 2000:
        raise InvalidTextError
    return text


ENDPOINT: Final = Parser(_endpoint, "a URL such as http://collector:4318 (grpc also host:4317)")


def _otlp(signal: str) -> OtlpVariables:
    """``signal``: "" for the common ones, else TRACES or METRICS."""
    prefix = f"OTEL_EXPORTER_OTLP_{signal}_" if signal else "OTEL_EXPORTER_OTLP_"
    lands = f"telemetry.otlp_{signal.lower()}"
    lands = lands if signal else "telemetry.otlp_traces, telemetry.otlp_metrics"

    def variable(
        name: str,
        parser: Parser[T],
        default: str | None,
        text: str,
        example: str,
        *,
        absent: str = "none",
        hidden: Callable[[str], str] | None = None,
    ) -> Variable[T]:
        if signal:
            default, absent = None, f"OTEL_EXPORTER_OTLP_{name}"
            text = f"{text.partition('. ')[0].rstrip('.')}, for {signal.lower()}."
        return _otel(
            prefix + name,
            parser,
            default,
            text,
            lands,
            absent=absent,
            example=example,
            hidden=hidden,
        )

    return OtlpVariables(
        endpoint=variable(
            "ENDPOINT",
            ENDPOINT,
            None,
            "Where the collector is, complete"
            if signal
            else "Where the collector is. http/protobuf: /v1/traces and /v1/metrics are appended. "
            "grpc: http:// is plain text, https:// is TLS, without a scheme _INSECURE says which.",
            "http://collector.example.com:4318",
            absent="where otlp is asked for by name: localhost, port 4318, with grpc 4317",
            hidden=hidden,
        ),
        protocol=variable(
            "PROTOCOL",
            one_of(OtlpProtocol),
            "http/protobuf",
            "How OTLP is spoken. http/json is not.",
            "grpc",
        ),
        insecure=variable(
            "INSECURE",
            OTEL_BOOLEAN,
            "false",
            "Plain text to a grpc endpoint without a scheme.",
            "true",
        ),
        headers=variable(
            "HEADERS",
            HEADERS,
            None,
            "Sent with each export, such as authorization=Bearer%20... Never shown or logged.",
            "authorization=Bearer%20example",
            hidden=hidden_headers,
        ),
        compression=variable(
            "COMPRESSION", word("gzip", "none"), "none", "Whether exports are compressed.", "gzip"
        ),
        timeout=variable(
            "TIMEOUT",
            TIMEOUT,
            "3000",
            "Time for one export, in milliseconds. The specification's default is 10000. Below 100"
            " there is a warning: OpenTelemetry Python reads seconds.",
            "5000",
        ),
        certificate=variable(
            "CERTIFICATE",
            PATH,
            None,
            "PEM file of the authorities that vouch for the collector.",
            "/etc/otel/ca.pem",
            absent="the system's authorities",
        ),
        client_key=variable(
            "CLIENT_KEY",
            PATH,
            None,
            "PEM file of our key for mutual TLS.",
            "/etc/otel/tls.key",
        ),
        client_certificate=variable(
            "CLIENT_CERTIFICATE",
            PATH,
            None,
            "PEM file of our certificate for mutual TLS.",
            "/etc/otel/tls.crt",
        ),
    )


OTLP: Final = _otlp("")
OTLP_TRACES: Final = _otlp("TRACES")
OTLP_METRICS: Final = _otlp("METRICS")

TEMPORALITY: Final = _otel(
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
    one_of(Temporality),
    "cumulative",
    "Whether OTLP metrics are sums since the start or since the last export, which Prometheus'"
    " receiver refuses (500) and VictoriaMetrics' misreads: a warning.",
    "telemetry.temporality",
    example="delta",
)

# --- batches and intervals ----------------------------------------------------------------------

BSP_QUEUE: Final = _otel(
    "OTEL_BSP_MAX_QUEUE_SIZE",
    _POSITIVE,
    "512",
    "Most spans that wait for their export (about 6 KB each). The specification's default is 2048.",
    "telemetry.bsp_queue_size",
    example="2048",
)
BSP_BATCH: Final = _otel(
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    _POSITIVE,
    "64",
    "Spans in one export, at most the queue's size. The specification's default is 512.",
    "telemetry.bsp_batch_size",
    example="128",
)
BSP_DELAY: Final = _otel(
    "OTEL_BSP_SCHEDULE_DELAY",
    MILLISECONDS,
    "5000",
    "Time between two exports of spans, in milliseconds.",
    "telemetry.bsp_delay_seconds",
    example="1000",
)
METRIC_INTERVAL: Final = _otel(
    "OTEL_METRIC_EXPORT_INTERVAL",
    MILLISECONDS,
    "60000",
    "Time between two exports of metrics over OTLP or to standard output, in milliseconds.",
    "telemetry.metric_interval_seconds",
    example="10000",
)
METRIC_TIMEOUT: Final = _otel(
    "OTEL_METRIC_EXPORT_TIMEOUT",
    TIMEOUT,
    "30000",
    "Time for one export of metrics with its retries, in milliseconds.",
    "telemetry.metric_timeout_seconds",
    example="5000",
)
EXEMPLAR_FILTER: Final = _otel(
    "OTEL_METRICS_EXEMPLAR_FILTER",
    word("trace_based", "always_on", "always_off"),
    "trace_based",
    "always_off: no exemplars. always_on is trace_based here: only kept traces are exemplars.",
    "telemetry.exemplars",
    example="always_off",
)

# --- limits: applied to what is exported, never to what metrics are made from -------------------


def _limit(
    name: str, default: str | None, what: str, field: str, absent: str = ""
) -> Variable[int]:
    return _otel(
        name,
        _COUNT,
        default,
        f"Most {what}. Applied to exported spans only.",
        ", ".join(f"telemetry.span_limits.{part}" for part in field.split()),
        absent=absent,
        example="16",
    )


ATTRIBUTE_COUNT: Final = _limit(
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "128",
    "attributes of a span or an event",
    "attribute_count event_attribute_count",
)
ATTRIBUTE_LENGTH: Final = _limit(
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    None,
    "characters of an attribute's value",
    "attribute_value_length",
    "no limit",
)
SPAN_ATTRIBUTE_COUNT: Final = _limit(
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    None,
    "attributes of a span",
    "attribute_count",
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
)
SPAN_ATTRIBUTE_LENGTH: Final = _limit(
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    None,
    "characters of a span attribute's value",
    "attribute_value_length",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
)
SPAN_EVENT_COUNT: Final = _limit(
    "OTEL_SPAN_EVENT_COUNT_LIMIT", "128", "events of a span", "event_count"
)
EVENT_ATTRIBUTE_COUNT: Final = _limit(
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    None,
    "attributes of an event",
    "event_attribute_count",
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
)

# --- refused and ignored ------------------------------------------------------------------------

_NO_LOGS: Final = "There is no logs signal; logs go to standard error."
_NO_LINKS: Final = "Our spans have no links."


def _names_of(variables: OtlpVariables) -> tuple[str, ...]:
    return tuple(getattr(variables, part.name).name for part in fields(variables))


_FIXED: Final = "Captured headers could hold secrets and would widen our spans."

UNREAD: Final = (
    Unread(
        "OTEL_CONFIG_FILE",
        Use.REFUSED,
        "The agent is configured by variables, not by a declarative configuration.",
    ),
    Unread(
        "OTEL_EXPERIMENTAL_CONFIG_FILE",
        Use.REFUSED,
        "As OTEL_CONFIG_FILE.",
    ),
    Unread(
        "OTEL_PROPAGATORS",
        Use.REFUSED,
        "traceparent alone is sent, to neighbours, Service and ingress; never baggage.",
        harmless=frozenset({"tracecontext"}),
    ),
    Unread(
        "OTEL_SEMCONV_STABILITY_OPT_IN",
        Use.REFUSED,
        "Spans follow the stable HTTP conventions (http), always.",
        harmless=frozenset({"http"}),
    ),
    Unread(
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        Use.REFUSED,
        "Histograms have the bounds that docs/metrics.md gives.",
        harmless=frozenset({"explicit_bucket_histogram"}),
    ),
    Unread(
        "OTEL_EXPORTER_PROMETHEUS_HOST",
        Use.REFUSED,
        "/metrics is on KUBENURSE_LISTEN_ADDRESS.",
    ),
    Unread(
        "OTEL_EXPORTER_PROMETHEUS_PORT",
        Use.REFUSED,
        "/metrics is on KUBENURSE_ADMIN_PORT, else KUBENURSE_PORT.",
    ),
    Unread(
        "OTEL_PYTHON_EXCLUDED_URLS",
        Use.REFUSED,
        "Metrics come from spans: no check may be without one.",
    ),
    Unread("OTEL_PYTHON_*_EXCLUDED_URLS", Use.REFUSED, "As OTEL_PYTHON_EXCLUDED_URLS."),
    Unread("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST", Use.REFUSED, _FIXED),
    Unread("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_RESPONSE", Use.REFUSED, _FIXED),
    Unread("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST", Use.REFUSED, _FIXED),
    Unread("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE", Use.REFUSED, _FIXED),
    Unread("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_*", Use.REFUSED, _FIXED),
    Unread(
        "OTEL_PYTHON_INSTRUMENTATION_HTTP_CAPTURE_ALL_METHODS",
        Use.IGNORED,
        "Checks use GET alone.",
    ),
    Unread(
        "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS",
        Use.IGNORED,
        "Checks use GET alone.",
    ),
    Unread("OTEL_LOG_LEVEL", Use.IGNORED, "KUBENURSE_LOG_LEVEL is for every logger."),
    Unread(
        "OTEL_BSP_EXPORT_TIMEOUT",
        Use.IGNORED,
        "OTEL_EXPORTER_OTLP_TIMEOUT bounds an export of spans.",
    ),
    Unread("OTEL_SPAN_LINK_COUNT_LIMIT", Use.IGNORED, _NO_LINKS),
    Unread("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", Use.IGNORED, _NO_LINKS),
    Unread("OTEL_LOGS_EXPORTER", Use.IGNORED, _NO_LOGS),
    Unread("OTEL_BLRP_SCHEDULE_DELAY", Use.IGNORED, _NO_LOGS),
    Unread("OTEL_BLRP_EXPORT_TIMEOUT", Use.IGNORED, _NO_LOGS),
    Unread("OTEL_BLRP_MAX_QUEUE_SIZE", Use.IGNORED, _NO_LOGS),
    Unread("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", Use.IGNORED, _NO_LOGS),
    Unread("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", Use.IGNORED, _NO_LOGS),
    Unread("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", Use.IGNORED, _NO_LOGS),
    *(
        Unread(name.replace("_METRICS_", "_LOGS_"), Use.IGNORED, _NO_LOGS)
        for name in _names_of(OTLP_METRICS)
    ),
    Unread("OTEL_EXPORTER_OTLP_PROFILES_*", Use.IGNORED, "There is no profiles signal."),
    Unread("OTEL_EXPORTER_OTLP_SPAN_INSECURE", Use.IGNORED, "Obsolete: ..._TRACES_INSECURE."),
    Unread("OTEL_EXPORTER_OTLP_METRIC_INSECURE", Use.IGNORED, "Obsolete: ..._METRICS_INSECURE."),
    Unread("OTEL_EXPORTER_ZIPKIN_ENDPOINT", Use.IGNORED, "There is no Zipkin exporter."),
    Unread("OTEL_EXPORTER_ZIPKIN_TIMEOUT", Use.IGNORED, "There is no Zipkin exporter."),
    Unread("OTEL_EXPORTER_ZIPKIN_PROTOCOL", Use.IGNORED, "There is no Zipkin exporter."),
    Unread("OTEL_EXPORTER_JAEGER_*", Use.IGNORED, "There is no Jaeger exporter; it takes OTLP."),
    Unread(
        "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS",
        Use.IGNORED,
        "The resource is what KUBENURSE_* and OTEL_RESOURCE_ATTRIBUTES say.",
    ),
    Unread("OTEL_ENTITIES", Use.IGNORED, "The resource has attributes, no entities."),
    Unread(
        "OTEL_PYTHON_*",
        Use.IGNORED,
        "Auto-instrumentation, plug-ins and experiments of opentelemetry-python.",
    ),
    Unread("OTEL_INSTRUMENTATION_*", Use.IGNORED, "Settings of instrumentation that is not here."),
    Unread(
        "OTEL_RESOURCE_ATTRIBUTES_*",
        Use.IGNORED,
        "Set by the OpenTelemetry operator as parts of OTEL_RESOURCE_ATTRIBUTES.",
    ),
    Unread("OTEL_POD_IP", Use.IGNORED, "Set by the OpenTelemetry operator."),
    Unread("OTEL_NODE_IP", Use.IGNORED, "Set by the OpenTelemetry operator."),
)
"""The first that matches a name counts."""
