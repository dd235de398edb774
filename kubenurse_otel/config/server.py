"""Where we listen, with which certificate, and what we answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubenurse_otel.config.values import ADDRESS, BOOLEAN, PATH, PORT, duration, word
from kubenurse_otel.config.variable import variable
from kubenurse_otel.files import is_readable
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from pathlib import Path

    from kubenurse_otel.config.reader import Reader


@record(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Where we listen, with which certificate, and what we answer; times are seconds."""

    listen_address: str = variable(
        "KUBENURSE_LISTEN_ADDRESS",
        ADDRESS,
        None,
        "The address that we listen on.",
        otherwise="",
        absent="all addresses, IPv4 and IPv6",
        example="127.0.1.1",
    )
    port: int = variable(
        "KUBENURSE_PORT",
        PORT,
        "8080",
        "Our port. Path checks use the same port for neighbours that announce no other.",
        example="18080",
    )
    tls_port: int = variable(
        "KUBENURSE_TLS_PORT",
        PORT,
        "8443",
        "Our port with TLS; with KUBENURSE_USE_TLS path checks use it.",
        example="18443",
    )
    admin_port: int | None = variable(
        "KUBENURSE_ADMIN_PORT",
        PORT,
        None,
        "When set, /metrics, /alive and the page are there; /alwayshappy and /ready stay.",
        absent="everything on KUBENURSE_PORT",
        example="9090",
    )
    use_tls: bool = variable(
        "KUBENURSE_USE_TLS",
        BOOLEAN,
        "false",
        "Listen with TLS, too, and check neighbours with TLS. Needs KUBENURSE_CERT_FILE and "
        "_CERT_KEY.",
        kubenurse=True,
        example="true",
        lenient=True,
    )
    cert_file: Path | None = variable(
        "KUBENURSE_CERT_FILE",
        PATH,
        None,
        "Our certificate (PEM, with its chain); reread when it changes.",
        kubenurse=True,
        absent="required by KUBENURSE_USE_TLS=true",
        example="/etc/kubenurse/tls.crt",
    )
    cert_key: Path | None = variable(
        "KUBENURSE_CERT_KEY",
        PATH,
        None,
        "The certificate's key (PEM, without a passphrase); reread when it changes.",
        kubenurse=True,
        absent="required by KUBENURSE_USE_TLS=true",
        example="/etc/kubenurse/tls.key",
    )
    alive_status: int | None = variable(
        "KUBENURSE_ALIVE_STATUS",
        word("200", "500").to({"200": 200}.get),
        "500",
        "What /alive answers while a check is bad; 200 is what kubenurse does.",
        example="200",
    )
    shutdown_seconds: float = variable(
        "KUBENURSE_SHUTDOWN_DURATION",
        duration("0s"),
        "5s",
        "How long we go on answering after SIGTERM, while others learn that we are gone.",
        kubenurse=True,
        example="10s",
    )

    @property
    def path_port(self) -> int:
        """The port for path checks of neighbours that declare none."""
        return self.tls_port if self.use_tls else self.port


def read_server(reader: Reader) -> ServerConfig:
    server = reader.record(ServerConfig)
    if server.use_tls and server.port == server.tls_port:
        reader.problem("KUBENURSE_TLS_PORT", "another port than KUBENURSE_PORT")
    if server.admin_port in (server.port, server.path_port):
        reader.problem(
            "KUBENURSE_ADMIN_PORT", "another port than KUBENURSE_PORT and KUBENURSE_TLS_PORT"
        )
    # Without TLS the files may be anything, as with kubenurse; a listener needs them to start.
    for name, file in (
        ("KUBENURSE_CERT_FILE", server.cert_file),
        ("KUBENURSE_CERT_KEY", server.cert_key),
    ):
        if server.use_tls and (file is None or not is_readable(file)):
            reader.problem(name, "a file that can be read, as KUBENURSE_USE_TLS is true")
    return server
