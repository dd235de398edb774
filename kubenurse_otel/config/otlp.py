"""Where OTLP goes: OTEL_EXPORTER_OTLP_* for all signals or for one. A signal's own variables win.

After the OpenTelemetry specification 1.5x (protocol/exporter.md). Times are whole milliseconds.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

from kubenurse_otel.config.lists import HEADERS, hidden_headers
from kubenurse_otel.config.reader import IGNORED
from kubenurse_otel.config.urls import hidden, parse_url, split_host_port
from kubenurse_otel.config.values import (
    OTEL_BOOLEAN,
    PATH,
    TIMEOUT,
    InvalidTextError,
    Parser,
    one_of,
    word,
)
from kubenurse_otel.config.variable import Variable, filled_by, variable, variables_of
from kubenurse_otel.record import record
from kubenurse_otel.text import host_port

if TYPE_CHECKING:
    from pathlib import Path

    from kubenurse_otel.config.reader import Reader

T = TypeVar("T")


class OtlpProtocol(StrEnum):
    GRPC = "grpc"
    HTTP_PROTOBUF = "http/protobuf"


def _url_or_address(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text or len(text) > 2000:
        raise InvalidTextError
    return text


ENDPOINT: Final = Variable(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    Parser(_url_or_address, "a URL such as http://collector:4318 (grpc also host:4317)"),
    None,
    "Where the collector is. http/protobuf: /v1/traces, /v1/metrics and /v1/logs are appended. "
    "grpc: http:// is plain text, https:// is TLS, without a scheme _INSECURE says which.",
    absent="if an exporter is set to otlp: localhost, port 4318, with grpc 4317",
    example="http://collector.example.com:4318",
    hidden=hidden,
)


def _file(name: str, text: str, example: str, absent: str = "none") -> Path | None:
    return variable(
        f"OTEL_EXPORTER_OTLP_{name}",
        PATH,
        None,
        text,
        absent=absent,
        example=example,
    )


@record(frozen=True, slots=True, kw_only=True)
class OtlpConfig:
    """Where one signal goes. The variables here are the common ones of all signals."""

    endpoint: str = filled_by(ENDPOINT, make=lambda text: text or "")
    """Complete: what the exporter posts to (http/protobuf) or dials (grpc)."""
    protocol: OtlpProtocol = variable(
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        one_of(OtlpProtocol),
        "http/protobuf",
        "The protocol of OTLP. http/json is not supported.",
        example="grpc",
    )
    insecure: bool = variable(
        "OTEL_EXPORTER_OTLP_INSECURE",
        OTEL_BOOLEAN,
        "false",
        "Whether a grpc endpoint without a scheme is sent plain text instead of TLS.",
        example="true",
    )
    headers: tuple[tuple[str, str], ...] = variable(
        "OTEL_EXPORTER_OTLP_HEADERS",
        HEADERS,
        None,
        "Headers that each export sends and that are never shown or logged, such as"
        " authorization=Bearer%20example.",
        otherwise=(),
        absent="none",
        example="authorization=Bearer%20example",
        hidden=hidden_headers,
    )
    gzip: bool = variable(
        "OTEL_EXPORTER_OTLP_COMPRESSION",
        word("gzip", "none").to("gzip".__eq__),
        "none",
        "Whether exports are compressed.",
        example="gzip",
    )
    timeout_seconds: float = variable(
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        TIMEOUT,
        "3000",
        "Time for one export, in milliseconds. The specification's default is 10000. Below 100"
        " there is a warning: OpenTelemetry Python reads seconds.",
        example="5000",
    )
    certificate: Path | None = _file(
        "CERTIFICATE",
        "PEM file of the authorities that vouch for the collector.",
        "/etc/otel/ca.pem",
        "the system's authorities",
    )
    client_key: Path | None = _file(
        "CLIENT_KEY", "PEM file of our key for mutual TLS.", "/etc/otel/tls.key"
    )
    client_certificate: Path | None = _file(
        "CLIENT_CERTIFICATE", "PEM file of our certificate for mutual TLS.", "/etc/otel/tls.crt"
    )


def own(common: Variable[T], signal: str) -> Variable[T]:
    """Return the variable of one signal (``traces``, ``metrics`` or ``logs``) that goes with the
    common one.
    """
    sentence = common.help.partition(". ")[0].rstrip(".")
    if common.name == ENDPOINT.name:
        sentence += " (http/protobuf: the complete URL, nothing is appended)"
    return replace(
        common,
        name=common.name.replace("_OTLP_", f"_OTLP_{signal.upper()}_"),
        default=None,
        help=f"{sentence}, for {signal}.",
        absent=common.name,
    )


OTLP: Final = variables_of(OtlpConfig)
OTLP_TRACES: Final = tuple(own(common, "traces") for common in OTLP)
OTLP_METRICS: Final = tuple(own(common, "metrics") for common in OTLP)
OTLP_LOGS: Final = tuple(own(common, "logs") for common in OTLP)


# --- reading one signal's -----------------------------------------------------------------------

_DEFAULT_ENDPOINT: Final = {
    OtlpProtocol.HTTP_PROTOBUF: "http://localhost:4318",
    OtlpProtocol.GRPC: "http://localhost:4317",
}


def read_otlp(reader: Reader, signal: str) -> tuple[OtlpConfig, bool]:
    """Return the exporter of ``signal``, and whether a variable sets its endpoint."""

    def own_or_common(common: Variable[T]) -> T | None:
        own_value, value = reader.optional(own(common, signal)), reader.optional(common)
        return value if own_value is None else own_value

    def name_of(part: str) -> str:
        """Return the name of the variable that counts."""
        common = f"OTEL_EXPORTER_OTLP_{part}"
        own_name = f"OTEL_EXPORTER_OTLP_{signal.upper()}_{part}"
        return own_name if reader.is_set(own_name) else common

    otlp = reader.record(OtlpConfig, own_or_common, endpoint="")
    for part, path in (
        ("CERTIFICATE", otlp.certificate),
        ("CLIENT_KEY", otlp.client_key),
        ("CLIENT_CERTIFICATE", otlp.client_certificate),
    ):
        reader.warn_without_file(name_of(part), path)
    if (otlp.client_key is None) != (otlp.client_certificate is None):
        missing, present = "CLIENT_KEY", "CLIENT_CERTIFICATE"
        if otlp.client_certificate is None:
            missing, present = present, missing
        reader.problem(
            name_of(missing),
            f"a file beside {name_of(present)}: key and certificate go together",
            taken="both are ignored",
        )
        otlp = replace(otlp, client_key=None, client_certificate=None)
    otlp, is_set = _with_endpoint(reader, otlp, signal)
    _warn_of_timeout(reader, name_of("TIMEOUT"), otlp.timeout_seconds)
    _warn_of_port(reader, name_of("ENDPOINT"), otlp)
    return otlp, is_set


def _with_endpoint(reader: Reader, otlp: OtlpConfig, signal: str) -> tuple[OtlpConfig, bool]:
    """Add the endpoint, and say whether a variable sets it: the signal's own, else the common one,
    else the specification's default.
    """

    def complete(text: str, path: str) -> OtlpConfig:
        if otlp.protocol is OtlpProtocol.GRPC:
            address, plain = _grpc_address(text, insecure=otlp.insecure)
        else:
            address = _http_endpoint(text, path)
            plain = address.lower().startswith("http://")
        return replace(otlp, endpoint=address, insecure=plain)

    variables = ((own(ENDPOINT, signal), ""), (ENDPOINT, f"v1/{signal}"))
    texts = [reader.optional(one) for one, _ in variables]
    for (one, path), text in zip(variables, texts, strict=True):
        if text is None:
            continue
        try:
            return complete(text, path), True
        except InvalidTextError as error:
            wants = f"{one.parser.wants}, {error}".rstrip(", ")
            reader.problem(one.name, wants, taken=IGNORED)
            reader.without_effect(one.name, f"no endpoint for {otlp.protocol}")
    return complete(_DEFAULT_ENDPOINT[otlp.protocol], f"v1/{signal}"), False


_LEAST_TIMEOUT_SECONDS: Final = 0.1


def _warn_of_timeout(reader: Reader, name: str, seconds: float) -> None:
    """Warn of a time that is meant in seconds, as OpenTelemetry Python reads it."""
    text = reader.said(name)
    if text and seconds < _LEAST_TIMEOUT_SECONDS:
        reader.warn(
            f"{name}: '{text}' is {text} milliseconds here, as in the specification;"
            f" {text} seconds, as OpenTelemetry Python reads it, are {text}000"
        )


_PORTS: Final = {4317: OtlpProtocol.GRPC, 4318: OtlpProtocol.HTTP_PROTOBUF}
"""The default ports of OTLP/gRPC and OTLP/HTTP (the specification, protocol/otlp.md)."""


def _warn_of_port(reader: Reader, name: str, otlp: OtlpConfig) -> None:
    """Warn of the port of the other protocol: a collector does not say what is wrong there."""
    address = otlp.endpoint
    try:
        port = urlsplit(address if "://" in address else f"//{address}").port
    except ValueError:
        return
    usual = _PORTS.get(port or 0, otlp.protocol)
    if reader.is_set(name) and usual is not otlp.protocol:
        reader.warn(
            f"{name}: port {port} is usually that of {usual}, and what is sent is"
            f" {otlp.protocol}; see OTEL_EXPORTER_OTLP_PROTOCOL"
        )


def _http_endpoint(text: str, signal_path: str) -> str:
    """Return the URL to post to (protocol/exporter.md, "Endpoint URLs for OTLP/HTTP").

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
    """Return the address to dial, and whether in plain text. The scheme decides; without one,
    _INSECURE does.
    """
    if text.startswith(("unix:", "dns:")):
        return text, insecure
    if "://" in text:
        url = parse_url(text)
        return url.host_port, url.scheme == "http"
    host, port = split_host_port(text)
    if port is None:
        raise InvalidTextError("with a port")
    return host_port(host, port), insecure
