"""TLS: certificates good and bad, handshakes that break in every way, versions, who is trusted."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from probing import Prober
from servers import BEHAVIOURS, Kind, answer, bare_close_notify, speaks_first, tunnel

from kubenurse_otel import semconv
from kubenurse_otel.config import TrustConfig
from kubenurse_otel.errors import ErrorType
from kubenurse_otel.model import Phase, Trust
from kubenurse_otel.probe import sockets
from kubenurse_otel.probe.kernel import read_clocks
from kubenurse_otel.probe.marks import Marks
from kubenurse_otel.probe.trust import TrustStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers import Certificates, FaultServer

TCP_CLOSE = 7
"""enum of include/net/tcp_states.h: a reset came."""
TLS_DONE = semconv.EVENT_TLS_DONE
ROUND_TRIP_ERROR = semconv.EVENT_ROUND_TRIP_ERROR


@pytest.mark.parametrize(
    ("kind", "error_type"),
    [
        (Kind.EXPIRED, ErrorType.TLS_CERTIFICATE_EXPIRED),
        (Kind.NOT_YET_VALID, ErrorType.TLS_CERTIFICATE_NOT_YET_VALID),
        (Kind.WRONG_NAME, ErrorType.TLS_HOSTNAME_MISMATCH),
        (Kind.NO_IP, ErrorType.TLS_HOSTNAME_MISMATCH),
        (Kind.UNTRUSTED, ErrorType.TLS_CERTIFICATE_UNTRUSTED),
        (Kind.SELF_SIGNED, ErrorType.TLS_CERTIFICATE_UNTRUSTED),
    ],
)
@pytest.mark.parametrize("trust", Trust)
async def test_a_bad_certificate_has_its_word(
    *,
    serve: Callable[..., FaultServer],
    prober: Prober,
    certificates: Certificates,
    trust: Trust,
    kind: Kind,
    error_type: ErrorType,
) -> None:
    """What is wrong with a certificate is told apart, and no request is sent to whoever has it."""
    server = serve(answer(), tls=certificates.context(kind))

    checked = await prober.check(server.url(), trust=trust)

    failure = checked.probe.failure
    assert failure is not None
    assert (failure.error_type, failure.phase, failure.event) == (error_type, Phase.TLS, TLS_DONE)
    assert server.requests == []
    assert checked.events[-1] == semconv.EVENT_TLS_START
    assert checked.measured.split.connect is not None


async def test_insecure_accepts_any_certificate_of_a_workload(
    serve: Callable[..., FaultServer], certificates: Certificates
) -> None:
    """With verification off (KUBENURSE_INSECURE) an expired certificate is no failure."""
    server = serve(answer(), tls=certificates.context(Kind.EXPIRED))

    async with Prober(insecure=True) as prober:
        checked = await prober.check(server.url())

    assert checked.probe.failure is None


@pytest.mark.parametrize(
    ("name", "error_type", "timeout_seconds"),
    [
        ("reset_before_reading", ErrorType.CONNECTION_RESET, 10),
        ("cut", ErrorType.TLS_HANDSHAKE_FAILED, 10),
        ("silent", ErrorType.TLS_HANDSHAKE_TIMEOUT, 1),
        ("ok", ErrorType.TLS_HANDSHAKE_TIMEOUT, 1),  # waits for a request's blank line
    ],
)
async def test_a_handshake_that_breaks_has_its_word(
    serve: Callable[..., FaultServer],
    prober: Prober,
    name: str,
    error_type: ErrorType,
    timeout_seconds: float,
) -> None:
    """A far end that resets, leaves or is silent in the handshake fails in the phase tls."""
    server = serve(BEHAVIOURS[name])

    url = server.url(scheme="https")
    checked = await prober.check_in_peace(url, timeout_seconds=timeout_seconds)

    failure = checked.probe.failure
    assert failure is not None
    assert (failure.error_type, failure.phase, failure.event) == (error_type, Phase.TLS, TLS_DONE)


async def test_a_reset_on_accept_is_a_reset(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """It races with our ClientHello: the connection may be gone before we know that it stood."""
    server = serve(BEHAVIOURS["reset_on_accept"])

    checked = await prober.check(server.url(scheme="https"))

    failure = checked.probe.failure
    assert failure is not None
    assert failure.error_type == ErrorType.CONNECTION_RESET
    assert failure.phase in {Phase.CONNECT, Phase.TLS}


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x28",
    ],
    ids=["ssh", "http", "alert"],
)
async def test_a_far_end_that_does_not_speak_tls(
    serve: Callable[..., FaultServer], prober: Prober, data: bytes
) -> None:
    """Whatever answers a ClientHello with other words, or an alert, failed the handshake."""
    server = serve(speaks_first(data))

    checked = await prober.check(server.url(scheme="https"))

    failure = checked.probe.failure
    assert failure is not None
    assert (failure.error_type, failure.phase) == (ErrorType.TLS_HANDSHAKE_FAILED, Phase.TLS)


@pytest.mark.parametrize("cut_after", [1, 5, 90, 700])
async def test_a_handshake_that_is_reset_in_the_middle(
    serve: Callable[..., FaultServer], prober: Prober, certificates: Certificates, cut_after: int
) -> None:
    """However much of the server's flight came, an RST in the handshake is connection_reset."""
    server = serve(answer(), tls=certificates.context())
    middle = serve(tunnel((server.host, server.port), reset_after_bytes=cut_after))

    checked = await prober.check(middle.url(scheme="https"))

    failure = checked.probe.failure
    assert failure is not None
    assert (failure.error_type, failure.phase) == (ErrorType.CONNECTION_RESET, Phase.TLS)


