"""Proxies on the way: plain and over TLS, with a password and without, and what is told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from probing import Prober, failures_as_the_ca_changes
from servers import BEHAVIOURS, Kind, answer, http_proxy, speaks_first

from kubenurse_otel.config.urls import PROXY
from kubenurse_otel.errors import ErrorType
from kubenurse_otel.model import Phase, Proxy, Trust

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers import Certificates, FaultServer

PASSWORD = "s3cr3t"
BASIC = "Basic dXNlcjpzM2NyM3Q="  # user:s3cr3t


def via(port: int, *, scheme: str = "http", user: str = "") -> Proxy:
    return PROXY.parse(f"{scheme}://{user}127.0.0.1:{port}")


async def test_http_through_a_proxy_is_in_absolute_form(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """A proxy is asked for the whole URL, and is the peer."""
    server, proxy = serve(answer()), serve(http_proxy())

    checked = await prober.check(server.url("/a?b=c"), proxy=via(proxy.port))

    assert checked.probe.failure is None
    assert proxy.requests[0].line == f"GET {server.origin}/a?b=c HTTP/1.1"
    assert server.requests[0].headers["host"] == f"127.0.0.1:{server.port}"
    assert checked.measured.peer_port == proxy.port


async def test_https_through_a_proxy_is_in_a_tunnel(
    serve: Callable[..., FaultServer], prober: Prober, certificates: Certificates
) -> None:
    """CONNECT, then TLS with the real far end; the tunnel's time is in connect."""
    server = serve(answer(), tls=certificates.context())
    proxy = serve(http_proxy())

    checked = await prober.check(server.url(), proxy=via(proxy.port))

    assert checked.probe.failure is None
    assert proxy.requests[0].line == f"CONNECT 127.0.0.1:{server.port} HTTP/1.1"
    assert checked.measured.certificate_expiry == certificates.good_until.timestamp()
    assert checked.events[-1] == "got_first_resp_byte"


@pytest.mark.parametrize("status", [403, 407, 502])
async def test_a_proxy_that_refuses(
    serve: Callable[..., FaultServer], prober: Prober, status: int
) -> None:
    """A refused tunnel is the proxy's error, in the phase connect, with its status."""
    proxy = serve(http_proxy(connect_status=status))

    checked = await prober.check("https://127.0.0.1:1/", proxy=via(proxy.port))

    failure = checked.probe.failure
    assert failure is not None
    assert (failure.error_type, failure.phase) == (ErrorType.PROXY_ERROR, Phase.CONNECT)
    assert failure.event == "connect_done"
    assert failure.message.startswith(f"the proxy 127.0.0.1:{proxy.port} did not open a tunnel")
    assert str(status) in failure.message


async def test_a_dead_proxy_is_named(closed_port: int, prober: Prober) -> None:
    """What cannot be reached is the proxy, and the message says which."""
    checked = await prober.check("http://192.0.2.1/", proxy=via(closed_port))

    failure = checked.probe.failure
    assert failure is not None
    assert failure.error_type == ErrorType.CONNECTION_REFUSED
    assert failure.message.startswith(f"the proxy 127.0.0.1:{closed_port} refused")


async def test_a_silent_proxy_is_a_connect_timeout(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """A tunnel that never opens is a connection that never came."""
    proxy = serve(BEHAVIOURS["silent"])

    checked = await prober.check_in_peace(
        "https://127.0.0.1:1/", proxy=via(proxy.port), timeout_seconds=1.0
    )

    failure = checked.probe.failure
    assert failure is not None
    assert (failure.error_type, failure.event) == (ErrorType.CONNECT_TIMEOUT, "connect_done")


@pytest.mark.parametrize("proxy_scheme", ["http", "https"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxys_password_goes_to_it_alone(
    serve: Callable[..., FaultServer],
    prober: Prober,
    certificates: Certificates,
    scheme: str,
    proxy_scheme: str,
) -> None:
    """Over each kind of proxy to each kind of far end; no span and no message has it."""
    server = serve(answer(), tls=certificates.context() if scheme == "https" else None)
    proxy = serve(http_proxy(), tls=certificates.context() if proxy_scheme == "https" else None)

    checked = await prober.check(
        server.url("/a"), proxy=via(proxy.port, scheme=proxy_scheme, user=f"user:{PASSWORD}@")
    )

    assert checked.probe.failure is None
    assert proxy.requests[0].headers["proxy-authorization"] == BASIC
    assert checked.measured.status_code == 200
    assert "proxy-authorization" not in (server.requests[0].headers if scheme == "https" else {})
    assert checked.measured.peer_port == proxy.port
    assert (checked.measured.split.tls is not None) == (scheme == "https")
    for secret in (PASSWORD, BASIC.partition(" ")[2]):
        assert secret not in checked.everything() + repr(checked.probe)


async def test_a_far_end_behind_a_tls_proxy_is_verified_by_itself(
    serve: Callable[..., FaultServer], prober: Prober, certificates: Certificates
) -> None:
    """The proxy's certificate vouches for the proxy: the far end shows its own, inside."""
    server = serve(answer(), tls=certificates.context(Kind.WRONG_NAME))
    proxy = serve(http_proxy(), tls=certificates.context())

    checked = await prober.check(server.url(), proxy=via(proxy.port, scheme="https"))

    failure = checked.probe.failure
    assert failure is not None
    assert failure.error_type == ErrorType.TLS_HOSTNAME_MISMATCH
    assert f"127.0.0.1:{server.port}" in failure.message


async def test_a_kept_connection_to_a_tls_proxy_is_as_good_as_who_vouched_for_it(
    serve: Callable[..., FaultServer], certificates: Certificates, tmp_path: Path
) -> None:
    """Also where the far end itself is asked without TLS: a new CA file ends it."""
    server = serve(answer())
    proxy = via(serve(http_proxy(), tls=certificates.context()).port, scheme="https")

    found = await failures_as_the_ca_changes(
        certificates,
        tmp_path / "ca.crt",
        lambda prober: prober.check(
            server.url(), proxy=proxy, reuse_connection=True, trust=Trust.API_SERVER
        ),
    )

    assert found == [None, None, ErrorType.TLS_CERTIFICATE_UNTRUSTED]


async def test_a_proxy_that_is_not_trusted_gets_no_password(
    serve: Callable[..., FaultServer], prober: Prober, certificates: Certificates
) -> None:
    """Its certificate is verified by the same authorities, before anything is asked of it."""
    proxy = serve(http_proxy(), tls=certificates.context(Kind.UNTRUSTED))

    checked = await prober.check(
        "https://192.0.2.1/", proxy=via(proxy.port, scheme="https", user=f"user:{PASSWORD}@")
    )

    failure = checked.probe.failure
    assert failure is not None
    assert (failure.error_type, failure.phase) == (
        ErrorType.TLS_CERTIFICATE_UNTRUSTED,
        Phase.TLS,
    )
    assert f"127.0.0.1:{proxy.port}" in failure.message
    assert not proxy.requests


async def test_a_proxy_that_ends_in_its_handshake(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """What was to be a TLS proxy and is none is named, and nothing hangs."""
    proxy = serve(speaks_first(b"SSH-2.0-OpenSSH\r\n"))

    checked = await prober.check("http://192.0.2.1/", proxy=via(proxy.port, scheme="https"))

    failure = checked.probe.failure
    assert failure is not None
    assert failure.error_type == ErrorType.TLS_HANDSHAKE_FAILED
    assert f"127.0.0.1:{proxy.port}" in failure.message
