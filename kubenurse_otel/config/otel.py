"""The table of OTEL_* variables: each is used, refused or ignored, and the reference says which.

After the OpenTelemetry specification 1.5x (sdk-environment-variables.md, protocol/exporter.md,
resource/sdk.md) and opentelemetry-python 1.45's own. Times are whole milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from kubenurse_otel.config.lists import HEADERS, RESOURCE_ATTRIBUTES, hidden_headers
from kubenurse_otel.config.settings import OtlpProtocol, Temporality
from kubenurse_otel.config.urls import hidden
from kubenurse_otel.config.values import (
    MAX_MILLISECONDS,
    MILLISECONDS,
    OTEL_BOOLEAN,
    RATIO,
    READABLE_FILE,
    TIMEOUT,
    Invalid,
    Parser,
    comma_list,
    integer,
    one_of,
    printable,
    word,
)
from kubenurse_otel.config.variable import Origin, Unread, Use, Variable

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
    "No traces and no OTLP. Checks, /alive and the scrape go on.",
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
        if not names <= set(known) or ("none" in names and len(names) > 1):
            raise Invalid
        return names - {"none"}

    return Parser(parse, f"{', '.join(known[:-1])} or {known[-1]}, or several with commas between")


METRICS_EXPORTER: Final = _otel(
    "OTEL_METRICS_EXPORTER",
    _exporters("prometheus", "otlp", "both", "console", "none"),
    "prometheus",
    "How metrics leave: /metrics, OTLP, both, standard output, or not at all.",
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
    certificate: Variable[object]
    client_key: Variable[object]
    client_certificate: Variable[object]
