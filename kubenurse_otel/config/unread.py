"""Variables that may be set but that the agent does not read: what the log says about each.

Owns OpenTelemetry's refused and ignored ones, Kubernetes' service links, and typing errors. Their
values are never repeated: they may be secrets.
"""

from __future__ import annotations

from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from kubenurse_otel.config.environment import is_service_link
from kubenurse_otel.config.reader import Reader, Setting, Source
from kubenurse_otel.config.settings import BY_NAME
from kubenurse_otel.record import record
from kubenurse_otel.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping


class Use(StrEnum):
    """What becomes of a variable that is set."""

    REFUSED = "refused"
    """It would break what the agent promises: overridden, and said once in the log."""
    IGNORED = "ignored"
    """It concerns something that the agent does not have."""


@record(frozen=True, slots=True)
class Unread:
    """A variable that OpenTelemetry defines and the agent does not follow; * stands for any text.

    ``harmless`` are values that ask for what the agent does anyway. They are not logged.
    """

    name: str
    use: Use
    help: str
    harmless: frozenset[str] = frozenset()


_FEW_LOGS: Final = "Log records are few and short: they leave within a second, and none is cut."
_NO_LINKS: Final = "Our spans have no links."
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
    Unread("OTEL_BLRP_SCHEDULE_DELAY", Use.IGNORED, _FEW_LOGS),
    Unread("OTEL_BLRP_EXPORT_TIMEOUT", Use.IGNORED, _FEW_LOGS),
    Unread("OTEL_BLRP_MAX_QUEUE_SIZE", Use.IGNORED, _FEW_LOGS),
    Unread("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", Use.IGNORED, _FEW_LOGS),
    Unread("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", Use.IGNORED, _FEW_LOGS),
    Unread("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", Use.IGNORED, _FEW_LOGS),
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


_KUBENURSE = "KUBENURSE_"
_OTEL = "OTEL_"


def report_unread(
    reader: Reader, environ: Mapping[str, str], *, without_opentelemetry: bool = False
) -> None:
    """Add a setting for each, a warning where something has no effect.

    ``without_opentelemetry``: the SDK is disabled, and OTEL_* are not even looked at.
    """
    prefixes = (_KUBENURSE,) if without_opentelemetry else (_KUBENURSE, _OTEL)
    for name, text in sorted(environ.items()):
        if not name.startswith(prefixes) or name in BY_NAME or not text.strip():
            continue
        if is_service_link(name, text.strip()):
            note = "set by Kubernetes for a Service"
        elif row := next((row for row in UNREAD if fnmatchcase(name, row.name)), None):
            note = row.help
            if row.use is Use.REFUSED and text.strip().lower() not in row.harmless:
                reader.warn(f"{name}: overridden. {row.help}")
        else:
            note = "not known"
            import difflib  # noqa: PLC0415 - most have all right

            nearest = difflib.get_close_matches(name, BY_NAME, n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else ""
            reader.warn(f"{printable(name, 100)}: not known, and without effect{hint}")
        reader.settings[name] = Setting(
            name=printable(name, 100), value="***", source=Source.IGNORED, note=note
        )
