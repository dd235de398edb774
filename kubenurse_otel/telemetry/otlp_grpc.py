"""OTLP/gRPC: one unary call on a channel of grpcio's, with a deadline and a bound for the answer.

Owns the channel and its options. grpcio reads and bounds the frames and metadata around the
message. What the answer means is answers.py's.
"""

from __future__ import annotations

import math
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import grpc  # type: ignore[import-untyped]

from kubenurse_otel import files
from kubenurse_otel.telemetry.answers import (
    MAX_ANSWER_BYTES,
    Answer,
    AnswerError,
    failure,
    of_message,
)
from kubenurse_otel.telemetry.otlp_http import USER_AGENT

if TYPE_CHECKING:
    from kubenurse_otel.config import OtlpConfig
    from kubenurse_otel.telemetry.signals import Signal

_RETRYABLE: Final = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""OTLP specification, "Failures" of OTLP/gRPC; RESOURCE_EXHAUSTED only with a RetryInfo."""
_OPTIONS: Final = (
    ("grpc.enable_http_proxy", 0),  # no proxy from the environment: only on request
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),  # packed and unpacked
    ("grpc.primary_user_agent", USER_AGENT),
    # A collector that is back is found by the next export, not two minutes later.
    ("grpc.initial_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # It asks DNS again only when a connection failed, and then at most every 30 s: an address that
    # was old when it asked cost half a minute.
    ("grpc.dns_min_time_between_resolutions_ms", 5_000),
    # grpcio sets TCP_USER_TIMEOUT to the second only where the first is given. Without it, each
    # export waits for a connection whose far node died, until TCP gives up after a quarter of an
    # hour. Go's servers refuse pings that come more often than every five minutes.
    ("grpc.keepalive_time_ms", 600_000),
    ("grpc.keepalive_timeout_ms", 5_000),
)
_DETAILS: Final = "grpc-status-details-bin"


class GrpcWire:
    """Calls one endpoint; for one thread, but `close` may be called from any.

    Raises OSError where a file of the configuration cannot be read.
    """

    def __init__(self, otlp: OtlpConfig, signal: Signal[Any]) -> None:
        self._otlp = otlp
        self._signal = signal
        self._metadata = tuple((name.lower(), value) for name, value in otlp.headers)
        self._channel = _channel(otlp)
        self._call = self._channel.unary_unary(signal.grpc_method)

    def send(self, message: bytes, *, items: int, deadline: float) -> Answer:
        """Make one call; ``deadline`` is of time.monotonic. Raises nothing for a far end."""
        seconds = max(0.0, deadline - time.monotonic())
        try:
            answer = self._call(message, timeout=seconds, metadata=self._metadata)
            return of_message(answer, self._signal, sent=items)
        except grpc.RpcError as error:
            return self._refused(error)
        except AnswerError as error:
            return failure("no OTLP", f"gRPC OK, is it a collector? {error}")
        except ValueError as error:  # metadata that HTTP/2 cannot hold; a channel that was closed
            return failure("ValueError", str(error))

    def _refused(self, error: Any) -> Answer:
        code = error.code()
        retry_after = _retry_delay(error.trailing_metadata())
        wait = "" if retry_after is None else f", retry in {retry_after:g} s"
        said = error.details() or ""
        exhausted = code is grpc.StatusCode.RESOURCE_EXHAUSTED and retry_after is not None
        return failure(
            f"gRPC {code.name}",
            f"gRPC {code.name}{wait}{said and ': ' + said}",
            retryable=code in _RETRYABLE or exhausted,
            retry_after=retry_after,
        )

    def close(self) -> None:
        """End what runs, from any thread; nothing is sent afterwards."""
        self._channel.close()


def _channel(otlp: OtlpConfig) -> Any:
    # A scheme decides; OTEL_EXPORTER_OTLP_INSECURE is for endpoints without one (specification,
    # protocol/exporter.md).
    parts = urlsplit(otlp.endpoint)
    has_scheme = parts.scheme in ("http", "https")
    target = parts.netloc if has_scheme else otlp.endpoint
    compression = grpc.Compression.Gzip if otlp.gzip else grpc.Compression.NoCompression
    if parts.scheme == "http" or (not has_scheme and otlp.insecure):
        return grpc.insecure_channel(target, options=_OPTIONS, compression=compression)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=_authorities(otlp),
        private_key=files.read(otlp.client_key) if otlp.client_key else None,
        certificate_chain=files.read(otlp.client_certificate) if otlp.client_certificate else None,
    )
    return grpc.secure_channel(target, credentials, options=_OPTIONS, compression=compression)


def _authorities(otlp: OtlpConfig) -> bytes | None:
    """Return the PEM of the authorities that vouch for the collector: of the configured file, else
    of the system.

    The system's bundle is OpenSSL's (SSL_CERT_FILE, or where it was built to look), as for
    OTLP/HTTP; gRPC by itself trusts roots.pem of its own wheel. None if there is no bundle: then
    gRPC's own remains. A folder of single certificates (SSL_CERT_DIR) cannot be given to gRPC.
    """
    if otlp.certificate is not None:
        return files.read(otlp.certificate)
    bundle = ssl.get_default_verify_paths().cafile
    return None if bundle is None else files.read(Path(bundle))


def _retry_delay(metadata: Any) -> float | None:
    """Seconds of a google.rpc.RetryInfo in the status's details; None without one."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - only where one is refused
    from google.rpc.error_details_pb2 import RetryInfo  # noqa: PLC0415 - only where one is refused
    from google.rpc.status_pb2 import Status  # noqa: PLC0415 - only where one is refused

    packed = dict(metadata or ()).get(_DETAILS)
    if packed is None:
        return None
    try:
        for detail in Status.FromString(packed).details:
            info = RetryInfo()
            if detail.Unpack(info):
                seconds = info.retry_delay.seconds + info.retry_delay.nanos / 1e9
                return max(0.0, seconds) if math.isfinite(seconds) else None
    except DecodeError:
        pass
    return None