@pytest.mark.parametrize(
    ("version", "phase"),
    [(ssl.TLSVersion.TLSv1_2, Phase.TLS), (ssl.TLSVersion.TLSv1_3, Phase.REQUEST)],
)
async def test_a_far_end_that_wants_a_client_certificate(
    serve: Callable[..., FaultServer],
    prober: Prober,
    certificates: Certificates,
    version: ssl.TLSVersion,
    phase: Phase,
) -> None:
    """It refuses us in the handshake (TLS 1.2), or with the first read after it (TLS 1.3)."""
    context = certificates.context(client_certificate=True, minimum=version, maximum=version)
    server = serve(answer(), tls=context)

    checked = await prober.check(server.url())

    failure = checked.probe.failure
    assert failure is not None
    assert failure.phase is phase
    # The alert and the RST that follows it race: both are the far end's refusal.
    assert failure.error_type in {ErrorType.TLS_HANDSHAKE_FAILED, ErrorType.CONNECTION_RESET}


@pytest.mark.parametrize(
    ("name", "error_type", "phase", "timeout_seconds"),
    [
        ("reset_before_reading", ErrorType.CONNECTION_RESET, Phase.REQUEST, 10),
        ("reset_after_request", ErrorType.CONNECTION_RESET, Phase.REQUEST, 10),
        ("reset_mid_body", ErrorType.CONNECTION_RESET, Phase.RECEIVE, 10),
        ("cut", ErrorType.CONNECTION_CLOSED_EARLY, Phase.REQUEST, 10),
        ("cut_mid_body", ErrorType.CONNECTION_CLOSED_EARLY, Phase.RECEIVE, 10),
        ("silent_after_request", ErrorType.RESPONSE_TIMEOUT, Phase.REQUEST, 1.5),
        ("dribble_body", ErrorType.RESPONSE_TIMEOUT, Phase.RECEIVE, 1.5),
        ("garbage_binary", ErrorType.MALFORMED_RESPONSE, Phase.RECEIVE, 10),
    ],
)
async def test_faults_inside_tls_are_the_same_as_outside(
    *,
    serve: Callable[..., FaultServer],
    prober: Prober,
    certificates: Certificates,
    name: str,
    error_type: ErrorType,
    phase: Phase,
    timeout_seconds: float,
) -> None:
    """After a good handshake a fault has the word that it has without TLS."""
    server = serve(BEHAVIOURS[name], tls=certificates.context())

    checked = await prober.check_in_peace(server.url(), timeout_seconds=timeout_seconds)

    failure = checked.probe.failure
    assert failure is not None
    assert (failure.error_type, failure.phase) == (error_type, phase)
    assert failure.event == ROUND_TRIP_ERROR
    assert semconv.DURATION not in checked.attributes


async def test_a_session_that_ends_in_order_without_an_answer(
    serve: Callable[..., FaultServer], prober: Prober, certificates: Certificates
) -> None:
    """close_notify in place of an answer is a connection that was closed early, and no answer."""
    server = serve(bare_close_notify, tls=certificates.context())

    checked = await prober.check(server.url())

    failure = checked.probe.failure
    assert failure is not None
    assert failure.error_type == ErrorType.CONNECTION_CLOSED_EARLY
    assert failure.phase is Phase.REQUEST
    assert checked.events[-1] == semconv.EVENT_WROTE_REQUEST


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_good_handshake_is_told(
    serve: Callable[..., FaultServer],
    prober: Prober,
    certificates: Certificates,
    version: ssl.TLSVersion,
) -> None:
    """Version, cipher, expiry, ALPN and every phase of an https check stand on its spans."""
    context = certificates.context(minimum=version, maximum=version)
    server = serve(answer(), tls=context)

    checked = await prober.check(server.url())

    assert checked.probe.failure is None
    (handshake,) = checked.named(semconv.SPAN_TLS_HANDSHAKE)
    assert handshake.attributes is not None
    expected = {ssl.TLSVersion.TLSv1_2: "1.2", ssl.TLSVersion.TLSv1_3: "1.3"}[version]
    assert handshake.attributes[semconv.TLS_PROTOCOL_NAME] == "tls"
    assert handshake.attributes[semconv.TLS_PROTOCOL_VERSION] == expected
    expiry = certificates.good_until.timestamp()
    assert checked.attributes[semconv.CERTIFICATE_EXPIRY] == expiry
    split = checked.measured.split
    assert split.tls is not None
    assert split.tls > 0
    assert checked.events == [
        *("connect_start", "connect_done", "tls_handshake_start", "tls_handshake_done"),
        *("got_conn", "wrote_request", "got_first_resp_byte"),
    ]


async def test_the_server_name_is_asked_for_and_verified(
    serve: Callable[..., FaultServer], prober: Prober, certificates: Certificates
) -> None:
    """A path check goes to an IP address and verifies the Service's name, sent as SNI."""
    asked: list[str | None] = []
    context = certificates.context(Kind.NO_IP)
    context.sni_callback = lambda _sock, name, _context: asked.append(name)
    server = serve(answer(), tls=context)

    by_name = await prober.check(server.url(), server_name="agent.test")
    by_other_name = await prober.check(server.url(), server_name="stranger.test")

    assert by_name.probe.failure is None
    assert by_other_name.probe.failure is not None
    assert by_other_name.probe.failure.error_type == ErrorType.TLS_HOSTNAME_MISMATCH
    assert asked == ["agent.test", "stranger.test"]


async def test_ip_addresses_are_verified_as_such(
    serve: Callable[..., FaultServer], prober: Prober, certificates: Certificates
) -> None:
    """An IP SAN makes an https URL with an address good, IPv4 and IPv6, without a name in SNI."""
    for host in ("127.0.0.1", "::1"):
        server = serve(answer(), host=host, tls=certificates.context())

        checked = await prober.check(server.url())

        assert checked.probe.failure is None
        assert checked.measured.peer_address == host


async def test_only_http_1_1_is_offered(
    serve: Callable[..., FaultServer], prober: Prober, certificates: Certificates
) -> None:
    """A far end that would speak HTTP/2 is told that we do not."""
    chosen: list[str | None] = []

    def note(connection: object) -> None:
        chosen.append(connection.socket.selected_alpn_protocol())  # type: ignore[attr-defined]
        answer()(connection)  # type: ignore[arg-type]

    context = certificates.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    server = serve(note, tls=context)

    await prober.check(server.url())

    assert chosen == ["http/1.1"]


