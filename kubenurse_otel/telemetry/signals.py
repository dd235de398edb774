"""The signals in OTLP: how each is encoded, where it goes, and what its answer is called.

OpenTelemetry's own encoder does the work for spans and log records
(opentelemetry-exporter-otlp-proto-common); requests of metrics are made by points.py. Its exporters
are not used: they only distinguish success from failure, and take a redirect, a web page and a
partial success for success.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from kubenurse_otel.record import record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.trace import ReadableSpan

T = TypeVar("T")


@record(frozen=True, slots=True)
class Signal(Generic[T]):
    """One signal; making it imports protobuf, which is megabytes."""

    name: str
    """The label `signal` of our metrics."""
    items: str
    """What one item is called, in the plural."""
    grpc_method: str
    """opentelemetry/proto/collector/*/v1/*_service.proto."""
    rejected_field: str
    """The name of its field in the answer's partial_success that counts rejected items."""
    new_response: Callable[[], Any]
    encode: Callable[[T], Any]
    """The request's message. Raises what protobuf raises for a value that it cannot hold."""
    count: Callable[[T], int]


def traces() -> Signal[Sequence[ReadableSpan]]:
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import (  # noqa: PLC0415 - lazy
        encode_spans,
    )
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415 - lazy
        ExportTraceServiceResponse,
    )

    def encode(spans: Sequence[ReadableSpan]) -> Any:
        request = encode_spans(spans)
        _set_trace_flags(request, spans)
        return request

    return Signal(
        "traces",
        "spans",
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        "rejected_spans",
        ExportTraceServiceResponse,
        encode,
        len,
    )


def metrics() -> Signal[ExportMetricsServiceRequest]:
    """Its requests are made by points.py: the encoder brings all of the SDK's metrics."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (  # noqa: PLC0415 - lazy
        ExportMetricsServiceResponse,
    )

    return Signal(
        "metrics",
        "data points",
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        "rejected_data_points",
        ExportMetricsServiceResponse,
        lambda request: request,
        _count_points,
    )


def logs() -> Signal[Sequence[ReadableLogRecord]]:
    from opentelemetry.exporter.otlp.proto.common._log_encoder import (  # noqa: PLC0415 - lazy
        encode_logs,
    )
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (  # noqa: PLC0415 - lazy
        ExportLogsServiceResponse,
    )

    return Signal(
        "logs",
        "log records",
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        "rejected_log_records",
        ExportLogsServiceResponse,
        encode_logs,
        len,
    )


MAKERS: Final[Mapping[str, Callable[[], Signal[Any]]]] = {
    "traces": traces,
    "metrics": metrics,
    "logs": logs,
}


def _set_trace_flags(request: Any, spans: Sequence[ReadableSpan]) -> None:
    """Add the W3C trace flags to the flags of spans and links (trace.proto: the lowest 8 bits).

    The encoder (1.45.2) says only whether the parent is remote. It groups by resource and scope,
    so spans are found by their ids.
    """
    ours = {context.span_id.to_bytes(8, "big"): span for span in spans if (context := span.context)}
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for encoded in scope.spans:
                span = ours[encoded.span_id]
                encoded.flags |= span.context.trace_flags
                for link, encoded_link in zip(span.links, encoded.links, strict=True):
                    encoded_link.flags |= link.context.trace_flags


def _count_points(request: ExportMetricsServiceRequest) -> int:
    return sum(
        len(getattr(metric, metric.WhichOneof("data")).data_points)
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )
