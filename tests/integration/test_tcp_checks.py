"""Checks of tcp:// targets: connections that say nothing, plain and under TLS, and how they end."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import threading
from typing import TYPE_CHECKING, Any, Self

import pytest
from probing import Prober
from servers import Connection, Kind, silent
from waiting import until

from kubenurse_otel import semconv
from kubenurse_otel.config import TrustConfig
from kubenurse_otel.config.extra_checks import parse_check
from kubenurse_otel.config.urls import parse_tcp
from kubenurse_otel.errors import ErrorType
from kubenurse_otel.model import Phase, TimingSource
from kubenurse_otel.plan.targets import extra_target
from kubenurse_otel.probe import verdict
from kubenurse_otel.probe.trust import TrustStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from probing import Checked
    from servers import Certificates, FaultServer


ENDING_SECONDS = 30.0
"""What a test waits for an end that comes at once, on a machine that is slow."""


class Listener:
    """Accepts one connection, sends ``banner``, reads to the end; ``ended`` says how it ended."""

    def __init__(self, *, banner: bytes = b"", closes: bool = False, family: int = 0) -> None:
        self.received = b""
        self.ended = ""
        self._banner, self._closes = banner, closes
        self._socket = socket.create_server(
            ("::1" if family == socket.AF_INET6 else "127.0.0.1", 0),
            family=family or socket.AF_INET,
        )
        self.address, self.port = self._socket.getsockname()[:2]
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(ENDING_SECONDS)
        self._socket.close()

    def _serve(self) -> None:
        self._socket.settimeout(ENDING_SECONDS)
        connection, _ = self._socket.accept()
        with connection:
            connection.settimeout(ENDING_SECONDS)
            try:
                if self._banner:
                    connection.sendall(self._banner)
                if self._closes:
                    connection.shutdown(socket.SHUT_WR)
                while data := connection.recv(65536):
                    self.received += data
                # Whoever had closed with something unread would have reset us, by now or soon.
                poll = select.poll()
                poll.register(connection, select.POLLERR)
                poll.poll(100)
                number = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                self.ended = "reset" if number else "fin"
            except ConnectionError:
                self.ended = "reset"


def tcp(port: int, host: str = "127.0.0.1") -> Any:
    return parse_tcp(f"tcp://{host}:{port}")


async def ended(listener: Listener, prober: Prober) -> str:
    await prober.prober.part()
    await asyncio.to_thread(listener._thread.join, ENDING_SECONDS)
    return listener.ended


@pytest.mark.parametrize("closes", [False, True])
@pytest.mark.parametrize("banner", [b"", b"220 mail.example.com ESMTP\r\n", b"x" * 40_000])
async def test_nothing_is_sent_and_the_end_is_clean(
    prober: Prober, *, banner: bytes, closes: bool
) -> None:
    """No byte goes there; a banner and an early end are no failure; we close with FIN, not RST."""
    with Listener(banner=banner, closes=closes) as listener:
        checked = await prober.check(tcp(listener.port))

        assert await ended(listener, prober) == "fin"
    assert listener.received == b""
    assert verdict.failure(checked.probe) is None
    assert checked.measured.answer == "connected"


async def test_a_banner_that_comes_late_finds_us_reading(
    prober: Prober, serve: Callable[..., FaultServer]
) -> None:
    """What comes after the check was over is read, and not answered by a reset."""
    found: list[str] = []

    def late(connection: Connection) -> None:
        assert connection.socket.recv(1) == b""  # our FIN
        try:
            connection.socket.sendall(b"220 too late\r\n")
            connection.socket.shutdown(socket.SHUT_WR)
            poll = select.poll()
            poll.register(connection.socket, select.POLLERR)
            poll.poll(100)  # for a reset to come, if one comes
            number = connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            found.append("reset" if number else "fin")
        except ConnectionError:
            found.append("reset")

    server = serve(late)
    await prober.check(tcp(server.port))
    await prober.prober.part()
    await until(lambda: bool(found), seconds=ENDING_SECONDS)
    assert found == ["fin"]


async def test_a_far_end_that_never_closes_is_left_after_a_while(
    prober: Prober, serve: Callable[..., FaultServer]
) -> None:
    """Its socket is not kept for ever, and the check does not wait for it."""
    server = serve(lambda connection: connection.sleep(60) and None)
    checked = await prober.check(tcp(server.port))
    assert verdict.failure(checked.probe) is None
    assert prober.prober._shared.parting._left
    await prober.prober.part()
    assert not prober.prober._shared.parting._left


async def test_what_never_ends_is_not_read_for_ever(
    prober: Prober, serve: Callable[..., FaultServer]
) -> None:
    """A far end that sends on and on is cut off."""
    over = threading.Event()

    def endless(connection: Connection) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection.socket.sendall(b"x" * 65536)
        over.set()

    server = serve(endless)
    checked = await prober.check(tcp(server.port))
    await prober.prober.part()
    assert verdict.failure(checked.probe) is None
    assert await asyncio.to_thread(over.wait, ENDING_SECONDS)


async def test_a_connection_is_spans_without_http(prober: Prober) -> None:
    """A CLIENT span with the conventions' names, and the connect below it; no http attribute."""
    with Listener() as listener:
        checked = await prober.check(tcp(listener.port))

    span = checked.client_span
    assert span.name == "TCP connect"
    assert [one.name for one in checked.spans] == ["socket connect", "TCP connect", "check"]
    attributes = checked.attributes
    assert not [name for name in attributes if name.startswith(("http.", "url."))]
    assert attributes[semconv.SERVER_ADDRESS] == "127.0.0.1"
    assert attributes[semconv.SERVER_PORT] == listener.port
    assert attributes[semconv.NETWORK_TRANSPORT] == "tcp"
    assert attributes[semconv.NETWORK_PEER_ADDRESS] == "127.0.0.1"
    assert attributes[semconv.NETWORK_PEER_PORT] == listener.port
    assert checked.events == ["connect_start", "connect_done", "got_conn"]
    measured = checked.measured
    assert measured.timing_source is TimingSource.KERNEL
    assert measured.split.connect is not None
    assert measured.split.duration == measured.split.connect
    assert attributes[semconv.DURATION] == measured.split.duration
    assert measured.split.network_round_trip is not None
    assert measured.split.own_delay is not None
    (step,) = checked.named("socket connect")
    assert step.parent is not None
    assert span.context is not None
    assert step.parent.span_id == span.context.span_id


async def test_names_and_both_families(certificates: Certificates) -> None:
    """A name is looked up, its look-up a span; an IPv6 literal is asked as it stands."""
    async with Prober(names={"db.test": ["127.0.0.1"]}) as prober:
        with Listener() as listener:
            named = await prober.check(tcp(listener.port, "db.test"))
        with Listener(family=socket.AF_INET6) as listener:
            six = await prober.check(tcp(listener.port, "[::1]"))
    names = [one.name for one in named.spans]
    assert names == ["DNS lookup", "socket connect", "TCP connect", "check"]
    assert named.measured.peer_address == "127.0.0.1"
    assert six.measured.peer_address == "::1"
    assert six.measured.answer == "connected"


async def test_nobody_listens(prober: Prober, closed_port: int) -> None:
    """Refused is refused; the CLIENT span has our word and sentence."""
    checked = await prober.check(tcp(closed_port))

    failure = checked.probe.failure
    assert failure is not None
    assert (failure.error_type, failure.phase) == (ErrorType.CONNECTION_REFUSED, Phase.CONNECT)
    assert checked.measured.word == ""
    assert checked.attributes["error.type"] == "connection_refused"
    assert semconv.DURATION not in checked.attributes
    assert checked.client_span.status.description == failure.message


# --- TLS ----------------------------------------------------------------------------------------


def asked(text: str, **more: Any) -> dict[str, Any]:
    """A target's fields of an extra check."""
    target = extra_target(parse_check(text), interval_seconds=5.0, timeout_seconds=10.0)
    return {"url": target.url, "tls": target.tls, "server_name": target.server_name, **more}


