"""Telemetry with OTLP for tests: started, fed and looked at from outside."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from kubenurse_otel import semconv
from kubenurse_otel.config import Config, OtlpConfig, OtlpProtocol, TelemetryConfig
from kubenurse_otel.telemetry.providers import Telemetry

if TYPE_CHECKING:
    from collections.abc import Iterator

REJECTED = "kubenurse_telemetry_rejected_items_total"


@contextmanager
def running(**fields: Any) -> Iterator[Telemetry]:
    """Telemetry whose threads send spans at once, and metrics when `push` says."""
    fields = {"metric_interval_seconds": 600.0, "bsp_delay_seconds": 0.0} | fields
    telemetry = Telemetry.start(Config(telemetry=TelemetryConfig(**fields)), gauges={})
    try:
        yield telemetry
    finally:
        telemetry.shutdown(1.0)


def otlp(endpoint: str, protocol: OtlpProtocol, signal: str, **options: Any) -> OtlpConfig:
    """Where one signal goes, at a receiver's base address."""
    http = protocol is OtlpProtocol.HTTP_PROTOBUF
    endpoint = f"{endpoint}/v1/{signal}" if http else endpoint
    return OtlpConfig(**({"endpoint": endpoint, "protocol": protocol} | options))


def push(telemetry: Telemetry) -> None:
    """One round of the metrics thread's, at once and here."""
    telemetry._collection.collect_now()
    telemetry._pushes[0]._push(time.monotonic() + 30)


def a_trace(telemetry: Telemetry, name: str = "check path") -> list[ReadableSpan]:
    """Two ended spans of one trace."""
    spans: list[ReadableSpan] = []

    class Keep(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            spans.append(span)

    tracer = telemetry.tracer_provider(sampler=ALWAYS_ON, processor=Keep()).get_tracer("test")
    with tracer.start_as_current_span(name), tracer.start_as_current_span("GET") as client:
        client.set_attribute(semconv.TYPE, "path_node-1")
        client.add_event(semconv.EVENT_GOT_CONN, {semconv.OFFSET: 0.001})
    return spans


def sums(telemetry: Telemetry, metric: str) -> dict[tuple[str, ...], float]:
    """A counter's sums by its label values; empty where there is no such metric."""
    telemetry._collection.collect_now()
    family = telemetry._store.families.get(metric)
    return {key: series.value for key, series in family.series.items()} if family else {}


def exports(telemetry: Telemetry) -> dict[tuple[str, ...], float]:
    """How many exports by signal and result."""
    return sums(telemetry, semconv.TELEMETRY_EXPORTS.name)
