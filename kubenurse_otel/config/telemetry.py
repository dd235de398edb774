"""From variables to TelemetryConfig: exporters, OTLP endpoints, sampling, limits.

Owns how OpenTelemetry's variables and ours act together; the tables say what each means alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from kubenurse_otel.config import otel
from kubenurse_otel.config import variables as v
from kubenurse_otel.config.settings import (
    OtlpConfig,
    OtlpProtocol,
    SpanLimitsConfig,
    TelemetryConfig,
)
from kubenurse_otel.config.urls import parse_url
from kubenurse_otel.config.values import HOST, PORT, InvalidTextError

if TYPE_CHECKING:
    from kubenurse_otel.config.otel import OtlpVariables
    from kubenurse_otel.config.reader import Reader
    from kubenurse_otel.config.variable import Variable

T = TypeVar("T")


def read_telemetry(reader: Reader) -> TelemetryConfig:
    """Every variable is read and judged, also of signals that are off."""
    disabled = reader.required(otel.SDK_DISABLED)
    metrics = reader.required(otel.METRICS_EXPORTER)
    traces = _trace_exporters(reader)
    ratio, exports_traces = _sampling(reader)
    otlp_traces = _otlp(reader, otel.OTLP_TRACES, "v1/traces")
    otlp_metrics = _otlp(reader, otel.OTLP_METRICS, "v1/metrics")
    queue, batch = _batches(reader)
    if disabled or not exports_traces:
        traces = frozenset()
    if disabled:
        metrics &= {"prometheus"}
    buckets = reader.optional(v.HISTOGRAM_BUCKETS)
    victoriametrics = reader.required(v.VICTORIAMETRICS_HISTOGRAM)
    if buckets and victoriametrics:
        reader.problem(
            v.HISTOGRAM_BUCKETS,
            f"nothing while {v.VICTORIAMETRICS_HISTOGRAM.name} is true: one excludes the other",
        )
    for variables, otlp in ((otel.OTLP_TRACES, otlp_traces), (otel.OTLP_METRICS, otlp_metrics)):
        exported = "otlp" in (traces if variables is otel.OTLP_TRACES else metrics)
        if otlp and exported and not reader.is_set(variables.endpoint):
            reader.derived(variables.endpoint, otlp.endpoint, "what is exported to")
    return TelemetryConfig(
        prometheus="prometheus" in metrics,
        otlp_metrics=otlp_metrics if "otlp" in metrics else None,
        otlp_traces=otlp_traces if "otlp" in traces else None,
        console_traces="console" in traces,
        console_metrics="console" in metrics,
        sdk_disabled=disabled,
        resource_attributes=_resource(reader),
        trace_ratio=ratio,
        trace_max_per_minute=reader.required(v.TRACE_MAX_PER_MINUTE),
        slow_threshold_seconds=reader.required(v.SLOW_THRESHOLD),
        bsp_queue_size=queue,
        bsp_batch_size=batch,
        bsp_delay_seconds=reader.required(otel.BSP_DELAY),
        metric_interval_seconds=reader.required(otel.METRIC_INTERVAL),
        metric_timeout_seconds=reader.required(otel.METRIC_TIMEOUT),
        temporality=reader.required(otel.TEMPORALITY),
        exemplars=reader.required(otel.EXEMPLAR_FILTER) != "always_off",
        span_limits=_span_limits(reader),
        metrics=reader.required(v.METRICS),
        histogram_buckets=buckets or (),
        victoriametrics_histogram=victoriametrics,
        expose_metadata=reader.required(v.EXPOSE_METADATA),
        series_ttl_seconds=reader.required(v.SERIES_TTL),
    )


def _trace_exporters(reader: Reader) -> frozenset[str]:
    chosen = reader.optional(otel.TRACES_EXPORTER)
    if chosen is not None:
        return chosen
    with_endpoint = reader.is_set(otel.OTLP.endpoint) or reader.is_set(otel.OTLP_TRACES.endpoint)
    reader.derived(
        otel.TRACES_EXPORTER,
        "otlp" if with_endpoint else "none",
        f"{'an' if with_endpoint else 'no'} OTLP endpoint for traces is set",
    )
    return frozenset({"otlp"}) if with_endpoint else frozenset()


def _sampling(reader: Reader) -> tuple[float, bool]:
    """The ratio, and whether any trace may be exported (always_off: none, whatever happened)."""
    ratio = reader.required(v.TRACE_RATIO)
    sampler = reader.optional(otel.SAMPLER)
    argument = reader.required(otel.SAMPLER_ARG)
    kind = (sampler or "").removeprefix("parentbased_")
    if kind != "traceidratio":
        reader.without_effect(otel.SAMPLER_ARG, f"read only with {otel.SAMPLER.name}=traceidratio")
    if sampler is None:
        return ratio, True
    if reader.is_set(v.TRACE_RATIO):
        reader.without_effect(otel.SAMPLER, f"{v.TRACE_RATIO.name} wins")
        reader.without_effect(otel.SAMPLER_ARG, f"{v.TRACE_RATIO.name} wins")
        return ratio, True
    ratio = {"always_on": 1.0, "always_off": 0.0}.get(kind, argument)
    reader.derived(v.TRACE_RATIO, f"{ratio:g}", f"from {otel.SAMPLER.name}")
    return ratio, kind != "always_off"


def _batches(reader: Reader) -> tuple[int, int]:
    queue = reader.required(otel.BSP_QUEUE)
    batch = reader.required(otel.BSP_BATCH)
    if batch > queue and reader.is_set(otel.BSP_BATCH):
        reader.problem(otel.BSP_BATCH, f"at most {otel.BSP_QUEUE.name}, which is {queue}")
    elif batch > queue:
        reader.derived(otel.BSP_BATCH, str(queue), f"at most {otel.BSP_QUEUE.name}")
    return queue, min(batch, queue)


def _resource(reader: Reader) -> tuple[tuple[str, str], ...]:
    attributes = dict(reader.optional(otel.RESOURCE) or ())
    name = reader.optional(otel.SERVICE_NAME)
    if name:
        attributes["service.name"] = name
    return tuple(attributes.items())


def _span_limits(reader: Reader) -> SpanLimitsConfig:
    """A limit of spans wins over the general one (the specification, "Attribute limits")."""
    count = reader.required(otel.ATTRIBUTE_COUNT)
    length = reader.optional(otel.ATTRIBUTE_LENGTH)
    span_count = reader.optional(otel.SPAN_ATTRIBUTE_COUNT)
    span_length = reader.optional(otel.SPAN_ATTRIBUTE_LENGTH)
    event_count = reader.optional(otel.EVENT_ATTRIBUTE_COUNT)
    return SpanLimitsConfig(
        attribute_count=count if span_count is None else span_count,
        attribute_value_length=length if span_length is None else span_length,
        event_count=reader.required(otel.SPAN_EVENT_COUNT),
        event_attribute_count=count if event_count is None else event_count,
    )


# --- OTLP ---------------------------------------------------------------------------------------

_DEFAULT_ENDPOINT: Final = {
    OtlpProtocol.HTTP_PROTOBUF: "http://localhost:4318",
    OtlpProtocol.GRPC: "http://localhost:4317",
}


def _otlp(reader: Reader, own: OtlpVariables, signal_path: str) -> OtlpConfig | None:
    """One signal's exporter; None only where a problem was reported."""
    protocol = _own_or_common(reader, own.protocol, otel.OTLP.protocol)
    insecure = _own_or_common(reader, own.insecure, otel.OTLP.insecure)
    headers = _own_or_common(reader, own.headers, otel.OTLP.headers)
    compression = _own_or_common(reader, own.compression, otel.OTLP.compression)
    timeout = _own_or_common(reader, own.timeout, otel.OTLP.timeout)
    certificate = _own_or_common(reader, own.certificate, otel.OTLP.certificate)
    client_key = _own_or_common(reader, own.client_key, otel.OTLP.client_key)
    client_certificate = _own_or_common(
        reader, own.client_certificate, otel.OTLP.client_certificate
    )
    endpoint = _own_or_common(reader, own.endpoint, otel.OTLP.endpoint)
    assert protocol is not None
    assert timeout is not None
    if (client_key is None) != (client_certificate is None):
        key = _set_one(reader, own.client_key, otel.OTLP.client_key)
        certificate_of_it = _set_one(reader, own.client_certificate, otel.OTLP.client_certificate)
        missing, present = (
            (certificate_of_it, key) if client_certificate is None else (key, certificate_of_it)
        )
        if not reader.is_set(missing):  # Set and invalid is a problem already.
            reader.problem(
                missing, f"a file beside {present.name}: key and certificate go together"
            )
    variable = _set_one(reader, own.endpoint, otel.OTLP.endpoint)
    base = variable is otel.OTLP.endpoint
    try:
        if protocol is OtlpProtocol.GRPC:
            address, plain = _grpc_address(
                endpoint or _DEFAULT_ENDPOINT[protocol], insecure=bool(insecure)
            )
        else:
            address = _http_endpoint(
                endpoint or _DEFAULT_ENDPOINT[protocol], signal_path if base else ""
            )
            plain = address.lower().startswith("http://")
    except InvalidTextError as error:
        reader.problem(variable, f"{variable.parser.wants}, {error}".rstrip(", "))
        return None
    return OtlpConfig(
        endpoint=address,
        protocol=protocol,
        headers=headers or (),
        timeout_seconds=timeout,
        insecure=plain,
        certificate=certificate,
        client_key=client_key,
        client_certificate=client_certificate,
        gzip=compression == "gzip",
    )


