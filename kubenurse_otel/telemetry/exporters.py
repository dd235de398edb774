"""Exporters built from the Config: OTLP by HTTP or gRPC, or the console.

Owns the lazy imports (protobuf and grpc are megabytes that an agent which is only scraped never
loads), and joins a signal's encoder with a wire.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from kubenurse_otel.config import OtlpConfig, OtlpProtocol
from kubenurse_otel.telemetry.answers import Answer, Result, failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    from kubenurse_otel.telemetry.delivery import Exporter
    from kubenurse_otel.telemetry.signals import Signal

T = TypeVar("T")


class Wire(Protocol):
    """Carries one encoded request, and reads what comes back."""

    def send(self, message: bytes, *, items: int, deadline: float) -> Answer:
        """Send once. ``items`` are in the message; ``deadline`` is of time.monotonic."""

    def close(self) -> None:
        """Cut off what runs, from any thread."""


def load(*, traces: OtlpConfig | None, metrics: OtlpConfig | None) -> None:
    """Import now what the exporters of these configurations would import when they are made."""
    from kubenurse_otel.telemetry import signals  # noqa: PLC0415 - lazy

    if traces is not None:
        signals.traces()
    if metrics is not None:
        from kubenurse_otel.telemetry import points  # noqa: F401, PLC0415 - lazy

        signals.metrics()


def make_exporter(signal: str, otlp: OtlpConfig | None) -> Exporter[Any]:
    """Make an OTLP exporter of ``signal`` (traces, metrics or logs), or the console's for None.

    Raises OSError or ValueError for a file that is missing or not what it should be.
    """
    if otlp is None:
        return _ConsoleExporter(_to_console(signal))
    from kubenurse_otel.telemetry import signals  # noqa: PLC0415 - lazy

    return _OtlpExporter(otlp, signals.MAKERS[signal]())


def _to_console(signal: str) -> Callable[[Any], object]:
    match signal:
        case "traces":
            from opentelemetry.sdk.trace.export import ConsoleSpanExporter  # noqa: PLC0415 - lazy

            return ConsoleSpanExporter(out=sys.stdout).export
        case "metrics":
            return _print_json
        case _:
            from opentelemetry.sdk._logs.export import (  # noqa: PLC0415 - lazy
                ConsoleLogRecordExporter,
            )

            return ConsoleLogRecordExporter(out=sys.stdout).export


def _print_json(request: Message) -> None:
    from google.protobuf.json_format import MessageToJson  # noqa: PLC0415 - lazy

    sys.stdout.write(f"{MessageToJson(request)}\n")
    sys.stdout.flush()  # of a pipe the rest would be read with the next round


class _OtlpExporter(Generic[T]):
    def __init__(self, otlp: OtlpConfig, signal: Signal[T]) -> None:
        self._signal = signal
        self._timeout_seconds = otlp.timeout_seconds
        self._wire = _wire(otlp, signal)

    def export(self, data: T, *, deadline: float) -> Answer:
        message: bytes = self._signal.encode(data).SerializePartialToString()
        deadline = min(deadline, time.monotonic() + self._timeout_seconds)
        return self._wire.send(message, items=self._signal.count(data), deadline=deadline)

    def close(self) -> None:
        self._wire.close()


def _wire(otlp: OtlpConfig, signal: Signal[T]) -> Wire:
    if otlp.protocol is OtlpProtocol.GRPC:
        from kubenurse_otel.telemetry.otlp_grpc import GrpcWire  # noqa: PLC0415 - lazy

        return GrpcWire(otlp, signal)
    from kubenurse_otel.telemetry.otlp_http import HttpWire  # noqa: PLC0415 - lazy

    return HttpWire(otlp, signal)


class _ConsoleExporter(Generic[T]):
    """Prints; it has no answer, and a broken pipe is an OSError."""

    def __init__(self, export: Callable[[T], object]) -> None:
        self._export = export

    def export(self, data: T, *, deadline: float) -> Answer:  # noqa: ARG002 - an Exporter's
        try:
            self._export(data)
        except OSError as error:
            return failure(str(error), str(error))
        return Answer(result=Result.SUCCESS)

    def close(self) -> None:
        """Standard output is not ours to close."""
