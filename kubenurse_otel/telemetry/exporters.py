"""The SDK's OTLP and console exporters, built from the Config and made quiet.

Owns the lazy imports (protobuf and grpc are megabytes that an agent with a scrape alone never
loads), credentials, and turning the exporters' log lines into one reason a failure.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from kubenurse_otel import semconv
from kubenurse_otel.config import OtlpConfig, OtlpProtocol

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.trace.export import SpanExporter

    from kubenurse_otel.telemetry.instruments import Instruments

_log = logging.getLogger(__name__)

_LONGEST_REASON: Final = 400
_QUERY: Final = re.compile(r"\?[^\s'\")]*")


def make_span_exporter(otlp: OtlpConfig | None) -> SpanExporter:
    """An OTLP exporter of spans, or the console's for None. Raises OSError for a missing file."""
    if otlp is None:
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter  # noqa: PLC0415 - lazy

        return ConsoleSpanExporter(out=sys.stdout)
    if otlp.protocol is OtlpProtocol.GRPC:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415 - lazy
            OTLPSpanExporter as GrpcSpanExporter,
        )

        return GrpcSpanExporter(**_grpc_arguments(otlp))
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - lazy
        OTLPSpanExporter,
    )

    return OTLPSpanExporter(**_http_arguments(otlp))


def make_metric_exporter(otlp: OtlpConfig | None) -> MetricExporter:
    """An OTLP exporter of metrics, or the console's for None. Raises OSError for a missing file."""
    if otlp is None:
        from opentelemetry.sdk.metrics.export import ConsoleMetricExporter  # noqa: PLC0415 - lazy

        return ConsoleMetricExporter(out=sys.stdout)
    if otlp.protocol is OtlpProtocol.GRPC:
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (  # noqa: PLC0415 - lazy
            OTLPMetricExporter as GrpcMetricExporter,
        )

        return GrpcMetricExporter(**_grpc_arguments(otlp))
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415 - lazy
        OTLPMetricExporter,
    )

    return OTLPMetricExporter(**_http_arguments(otlp))


def _http_arguments(otlp: OtlpConfig) -> dict[str, Any]:
    # urllib3's transport, not the default one of requests: 4.5 MiB less, one total timeout, the
    # system's CAs, and no proxy, .netrc or CA bundle from the environment. It and `_transport`
    # are private in 1.45, to which pyproject.toml pins us.
    from opentelemetry.exporter.http.transport._urllib3 import (  # noqa: PLC0415 - lazy
        Urllib3HTTPTransport,
    )
    from opentelemetry.exporter.otlp.proto.http import Compression  # noqa: PLC0415 - lazy

    for path in (otlp.certificate, otlp.client_key, otlp.client_certificate):
        if path is not None:
            path.read_bytes()  # a missing file is said by name, now
    cert: tuple[str, str] | str | None = None
    if otlp.client_certificate is not None:
        cert = str(otlp.client_certificate)
        if otlp.client_key is not None:
            cert = (cert, str(otlp.client_key))
    return {
        "endpoint": otlp.endpoint,
        "headers": dict(otlp.headers),
        "timeout": otlp.timeout_seconds,
        "compression": Compression.Gzip if otlp.gzip else Compression.NoCompression,
        "_transport": Urllib3HTTPTransport(
            verify=str(otlp.certificate) if otlp.certificate else True, cert=cert
        ),
    }


def _grpc_arguments(otlp: OtlpConfig) -> dict[str, Any]:
    import grpc  # type: ignore[import-untyped]  # noqa: PLC0415 - lazy

    # A scheme decides; OTEL_EXPORTER_OTLP_INSECURE is for endpoints without one (specification,
    # protocol/exporter.md).
    scheme = urlsplit(otlp.endpoint).scheme
    insecure = scheme == "http" or (scheme != "https" and otlp.insecure)
    return {
        "endpoint": otlp.endpoint,
        "insecure": insecure,
        "credentials": None
        if insecure
        else grpc.ssl_channel_credentials(
            root_certificates=otlp.certificate.read_bytes() if otlp.certificate else None,
            private_key=otlp.client_key.read_bytes() if otlp.client_key else None,
            certificate_chain=otlp.client_certificate.read_bytes()
            if otlp.client_certificate
            else None,
        ),
        "headers": tuple((name.lower(), value) for name, value in otlp.headers),
        "timeout": otlp.timeout_seconds,
        "compression": grpc.Compression.Gzip if otlp.gzip else grpc.Compression.NoCompression,
        # No proxy from the environment: proxies are only used on request.
        "channel_options": (("grpc.enable_http_proxy", 0),),
    }


class _LastWords(logging.Handler):
    """Keeps what the exporters logged in each thread: the cause, then that they gave up."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._by_thread: dict[int, deque[str]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        said = self._by_thread.setdefault(threading.get_ident(), deque(maxlen=2))
        said.append(record.getMessage())

    def take(self) -> str:
        """What was said in this thread since the last time; empty if nothing."""
        said = self._by_thread.pop(threading.get_ident(), deque())
        return "; ".join(line.rstrip(".") for line in reversed(said))


_last_words: Final = _LastWords()


def quieten_exporters() -> None:
    """Take the exporters' own log lines for ourselves: they repeat at every failed export."""
    logger = logging.getLogger("opentelemetry.exporter")
    logger.propagate = False
    if _last_words not in logger.handlers:
        logger.addHandler(_last_words)


class ExportHealth:
    """Counts the exports of one signal and says in the log when they begin or cease to work."""

    def __init__(self, signal: str, otlp: OtlpConfig | None, instruments: Instruments) -> None:
        self._signal = signal
        self._where = _without_secrets(otlp.endpoint) if otlp else "the console"
        self._instruments = instruments
        self.healthy = True

    def succeeded(self) -> None:
        self._count("success")
        _last_words.take()
        if not self.healthy:
            self.healthy = True
            _log.warning("exporting %s to %s works again", self._signal, self._where)

    def failed(self, reason: str = "") -> None:
        """Count a failure; without a ``reason`` it is what the exporter said in this thread."""
        self._count("failure")
        said = reason or _last_words.take() or "no reason given"
        if self.healthy:
            self.healthy = False
            _log.error(
                "cannot export %s to %s: %s (said once until it works again;"
                " kubenurse_telemetry_exports_total counts)",
                self._signal,
                self._where,
                _QUERY.sub("?...", said)[:_LONGEST_REASON],
            )

    def _count(self, result: str) -> None:
        self._instruments.add(
            semconv.TELEMETRY_EXPORTS, 1, {"signal": self._signal, "result": result}
        )


def _without_secrets(endpoint: str) -> str:
    """The endpoint without user, password and query."""
    parts = urlsplit(endpoint)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
