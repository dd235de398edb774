"""Who gets the token and traceparent, and that nothing else ever holds them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import httpx
import pytest
from opentelemetry import baggage, context
from probing import Prober
from servers import BEHAVIOURS, Kind, answer, http_proxy, redirect

from kubenurse_otel import __version__
from kubenurse_otel.config import TrustConfig
from kubenurse_otel.config.urls import PROXY
from kubenurse_otel.errors import ErrorType
from kubenurse_otel.model import Auth, Trust
from kubenurse_otel.probe.trust import TrustStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from servers import Certificates, FaultServer

TOKEN = "eyJhbGciOi.s3cr3t.T0k3n"
BEARER = f"Bearer {TOKEN}"


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    return path


@pytest.fixture
async def agent(
    certificates: Certificates, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Prober]:
    """An agent with a token, whose user asked for every header to be captured."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST", ".*")
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_RESPONSE", ".*")
    async with Prober(ca_file=certificates.ca_file, token_file=token_file) as prober:
        yield prober


def assert_never_sent(*servers: FaultServer) -> None:
    for server in servers:
        for request in server.requests:
            assert TOKEN.encode() not in request.raw


async def test_the_api_server_gets_the_token(
    serve: Callable[..., FaultServer],
    agent: Prober,
    certificates: Certificates,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The bearer token arrives, and stands in no span, no log and no header that we hand back."""
    caplog.set_level(logging.DEBUG)
    server = serve(answer(), tls=certificates.context())

    checked = await agent.check_api_server(server.url("/version"))

    assert checked.probe.failure is None
    assert [request.headers["authorization"] for request in server.requests] == [BEARER]
    assert TOKEN not in checked.everything()
    assert TOKEN not in caplog.text
    assert TOKEN not in repr(checked.probe)


@pytest.mark.parametrize("name", ["ok", "unavailable", "reset_after_request", "garbage_binary"])
async def test_no_failure_holds_the_token(
    serve: Callable[..., FaultServer],
    agent: Prober,
    certificates: Certificates,
    name: str,
) -> None:
    """Whatever the API server does with our request, no span or exception repeats it."""
    server = serve(BEHAVIOURS[name], tls=certificates.context())

    checked = await agent.check_api_server(server.url("/version"))

    assert server.requests[0].headers["authorization"] == BEARER
    assert TOKEN not in checked.everything()
    assert TOKEN not in repr(checked.probe)


@pytest.mark.parametrize("trust", Trust)
async def test_other_targets_get_no_token(
    serve: Callable[..., FaultServer], agent: Prober, certificates: Certificates, trust: Trust
) -> None:
    """An extra check of a /version over good TLS gets none, though kubenurse would send it."""
    server = serve(answer(), tls=certificates.context())

    await agent.check(server.url("/version"), trust=trust)

    assert len(server.requests) == 1
    assert_never_sent(server)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_an_answer(
    serve: Callable[..., FaultServer], agent: Prober, certificates: Certificates, status: int
) -> None:
    """A redirect is not followed: whoever it names is never asked."""
    elsewhere = serve(answer())
    server = serve(redirect(elsewhere.url("/version"), status), tls=certificates.context())

    checked = await agent.check_api_server(server.url("/version"))

    assert checked.measured.status_code == status
    assert server.requests[0].headers["authorization"] == BEARER
    assert elsewhere.accepted == 0


async def test_the_request_holds_little(serve: Callable[..., FaultServer], agent: Prober) -> None:
    """Host, who we are, */*, the target's headers and traceparent: nothing that grows."""
    server = serve(answer(headers=[("Set-Cookie", "a=b; Path=/")]))
    for _ in range(2):
        await agent.check_path(server.url(), headers=(("KUBENURSE-NEIGHBOUR-ORIGIN", "pod-a"),))

    _, request = server.requests
    sent = dict(request.headers)
    assert sent.pop("traceparent")
    assert request.line == "GET /alwayshappy HTTP/1.1"
    assert sent == {
        "host": f"127.0.0.1:{server.port}",
        "user-agent": f"kubenurse-otel/{__version__}",
        "accept": "*/*",
        "kubenurse-neighbour-origin": "pod-a",
    }


