"""What the configuration takes as a host can be asked: every variable, through the real Checker."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from probing import Prober
from servers import answer, http_proxy

from kubenurse_otel.config import Config, ConfigError, TrustConfig, load
from kubenurse_otel.config.urls import PROXY
from kubenurse_otel.discovery.static import FileError, parse
from kubenurse_otel.errors import ErrorType
from kubenurse_otel.model import Neighbourhood, Target, TargetKind
from kubenurse_otel.plan.targets import plan
from kubenurse_otel.probe import prober
from kubenurse_otel.probe.resolve import Answer, LookUpError
from kubenurse_otel.probe.trust import TrustStore
from kubenurse_otel.text import is_address
from kubenurse_otel.tracing.check import Checker
from kubenurse_otel.tracing.httpx_adapter import InstrumentedProber, request_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers import Certificates, FaultServer

XN = "xn--ls8h"  # a pile of poo: no IDNA2008 name, and a fine label for DNS

HOSTS = (
    st.sampled_from([XN, "XN--LS8H.localhost", "xn--a", "xn--", "a.xn--ls8h", "xN--80ak6aa92e.com"])
    | st.from_regex(r"(xn--|Xn--|)[a-zA-Z0-9_.-]{1,70}", fullmatch=True)
    | st.from_regex(r"[\[\]a-f0-9:.%xn-]{1,40}", fullmatch=True)
    | st.text(max_size=20)
)

VARIABLES: dict[str, str] = {
    "KUBENURSE_INGRESS_URL": "http://{}",
    "KUBENURSE_SERVICE_URL": "https://{}:8443/x",
    "KUBENURSE_EXTRA_CHECKS": "a:http://{}/|b:HTTPS://{}:1/?c=d",
    "KUBERNETES_SERVICE_HOST": "{}",
    "KUBERNETES_SERVICE_DNS": "{}",
    "KUBENURSE_TLS_SERVER_NAME": "{}",
    "HTTP_PROXY": "http://{}:3128",
    "HTTPS_PROXY": "https://u:p@{}",
    "NO_PROXY": "{}",
    "KUBENURSE_LISTEN_ADDRESS": "{}",
    "KUBENURSE_POD_IP": "{}",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://{}:4318",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "{}:4317",
}


async def nobody(host: str, *, deadline: float) -> Answer:
    """A resolver that knows no name, after the encoding that the system's does."""
    now = time.monotonic_ns()
    host.encode("idna")
    raise LookUpError(socket.gaierror(socket.EAI_NONAME, "no such name"), now, now)


async def check_all(targets: list[Target]) -> None:
    """Check each of them once; any exception is a failure of the test."""
    tracing = TracerProvider(shutdown_on_exit=False)
    agent = prober.Prober(trust=TrustStore(TrustConfig()), resolve=nobody)
    checker = Checker(InstrumentedProber(agent, tracing), tracing.get_tracer("tests"))
    for target in targets:
        result = await checker.check(target)
        assert result.failure is not None
        assert result.failure.error_type == ErrorType.HOST_NOT_FOUND
    agent.close()


def asks_a_name(target: Target) -> bool:
    """Addresses are not for a test to ask."""
    proxy = target.proxy
    return not is_address(proxy.host if proxy else target.url.host)


@given(st.dictionaries(st.sampled_from(sorted(VARIABLES)), HOSTS, min_size=1, max_size=4))
@example(dict.fromkeys(VARIABLES, XN))
@example(dict.fromkeys(VARIABLES, "XN--LS8H.localhost."))
@settings(max_examples=150)
async def test_a_host_of_any_variable_is_asked_or_exit_2(hosts: dict[str, str]) -> None:
    """Nothing passes that ends a check in any other way than a look-up's."""
    environ = {name: VARIABLES[name].replace("{}", host) for name, host in hosts.items()}
    environ["KUBENURSE_USE_PROXY"] = "true"
    try:
        config = load(environ).config
    except ConfigError as error:
        for problem in error.problems:
            assert problem.partition(":")[0] in environ
            assert problem.isprintable()
        return
    await check_all([one for one in plan(config, Neighbourhood()).targets if asks_a_name(one)])


@given(HOSTS | st.sampled_from(["fe80::1%\u00e9", "fe80::1%25eth0", "[::1]", "127.0.0.1%lo"]))
async def test_an_address_of_the_neighbours_file_can_be_asked(address: str) -> None:
    """Or the file says which entry is wrong; a zone belongs to one machine."""
    entry = {"podName": "agent-b", "nodeName": "b", "podIP": address, "podIPs": [address]}
    text = json.dumps([entry]).encode()
    if not is_address(address):
        with pytest.raises(FileError, match=r"^entry 1: "):
            parse(text)
        return
    neighbours = parse(text)
    targets = plan(Config(), Neighbourhood(chosen=neighbours)).targets
    asked = [target for target in targets if target.neighbour is not None]
    assert {target.kind for target in asked} == {TargetKind.PATH, TargetKind.FULL_SIZE}
    for target in asked:
        assert is_address(target.url.host)
        assert is_address(request_url(target.url.text).host)


@pytest.mark.parametrize("name", [f"{XN}.localhost", "XN--LS8H.localhost", "xn--.localhost"])
async def test_a_name_that_is_no_idna_name_is_asked_as_it_stands(
    serve: Callable[..., FaultServer], name: str
) -> None:
    """In the look-up, the Host header and on the spans: as DNS has it, and not in another way."""
    server = serve(answer())
    lower = name.lower()
    async with Prober(names={lower: ["127.0.0.1"]}) as prober:
        url = server.url("/a?b=c", host=name)
        checked = await prober.check(url)

    assert checked.probe.failure is None
    assert server.requests[0].headers["host"] == f"{lower}:{server.port}"
    assert checked.attributes["server.address"] == lower
    assert checked.attributes["url.full"] == f"http://{name}:{server.port}/a"


async def test_such_a_name_over_tls_and_through_a_proxy(
    serve: Callable[..., FaultServer], certificates: Certificates
) -> None:
    """The server name, the tunnel's authority and the API server's origin have it, too."""
    name = f"{XN}.localhost"
    server = serve(answer(), tls=certificates.context())
    proxy = serve(http_proxy(connect_status=502))
    names: dict[str, Any] = {name: ["127.0.0.1"]}
    async with Prober(names=names, insecure=True, ca_file=certificates.ca_file) as prober:
        straight = await prober.check(server.url(host=name))
        tunnelled = await prober.check(server.url(host=name), proxy=PROXY.parse(proxy.origin))
        api_server = await prober.check_api_server(server.url("/version", host=name))

    assert straight.probe.failure is None
    assert tunnelled.probe.failure is not None
    assert proxy.requests[0].line == f"CONNECT {name}:{server.port} HTTP/1.1"
    assert api_server.probe.failure is not None  # not its certificate's name
    assert api_server.probe.failure.error_type == ErrorType.TLS_HOSTNAME_MISMATCH


def test_the_systems_resolver_takes_the_name() -> None:
    """Without a query: the encoding comes first, and does not refuse it."""
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo(f"{XN}.localhost", None, flags=socket.AI_NUMERICHOST)