@pytest.mark.parametrize(
    ("kind", "expect", "error_type"),
    [
        (Kind.GOOD, "", None),
        (Kind.GOOD, ";expect=localhost", None),
        (Kind.GOOD, ";expect=db.example.com", ErrorType.TLS_HOSTNAME_MISMATCH),
        (Kind.EXPIRED, "", ErrorType.TLS_CERTIFICATE_EXPIRED),
        (Kind.WRONG_NAME, "", ErrorType.TLS_HOSTNAME_MISMATCH),
        (Kind.UNTRUSTED, "", ErrorType.TLS_CERTIFICATE_UNTRUSTED),
    ],
)
async def test_tls(
    *,
    prober: Prober,
    serve: Callable[..., FaultServer],
    certificates: Certificates,
    kind: Kind,
    expect: str,
    error_type: ErrorType | None,
) -> None:
    """The handshake is checked, and the certificate against the host or the expected name."""
    server = serve(silent, tls=certificates.context(kind))
    checked = await prober.check(**asked(f"tcp://127.0.0.1:{server.port};tls{expect}"))

    failure = checked.probe.failure
    assert (failure and failure.error_type) == error_type
    assert "TLS client handshake" in [one.name for one in checked.spans]
    if error_type is None:
        assert checked.measured.answer == "connected"
        assert checked.measured.split.tls is not None
        assert checked.measured.certificate_expiry is not None
        assert checked.events[-3:] == ["tls_handshake_start", "tls_handshake_done", "got_conn"]
    else:
        assert failure is not None
        assert failure.phase is Phase.TLS


async def test_no_protocol_is_offered(
    prober: Prober, serve: Callable[..., FaultServer], certificates: Certificates
) -> None:
    """A server that knows ALPN and no HTTP would have to refuse "http/1.1" (RFC 7301)."""
    offered: list[str | None] = []

    def note(connection: Connection) -> None:
        offered.append(connection.socket.selected_alpn_protocol())  # type: ignore[attr-defined]
        silent(connection)

    context = certificates.context(Kind.GOOD)
    context.set_alpn_protocols(["http/1.1"])
    server = serve(note, tls=context)
    checked = await prober.check(**asked(f"tcp://127.0.0.1:{server.port};tls"))
    assert checked.probe.failure is None
    await until(lambda: bool(offered), seconds=ENDING_SECONDS)
    assert offered == [None]


async def test_tls_ends_with_a_goodbye(
    prober: Prober, serve: Callable[..., FaultServer], certificates: Certificates
) -> None:
    """close_notify, then FIN: the far end reads an end, and no truncation and no reset."""
    found: list[bytes | str] = []

    def note(connection: Connection) -> None:
        try:
            found.append(connection.socket.recv(1))
        except OSError as error:
            found.append(str(error))

    server = serve(note, tls=certificates.context(Kind.GOOD))
    checked = await prober.check(**asked(f"tcp://127.0.0.1:{server.port};tls"))
    await prober.prober.part()
    assert checked.probe.failure is None
    await until(lambda: bool(found), seconds=ENDING_SECONDS)
    assert found == [b""]


@pytest.mark.parametrize("first", [b"\x15\x03\x03\x00\x02\x02\x28", b"SSH-2.0-OpenSSH\r\n", b""])
async def test_a_far_end_that_refuses_tls(
    prober: Prober, serve: Callable[..., FaultServer], first: bytes
) -> None:
    """An alert, another protocol, a closed connection: the handshake failed."""

    def refuse(connection: Connection) -> None:
        connection.socket.recv(65536)
        if first:
            connection.send(first)

    server = serve(refuse)
    checked = await prober.check(**asked(f"tcp://127.0.0.1:{server.port};tls"))
    failure = checked.probe.failure
    assert failure is not None
    assert (failure.error_type, failure.phase) == (ErrorType.TLS_HANDSHAKE_FAILED, Phase.TLS)


async def test_a_silent_far_end_accepts_and_never_shakes_hands(
    prober: Prober, serve: Callable[..., FaultServer]
) -> None:
    """Without TLS it is connected; with it, its process is seen to hang."""
    server = serve(silent)
    plain: Checked = await prober.check(**asked(f"tcp://127.0.0.1:{server.port}"))
    tls = await prober.check_in_peace(
        timeout_seconds=0.5, **asked(f"tcp://127.0.0.1:{server.port};tls")
    )
    assert plain.measured.answer == "connected"
    failure = tls.probe.failure
    assert failure is not None
    assert failure.error_type == ErrorType.TLS_HANDSHAKE_TIMEOUT


async def test_insecure_applies(
    serve: Callable[..., FaultServer], certificates: Certificates
) -> None:
    """KUBENURSE_INSECURE is for extra checks, those included; and its context is made once."""
    server = serve(silent, tls=certificates.context(Kind.SELF_SIGNED))
    trust = TrustStore(TrustConfig(insecure=True))
    async with Prober(trust=trust) as prober:
        checked = await prober.check(**asked(f"tcp://127.0.0.1:{server.port};tls"))
    assert checked.probe.failure is None