async def test_old_versions_of_tls_are_refused(
    serve: Callable[..., FaultServer], prober: Prober, certificates: Certificates
) -> None:
    """A far end that only speaks TLS 1.1 fails the handshake, on our side."""
    context = certificates.context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    server = serve(answer(), tls=context)

    checked = await prober.check(server.url())

    failure = checked.probe.failure
    assert failure is not None
    assert (failure.error_type, failure.phase) == (ErrorType.TLS_HANDSHAKE_FAILED, Phase.TLS)


async def test_a_broken_ca_file_is_our_own_trouble(
    serve: Callable[..., FaultServer], certificates: Certificates, tmp_path: Path
) -> None:
    """A ca.crt that holds no certificate is said to be the reason; nothing is sent unverified."""
    ca_file = tmp_path / "ca.crt"
    ca_file.write_text("not a certificate")
    server = serve(answer(), tls=certificates.context())

    async with Prober(ca_file=ca_file) as prober:
        checked = await prober.check_api_server(server.url())

    failure = checked.probe.failure
    assert failure is not None
    assert failure.error_type == ErrorType.CREDENTIALS_MISSING
    assert server.requests == []


async def test_a_new_ca_is_used_when_its_file_changes(
    serve: Callable[..., FaultServer], certificates: Certificates, tmp_path: Path
) -> None:
    """A rotated ca.crt (a swapped symlink) is trusted at once; a broken one never."""
    now = 0.0
    store = TrustStore(TrustConfig(ca_file=tmp_path / "ca.crt"), clock=lambda: now)
    server = serve(answer(), tls=certificates.context())
    broken = tmp_path / "broken"
    broken.write_text("-----BEGIN CERT")
    outcomes = []

    async with Prober(trust=store) as prober:
        for file in (certificates.stranger_ca_file, certificates.ca_file, broken):
            link = tmp_path / "new"
            link.symlink_to(file)
            link.replace(tmp_path / "ca.crt")
            now += 60
            checked = await prober.check_api_server(server.url())
            outcomes.append(checked.probe.failure and checked.probe.failure.error_type)

    assert outcomes == [ErrorType.TLS_CERTIFICATE_UNTRUSTED, None, None]


async def test_an_alert_before_a_reset_is_what_is_said(
    serve: Callable[..., FaultServer], prober: Prober, certificates: Certificates
) -> None:
    """TLS 1.3: who wants a client certificate says so and resets, both before our request."""
    wanting = certificates.context()
    wanting.minimum_version = ssl.TLSVersion.TLSv1_3
    wanting.verify_mode = ssl.CERT_REQUIRED
    wanting.load_verify_locations(certificates.ca_file)
    server = serve(nothing, tls=wanting)
    marks = Marks(started=read_clocks())
    deadline = asyncio.get_running_loop().time() + 10
    sock = await sockets.connect((server.host,), server.port, deadline=deadline, marks=marks)
    connection = sockets.Connection(sock, marks)
    connection.deadline = deadline
    trusting = ssl.create_default_context(cafile=str(certificates.ca_file))
    await connection.start_tls(trusting, "localhost")
    async with asyncio.timeout(10):
        while sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != TCP_CLOSE:
            await asyncio.sleep(0.001)

    with pytest.raises(ssl.SSLError) as raised:
        await connection.send(b"GET / HTTP/1.1\r\n\r\n")
    connection.close()
    assert raised.value.reason == "TLSV13_ALERT_CERTIFICATE_REQUIRED"

    checks = [await prober.check(server.url()) for _ in range(10)]
    for checked in checks:
        failure = checked.probe.failure
        assert failure is not None
        assert failure.error_type == "tls_handshake_failed"
        assert "it wants a client certificate" in failure.message


def nothing(_: Any) -> None:
    """Nobody gets that far."""