async def test_nothing_but_the_targets_own_url_is_asked(
    serve: Callable[..., FaultServer], agent: Prober, certificates: Certificates
) -> None:
    """Though the request that httpx carries says another one: the token cannot go along."""
    elsewhere = serve(answer(), tls=certificates.context())
    server = serve(redirect(elsewhere.url("/version")), tls=certificates.context())
    transport = agent.instrumented.transport

    class Redirected(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            request.url = httpx.URL(elsewhere.url("/version"))
            return await transport.handle_async_request(request)

    agent.instrumented.transport = Redirected()
    checked = await agent.check_api_server(server.url("/version"))

    assert checked.measured.status_code == 301
    assert server.requests[0].headers["authorization"] == BEARER
    assert elsewhere.accepted == 0


async def test_the_token_never_goes_over_http(
    serve: Callable[..., FaultServer], agent: Prober
) -> None:
    """A target with a token and an http:// URL fails before anything is sent."""
    server = serve(answer())

    checked = await agent.check_api_server(server.url("/version"))

    assert checked.probe.failure is not None
    assert checked.probe.failure.error_type == ErrorType.CREDENTIALS_MISSING
    assert_never_sent(server)


async def test_the_token_never_goes_to_trust_that_may_be_insecure(
    serve: Callable[..., FaultServer], agent: Prober, certificates: Certificates
) -> None:
    """Workload trust may be switched off by KUBENURSE_INSECURE: no token under it, ever."""
    server = serve(answer(), tls=certificates.context())

    checked = await agent.check(
        server.url("/version"), auth=Auth.SERVICE_ACCOUNT_TOKEN, trust=Trust.WORKLOAD
    )

    assert checked.probe.failure is not None
    assert checked.probe.failure.error_type == ErrorType.CREDENTIALS_MISSING
    assert_never_sent(server)


@pytest.mark.parametrize("kind", [Kind.EXPIRED, Kind.WRONG_NAME, Kind.UNTRUSTED, Kind.SELF_SIGNED])
async def test_insecure_does_not_apply_to_the_api_server(
    serve: Callable[..., FaultServer],
    certificates: Certificates,
    token_file: Path,
    kind: Kind,
) -> None:
    """With KUBENURSE_INSECURE a bad API server still fails TLS and gets nothing from us."""
    server = serve(answer(), tls=certificates.context(kind))

    async with Prober(ca_file=certificates.ca_file, token_file=token_file, insecure=True) as prober:
        checked = await prober.check_api_server(server.url("/version"))

    assert checked.probe.failure is not None
    assert checked.probe.failure.phase == "tls"
    assert server.requests == []


async def test_a_proxy_sees_no_token(
    serve: Callable[..., FaultServer], agent: Prober, certificates: Certificates
) -> None:
    """Through CONNECT the token is inside the tunnel only."""
    server = serve(answer(), tls=certificates.context())
    proxy = serve(http_proxy())

    checked = await agent.check_api_server(server.url("/version"), proxy=PROXY.parse(proxy.origin))

    assert checked.probe.failure is None
    assert server.requests[0].headers["authorization"] == BEARER
    assert_never_sent(proxy)


async def test_a_rotated_token_is_used(
    serve: Callable[..., FaultServer], certificates: Certificates, token_file: Path
) -> None:
    """A new token is read when its file changed; an empty (half-written) one keeps the old."""
    now = 0.0
    config = TrustConfig(ca_file=certificates.ca_file, token_file=token_file)
    server = serve(answer(), tls=certificates.context())

    async with Prober(trust=TrustStore(config, clock=lambda: now)) as prober:
        for text in ("first", "second", "", "third-one"):
            fresh = token_file.with_suffix(".new")
            fresh.write_text(text)
            fresh.replace(token_file)
            now += 60
            await prober.check_api_server(server.url("/version"))

    sent = [request.headers["authorization"] for request in server.requests]
    assert sent == ["Bearer first", "Bearer second", "Bearer second", "Bearer third-one"]


@pytest.mark.parametrize("reuse_connection", [False, True])
async def test_once_a_cluster_vouched_nobody_wider_does(
    serve: Callable[..., FaultServer],
    certificates: Certificates,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    reuse_connection: bool,
) -> None:
    """Without ca.crt no public authority takes its place, and the token stays here."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.stranger_ca_file))
    now = 0.0
    ca_file, token_file = tmp_path / "ca.crt", tmp_path / "token"
    ca_file.write_bytes(certificates.ca_file.read_bytes())
    token_file.write_text(TOKEN)
    ours = serve(answer(), tls=certificates.context())
    public = serve(answer(), tls=certificates.context(Kind.UNTRUSTED))
    outcomes = []

    async def ask(server: FaultServer) -> None:
        nonlocal now
        now += 60
        checked = await prober.check_api_server(server.url(), reuse_connection=reuse_connection)
        outcomes.append(checked.probe.failure and checked.probe.failure.error_type)

    config = TrustConfig(ca_file=ca_file, token_file=token_file)
    async with Prober(trust=TrustStore(config, clock=lambda: now)) as prober:
        await ask(ours)
        ca_file.rename(tmp_path / "gone")
        await ask(public)
        await ask(ours)
        token_file.rename(tmp_path / "token, gone")
        await ask(public)
        (tmp_path / "gone").rename(ca_file)
        await ask(public)
        await ask(ours)

    missing, untrusted = ErrorType.CREDENTIALS_MISSING, ErrorType.TLS_CERTIFICATE_UNTRUSTED
    assert outcomes == [None, missing, missing, missing, untrusted, None]
    assert public.requests == []
    assert len(ours.requests) == 2


async def test_a_token_without_an_authority_stays_here(
    serve: Callable[..., FaultServer],
    certificates: Certificates,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A mounted token says that this is a cluster, from the start and when it comes later."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca_file))
    token_file = tmp_path / "token"
    server = serve(answer(), tls=certificates.context())
    outcomes = []
    async with Prober(ca_file=tmp_path / "ca.crt", token_file=token_file) as prober:
        for text in ("", TOKEN):
            if text:
                token_file.write_text(text)
            checked = await prober.check_api_server(server.url())
            outcomes.append(checked.probe.failure and checked.probe.failure.error_type)

    assert outcomes == [None, ErrorType.CREDENTIALS_MISSING]
    assert [request.headers.get("authorization") for request in server.requests] == [None]


@pytest.mark.parametrize("text", ["two words", "new\nline", "t\u00f6ken", "nul\0"])
async def test_a_token_that_is_none_is_not_sent(
    serve: Callable[..., FaultServer], certificates: Certificates, tmp_path: Path, text: str
) -> None:
    """A token file with something else in it injects no header; the check says what is wrong."""
    token_file = tmp_path / "token"
    token_file.write_text(text)
    server = serve(answer(), tls=certificates.context())

    async with Prober(ca_file=certificates.ca_file, token_file=token_file) as prober:
        checked = await prober.check_api_server(server.url("/version"))

    assert checked.probe.failure is not None
    assert checked.probe.failure.error_type == ErrorType.CREDENTIALS_MISSING
    assert all("authorization" not in request.headers for request in server.requests)


@pytest.mark.parametrize("propagate", [True, False])
async def test_traceparent_goes_where_it_is_wanted(
    serve: Callable[..., FaultServer], agent: Prober, *, propagate: bool
) -> None:
    """Targets with ``propagate`` get our trace's id, others nothing; baggage goes to nobody."""
    server = serve(answer())
    token = context.attach(baggage.set_baggage("owner", "somebody"))
    try:
        checked = await agent.check(server.url(), propagate=propagate)
    finally:
        context.detach(token)

    headers = server.requests[0].headers
    assert "baggage" not in headers
    if propagate:
        span = checked.client_span.context
        version, trace_id, span_id, flags = headers["traceparent"].split("-")
        assert (version, trace_id) == ("00", f"{span.trace_id:032x}")
        assert span_id == f"{span.span_id:016x}"
        assert int(flags, 16) & 1
    else:
        assert "traceparent" not in headers
        assert "tracestate" not in headers


async def test_what_is_sent_is_what_the_target_says(
    serve: Callable[..., FaultServer], agent: Prober
) -> None:
    """One GET with Host, our User-Agent, the target's own headers, and no Connection: close."""
    server = serve(answer())

    await agent.check(
        server.url("/a%20b?x=1"), headers=(("KUBENURSE-NEIGHBOUR-ORIGIN", "kubenurse-abcde"),)
    )

    (request,) = server.requests
    assert request.line == "GET /a%20b?x=1 HTTP/1.1"
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    assert request.headers["kubenurse-neighbour-origin"] == "kubenurse-abcde"
    # The far end's FIN would come right behind its answer, and take over its time stamp.
    assert "connection" not in request.headers
    assert "cookie" not in request.headers


async def test_a_query_string_stays_out_of_messages(
    serve: Callable[..., FaultServer], agent: Prober
) -> None:
    """A secret in an extra check's URL is in no message, whatever happens to the check."""
    server = serve(BEHAVIOURS["reset_after_request"])

    checked = await agent.check(server.url("/?key=s3cr3t"))

    assert checked.probe.failure is not None
    assert "s3cr3t" not in checked.probe.failure.message
    assert "s3cr3t" not in str(checked.client_span.status.description)


async def test_a_set_cookie_is_not_kept(serve: Callable[..., FaultServer], agent: Prober) -> None:
    """A far end cannot plant a cookie that our next check would carry."""
    server = serve(answer(headers=[("Set-Cookie", "session=abc; Path=/")]))

    await agent.check(server.url())
    await agent.check(server.url())

    assert all("cookie" not in request.headers for request in server.requests)
