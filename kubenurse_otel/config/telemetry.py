"""From variables to TelemetryConfig: exporters, OTLP endpoints, sampling, limits.

Owns how OpenTelemetry's variables and ours act together; the tables say what each means alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

from kubenurse_otel.config import otel
from kubenurse_otel.config import variables as v
from kubenurse_otel.config.reader import IGNORED
from kubenurse_otel.config.settings import (
    OtlpConfig,
    OtlpProtocol,
    SpanLimitsConfig,
    TelemetryConfig,
    Temporality,
)
from kubenurse_otel.config.urls import parse_url, split_host_port
from kubenurse_otel.config.values import InvalidTextError
from kubenurse_otel.config.variable import Origin
from kubenurse_otel.text import host_port

if TYPE_CHECKING:
    from kubenurse_otel.config.otel import OtlpVariables
    from kubenurse_otel.config.reader import Reader
    from kubenurse_otel.config.variable import Variable

T = TypeVar("T")


def read_telemetry(reader: Reader) -> TelemetryConfig:
    """Every variable is read and judged, also of signals that are off; with the SDK disabled none
    of OpenTelemetry's but the one that says so.
    """
    if reader.required(otel.SDK_DISABLED):
        reader.disregard(Origin.OPENTELEMETRY, f"{otel.SDK_DISABLED.name} is true")
        return replace(_read(reader), sdk_disabled=True)
    return _read(reader)


def _read(reader: Reader) -> TelemetryConfig:
    metrics = reader.required(otel.METRICS_EXPORTER)
    ratio, exports_traces = _sampling(reader)
    otlp_traces, traces_endpoint = _otlp(reader, otel.OTLP_TRACES, "v1/traces")
    otlp_metrics, metrics_endpoint = _otlp(reader, otel.OTLP_METRICS, "v1/metrics")
    traces = _trace_exporters(reader, with_endpoint=traces_endpoint)
    queue, batch = _batches(reader)
    if not exports_traces:
        traces = frozenset()
    buckets = reader.optional(v.HISTOGRAM_BUCKETS)
    victoriametrics = reader.required(v.VICTORIAMETRICS_HISTOGRAM)
    if buckets and victoriametrics:
        reader.problem(
            v.HISTOGRAM_BUCKETS,
            f"nothing while {v.VICTORIAMETRICS_HISTOGRAM.name} is true: one excludes the other",
        )
    for endpoint, otlp, exporters, is_set in (
        (otel.OTLP_TRACES.endpoint, otlp_traces, traces, traces_endpoint),
        (otel.OTLP_METRICS.endpoint, otlp_metrics, metrics, metrics_endpoint),
    ):
        if "otlp" in exporters and not (is_set and reader.is_set(endpoint)):
            reader.derived(endpoint, otlp.endpoint, "what is exported to")
    temporality = reader.required(otel.TEMPORALITY)
    if "otlp" in metrics and temporality is not Temporality.CUMULATIVE:
        _warn_of_deltas(reader, temporality, otlp_metrics.endpoint)
    return TelemetryConfig(
        prometheus="prometheus" in metrics,
        otlp_metrics=otlp_metrics if "otlp" in metrics else None,
        otlp_traces=otlp_traces if "otlp" in traces else None,
        console_traces="console" in traces,
        console_metrics="console" in metrics,
        resource_attributes=_resource(reader),
        trace_ratio=ratio,
        trace_max_per_minute=reader.required(v.TRACE_MAX_PER_MINUTE),
        slow_threshold_seconds=reader.required(v.SLOW_THRESHOLD),
        bsp_queue_size=queue,
        bsp_batch_size=batch,
        bsp_delay_seconds=reader.required(otel.BSP_DELAY),
        metric_interval_seconds=reader.required(otel.METRIC_INTERVAL),
        metric_timeout_seconds=reader.required(otel.METRIC_TIMEOUT),
        temporality=temporality,
        exemplars=reader.required(otel.EXEMPLAR_FILTER) != "always_off",
        span_limits=_span_limits(reader),
        metrics=reader.required(v.METRICS),
        histogram_buckets=buckets or (),
        victoriametrics_histogram=victoriametrics,
        expose_metadata=reader.required(v.EXPOSE_METADATA),
        series_ttl_seconds=reader.required(v.SERIES_TTL),
    )


def _trace_exporters(reader: Reader, *, with_endpoint: bool) -> frozenset[str]:
    chosen = reader.optional(otel.TRACES_EXPORTER)
    if chosen is not None:
        return chosen
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
    kind = (sampler or "").removeprefix("parentbased_")
    argument = 1.0
    if kind == "traceidratio":
        argument = reader.required(otel.SAMPLER_ARG)
    else:  # Other samplers have arguments of another form.
        reader.skip(otel.SAMPLER_ARG, f"read only with {otel.SAMPLER.name}=traceidratio")
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
        reader.problem(
            otel.BSP_BATCH, f"at most {otel.BSP_QUEUE.name}", taken=f"taken as that, {queue}"
        )
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


def _otlp(reader: Reader, own: OtlpVariables, signal_path: str) -> tuple[OtlpConfig, bool]:
    """One signal's exporter, and whether a variable says where to."""
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
    assert protocol is not None
    assert timeout is not None
    for file_variable, path in (
        (_set_one(reader, own.certificate, otel.OTLP.certificate), certificate),
        (_set_one(reader, own.client_key, otel.OTLP.client_key), client_key),
        (
            _set_one(reader, own.client_certificate, otel.OTLP.client_certificate),
            client_certificate,
        ),
    ):
        reader.warn_without_file(file_variable, path)
    if (client_key is None) != (client_certificate is None):
        key = _set_one(reader, own.client_key, otel.OTLP.client_key)
        certificate_of_it = _set_one(reader, own.client_certificate, otel.OTLP.client_certificate)
        missing, present = (
            (certificate_of_it, key) if client_certificate is None else (key, certificate_of_it)
        )
        reader.problem(
            missing,
            f"a file beside {present.name}: key and certificate go together",
            taken="both are ignored",
        )
        client_key = client_certificate = None
    address, plain, is_set = _endpoint(
        reader, own, signal_path, protocol=protocol, insecure=bool(insecure)
    )
    _warn_of_timeout(reader, _set_one(reader, own.timeout, otel.OTLP.timeout), timeout)
    _warn_of_port(reader, _set_one(reader, own.endpoint, otel.OTLP.endpoint), address, protocol)
    otlp = OtlpConfig(
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
    return otlp, is_set


_LEAST_TIMEOUT_SECONDS: Final = 0.1


def _warn_of_timeout(reader: Reader, variable: Variable[float], seconds: float) -> None:
    """Warn of a time that is meant in seconds, as OpenTelemetry Python reads it."""
    text = reader.text(variable)
    if text and seconds < _LEAST_TIMEOUT_SECONDS:
        reader.warn(
            f"{variable.name}: '{text}' is {text} milliseconds here, as in the specification;"
            f" {text} seconds, as OpenTelemetry Python reads it, are {text}000"
        )


_PORTS: Final = {4317: OtlpProtocol.GRPC, 4318: OtlpProtocol.HTTP_PROTOBUF}
"""The default ports of OTLP/gRPC and OTLP/HTTP (the specification, protocol/otlp.md)."""


def _warn_of_port(
    reader: Reader, variable: Variable[str], address: str, protocol: OtlpProtocol
) -> None:
    """Warn of the port of the other protocol: a collector does not say what is wrong there."""
    try:
        port = urlsplit(address if "://" in address else f"//{address}").port
    except ValueError:
        return
    usual = _PORTS.get(port or 0, protocol)
    if reader.is_set(variable) and usual is not protocol:
        reader.warn(
            f"{variable.name}: port {port} is usually that of {usual}, and what is sent is"
            f" {protocol}; see {otel.OTLP.protocol.name}"
        )


_WITHOUT_DELTAS: Final = {
    "/api/v1/otlp/": "Prometheus answers 500 and keeps gauges alone"
    " (unless it runs with --enable-feature=otlp-deltatocumulative)",
    "/opentelemetry/": "VictoriaMetrics keeps deltas as if they were sums",
}
"""By a part of the receiver's path: what the store there makes of deltas."""


def _warn_of_deltas(reader: Reader, temporality: Temporality, endpoint: str) -> None:
    """Warn of deltas: a store that reads sums either refuses them or holds nonsense."""
    path = urlsplit(endpoint).path
    said = [what for part, what in _WITHOUT_DELTAS.items() if part in path]
    reader.warn(
        f"{otel.TEMPORALITY.name}: rules and dashboards read sums since the start, and not those"
        f" since the last export of '{temporality}'"
        + (
            f"; {said[0]}: take 'cumulative'"
            if said
            else "; a collector's deltatocumulative processor makes sums of them"
        )
    )


def _endpoint(
    reader: Reader, own: OtlpVariables, signal_path: str, *, protocol: OtlpProtocol, insecure: bool
) -> tuple[str, bool, bool]:
    """(where to, in plain text, whether a variable says so): the signal's own, else the common one,
    else the specification's default.
    """

    def address(text: str, path: str) -> tuple[str, bool]:
        if protocol is OtlpProtocol.GRPC:
            return _grpc_address(text, insecure=insecure)
        url = _http_endpoint(text, path)
        return url, url.lower().startswith("http://")

    variables = ((own.endpoint, ""), (otel.OTLP.endpoint, signal_path))
    texts = [reader.optional(variable) for variable, _ in variables]
    for (variable, path), text in zip(variables, texts, strict=True):
        if text is None:
            continue
        try:
            return (*address(text, path), True)
        except InvalidTextError as error:
            wants = f"{variable.parser.wants}, {error}".rstrip(", ")
            reader.problem(variable, wants, taken=IGNORED)
            reader.without_effect(variable, f"no endpoint for {protocol}")
    return (*address(_DEFAULT_ENDPOINT[protocol], signal_path), False)


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
    if signal_path and "?" in text:
        raise InvalidTextError("without a ?query")
    if signal_path:
        return url.below(f"/{signal_path}").text
    return url.text if url.text.count("/") > 2 or "?" in text else f"{url.text}/"


def _grpc_address(text: str, *, insecure: bool) -> tuple[str, bool]:
    """What to dial, and whether in plain text: the scheme says it, and _INSECURE without one."""
    if text.startswith(("unix:", "dns:")):
        return text, insecure
    if "://" in text:
        url = parse_url(text)
        return url.host_port, url.scheme == "http"
    host, port = split_host_port(text)
    if port is None:
        raise InvalidTextError("with a port")
    return host_port(host, port), insecure