def _own_or_common(reader: Reader, own: Variable[T], common: Variable[T]) -> T | None:
    own_value = reader.optional(own)
    common_value = reader.optional(common)
    return common_value if own_value is None else own_value


def _set_one(reader: Reader, own: Variable[T], common: Variable[T]) -> Variable[T]:
    return own if reader.is_set(own) else common


def _http_endpoint(text: str, signal_path: str) -> str:
    """What to post to (protocol/exporter.md, "Endpoint URLs for OTLP/HTTP").

    The common endpoint is a base to which the signal's path is appended; a signal's own is used
    as it is, with / as the path where it has none.
    """
    url = parse_url(text)
    if signal_path and url.query:
        raise InvalidTextError("without a ?query")
    if signal_path:
        return f"{url.text.rstrip('/')}/{signal_path}"
    return url.text if url.path or url.query else f"{url.text}/"


def _grpc_address(text: str, *, insecure: bool) -> tuple[str, bool]:
    """What to dial, and whether in plain text: the scheme says it, and _INSECURE without one."""
    if text.startswith(("unix:", "dns:")):
        return text, insecure
    if "://" in text:
        url = parse_url(text)
        host = f"[{url.host}]" if ":" in url.host else url.host
        default_port = 80 if url.scheme == "http" else 443
        return f"{host}:{url.port or default_port}", url.scheme == "http"
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")):
        raise InvalidTextError
    HOST.parse(host)
    PORT.parse(port)
    return text, insecure
