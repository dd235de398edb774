"""kubenurse_otel.plan.targets: the plan, from configuration and neighbours alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel.config import (
    ChecksConfig,
    Config,
    ExtraCheck,
    IdentityConfig,
    IpFamilies,
    ProxyConfig,
    ServerConfig,
)
from kubenurse_otel.config.urls import parse_url
from kubenurse_otel.model import (
    Auth,
    DnsEndpoint,
    Neighbour,
    Neighbourhood,
    Proxy,
    Target,
    TargetKind,
    Trust,
)
from kubenurse_otel.plan.targets import MOST_DNS_ENDPOINTS, dns_endpoints, plan, proxy_for

CHECKS = ChecksConfig(
    ingress_url=parse_url("https://kubenurse.example.com"),
    service_url=parse_url("http://kubenurse.kube-system.svc.cluster.local:8080"),
    api_server_host="10.96.0.1",
    api_server_port=443,
    extra_checks=(
        ExtraCheck(name="shop", url=parse_url("https://shop.example/ok"), expect=((200, 399),)),
    ),
    interval_seconds=5.0,
    interval_seconds_by_kind={TargetKind.EXTRA: 30.0, TargetKind.PATH: 2.0},
    timeout_seconds=4.0,
)
IDENTITY = IdentityConfig(node_name="own", pod_name="kubenurse-own")
NEIGHBOUR = Neighbour(
    pod_name="kubenurse-b",
    node_name="node-b",
    pod_ip="10.1.0.2",
    pod_ips=("10.1.0.2", "fd00::2"),
)


def planned(
    checks: ChecksConfig = CHECKS, *chosen: Neighbour, use_tls: bool = False
) -> dict[str, Target]:
    config = Config(identity=IDENTITY, checks=checks, server=ServerConfig(use_tls=use_tls))
    targets = plan(config, Neighbourhood(chosen=chosen or (NEIGHBOUR,))).targets
    by_key = {target.key: target for target in targets}
    assert len(by_key) == len(targets)
    return by_key


def test_whole_plan() -> None:
    """Every check of kubenurse is there once, in its order, with its URL and its interval."""
    targets = planned().values()
    assert [
        ("api_server_direct", "https://10.96.0.1:443/version", 5.0),
        ("api_server_dns", "https://kubernetes.default.svc.cluster.local:443/version", 5.0),
        ("me_ingress", "https://kubenurse.example.com/alwayshappy", 5.0),
        ("me_service", "http://kubenurse.kube-system.svc.cluster.local:8080/alwayshappy", 5.0),
        ("shop", "https://shop.example/ok", 30.0),
        ("path_node-b", "http://10.1.0.2:8080/alwayshappy", 2.0),
        ("full_size", "http://10.1.0.2:8080/alwayshappy", 4.0),
    ] == [(target.type, target.url.text, target.interval_seconds) for target in targets]
    assert {4.0} == {target.timeout_seconds for target in targets}


def test_token_goes_to_the_api_server_alone() -> None:
    """Only the two API server checks carry the token, and those are always verified."""
    for target in planned(
        replace(
            CHECKS,
            extra_checks=(ExtraCheck(name="x", url=parse_url("https://evil.example/version")),),
        )
    ).values():
        is_api_server = target.kind in (TargetKind.API_SERVER_DIRECT, TargetKind.API_SERVER_DNS)
        assert is_api_server == (target.auth is Auth.SERVICE_ACCOUNT_TOKEN)
        assert is_api_server == (target.trust is Trust.API_SERVER)
        if is_api_server:
            assert target.url.scheme == "https"
            assert target.proxy is None


def test_traceparent_goes_to_agents_alone() -> None:
    """Path, service and ingress checks propagate; their answers are an agent's."""
    targets = planned().values()
    neighbours = {TargetKind.PATH, TargetKind.FULL_SIZE}
    agents = neighbours | {TargetKind.ME_SERVICE, TargetKind.ME_INGRESS}
    assert agents == {target.kind for target in targets if target.propagate}
    assert agents == {target.kind for target in targets if target.answered_by_agent}
    assert neighbours == {target.kind for target in targets if target.detect_interception}


def test_full_size_checks() -> None:
    """Each address of a neighbour once more, apart by key and all of one type, and never kept."""
    checks = replace(CHECKS, ip_families=IpFamilies.BOTH, reuse_connections=True)
    by_key = planned(checks)
    for suffix in ("", "/ipv6"):
        path, full = by_key[f"path_node-b{suffix}"], by_key[f"full_size_node-b{suffix}"]
        assert full == replace(
            path,
            key=full.key,
            type="full_size",
            kind=TargetKind.FULL_SIZE,
            interval_seconds=4.0,
            train_seconds=path.interval_seconds,
            full_size=True,
            reuse_connection=False,
        )


@pytest.mark.parametrize(
    ("neighbours", "seconds"),
    [(1, 10.0), (2, 10.0), (4, 15.0), (5, 15.0), (6, 20.0), (10, 30.0), (20, 30.0)],
)
def test_few_neighbours_are_checked_in_full_size_more_often(
    neighbours: int, seconds: float
) -> None:
    """Each at every second to sixth tick: for ten of them it is 20 checks per minute."""
    chosen = tuple(replace(NEIGHBOUR, node_name=f"node-{n}") for n in range(neighbours))
    config = Config(checks=replace(CHECKS, interval_seconds_by_kind={}))
    targets = plan(config, Neighbourhood(chosen=chosen)).targets
    sizes = [one for one in targets if one.kind is TargetKind.FULL_SIZE]
    assert {seconds} == {one.interval_seconds for one in sizes}
    assert {5.0} == {one.train_seconds for one in sizes}


def test_whoever_says_how_often_is_obeyed() -> None:
    """However many neighbours there are."""
    by_key = planned(replace(CHECKS, interval_seconds_by_kind={TargetKind.FULL_SIZE: 60.0}))
    assert by_key["full_size_node-b"].interval_seconds == 60.0


def test_full_size_checks_are_no_more_often_than_their_paths() -> None:
    """Whoever checks neighbours every five minutes does not want more of them."""
    intervals = {TargetKind.PATH: 300.0, TargetKind.FULL_SIZE: 60.0}
    by_key = planned(replace(CHECKS, interval_seconds_by_kind=intervals))
    assert by_key["full_size_node-b"].interval_seconds == 300.0


@pytest.mark.parametrize("off", [TargetKind.PATH, TargetKind.FULL_SIZE])
def test_no_full_size_checks(off: TargetKind) -> None:
    """They are switched off by themselves, and with the neighbours; no word of it in /alive."""
    found = plan(
        Config(checks=replace(CHECKS, enabled=frozenset(TargetKind) - {off})),
        Neighbourhood(chosen=(NEIGHBOUR,)),
    )
    assert TargetKind.FULL_SIZE not in {target.kind for target in found.targets}
    assert "full_size" not in found.skipped


def test_origin_header() -> None:
    """Path checks, and no other, say which pod asks, when it is known."""
    for target in planned().values():
        expected = (
            (("KUBENURSE-NEIGHBOUR-ORIGIN", "kubenurse-own"),)
            if target.kind in (TargetKind.PATH, TargetKind.FULL_SIZE)
            else ()
        )
        assert expected == target.headers
    nameless = plan(Config(), Neighbourhood(chosen=(NEIGHBOUR,))).targets
    assert [()] == [target.headers for target in nameless if target.kind is TargetKind.PATH]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("10.96.0.1", "https://10.96.0.1:6443/version"),
        ("fd00::1", "https://[fd00::1]:6443/version"),
        ("[fd00::1]", "https://[fd00::1]:6443/version"),
    ],
)
def test_api_server_address(host: str, expected: str) -> None:
    """IPv6 literals of the API server are bracketed."""
    checks = replace(CHECKS, api_server_host=host, api_server_port=6443)
    assert expected == planned(checks)["api_server_direct"].url.text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ()),
        ({"ingress_url": None}, ("me_ingress",)),
        ({"service_url": None}, ("me_service",)),
        ({"api_server_host": ""}, ("api_server_direct",)),
        ({"api_server_dns": ""}, ("api_server_dns",)),
        (
            {"enabled": frozenset()},
            ("api_server_direct", "api_server_dns", "me_ingress", "me_service", "neighbourhood"),
        ),
        ({"enabled": frozenset(TargetKind) - {TargetKind.PATH}}, ("neighbourhood",)),
    ],
)
def test_skipped(changes: dict[str, object], expected: tuple[str, ...]) -> None:
    """A check that is off or has no URL has no target and is named as skipped."""
    checks = replace(CHECKS, **changes)  # type: ignore[arg-type]
    result = plan(Config(checks=checks), Neighbourhood(chosen=(NEIGHBOUR,)))
    assert expected == result.skipped
    assert not {target.type for target in result.targets} & set(expected)


def test_path_over_tls() -> None:
    """With TLS, path checks use https, the TLS port, and the Service's name for SNI."""
    checks = replace(CHECKS, tls_server_name="kubenurse.svc")
    target = planned(checks, use_tls=True)["path_node-b"]
    assert target.url.text == "https://10.1.0.2:8443/alwayshappy"
    assert target.server_name == "kubenurse.svc"
    assert planned(checks)["path_node-b"].server_name is None


def test_port_of_a_neighbour() -> None:
    """A neighbour that listens elsewhere is asked there."""
    target = planned(CHECKS, replace(NEIGHBOUR, port=9090))["path_node-b"]
    assert target.url.text == "http://10.1.0.2:9090/alwayshappy"


@pytest.mark.parametrize(
    ("families", "pod_ip", "pod_ips", "expected"),
    [
        (
            IpFamilies.FIRST,
            "10.1.0.2",
            ("10.1.0.2", "fd00::2"),
            {"path_node-b": "http://10.1.0.2:8080/alwayshappy"},
        ),
        (
            IpFamilies.BOTH,
            "10.1.0.2",
            ("10.1.0.2", "fd00::2"),
            {
                "path_node-b": "http://10.1.0.2:8080/alwayshappy",
                "path_node-b/ipv6": "http://[fd00::2]:8080/alwayshappy",
            },
        ),
        (
            IpFamilies.BOTH,
            "fd00::2",
            ("fd00::2", "10.1.0.2", "10.1.0.3"),
            {
                "path_node-b": "http://[fd00::2]:8080/alwayshappy",
                "path_node-b/ipv4": "http://10.1.0.2:8080/alwayshappy",
            },
        ),
        (IpFamilies.BOTH, "10.1.0.2", (), {"path_node-b": "http://10.1.0.2:8080/alwayshappy"}),
    ],
)
def test_ip_families(
    families: IpFamilies, pod_ip: str, pod_ips: tuple[str, ...], expected: dict[str, str]
) -> None:
    """With both families each has a target of its own; they share the type."""
    neighbour = replace(NEIGHBOUR, pod_ip=pod_ip, pod_ips=pod_ips)
    paths = [
        target
        for target in planned(replace(CHECKS, ip_families=families), neighbour).values()
        if target.kind is TargetKind.PATH
    ]
    assert expected == {target.key: target.url.text for target in paths}
    assert {"path_node-b"} == {target.type for target in paths}


@given(st.text(max_size=300))
def test_types_are_bounded(node_name: str) -> None:
    """A node name that is no DNS name of at most 253 characters never becomes a type."""
    for key in planned(CHECKS, replace(NEIGHBOUR, node_name=node_name)):
        if key.startswith("path_"):
            assert len(key) <= 258
            assert set(key[5:]) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")


HTTP, HTTPS = (Proxy(scheme="http", host="proxy", port=port) for port in (3128, 3129))
PROXY = ProxyConfig(http=HTTP, https=HTTPS)


def test_proxies_are_for_extra_checks_and_ingress_alone() -> None:
    """Everything else is asked directly, whatever the proxy variables say."""
    targets = planned(replace(CHECKS, proxy=PROXY)).values()
    assert {TargetKind.ME_INGRESS: HTTPS, TargetKind.EXTRA: HTTPS} == {
        target.kind: target.proxy for target in targets if target.proxy is not None
    }


@pytest.mark.parametrize(
    ("url", "no_proxy", "expected"),
    [
        ("http://a.example/", "", HTTP),
        ("https://a.example/", "", HTTPS),
        ("https://a.example/", "*", None),
        ("https://a.example/", " , b.example,A.Example ", None),
        ("https://a.example/", "example", None),
        ("https://a.example/", ".example", None),
        ("https://a.example/", "*.example", None),
        ("https://example/", ".example", HTTPS),
        ("https://aexample/", "example", HTTPS),
        ("https://a.example./", "a.example", None),
        ("https://a.example:8443/", "a.example:8443", None),
        ("https://a.example/", "a.example:443", None),
        ("http://a.example/", "a.example:443", HTTP),
        ("http://10.1.2.3/", "10.0.0.0/8", None),
        ("http://10.1.2.3:80/", "10.1.2.3:80", None),
        ("http://11.1.2.3/", "10.0.0.0/8", HTTP),
        ("http://a.example/", "10.0.0.0/8", HTTP),
        ("http://[fd00::5]/", "fd00::/8", None),
        ("http://[fd00::5]/", "[fd00::5]:80", None),
        ("http://[fd00::5]/", "10.0.0.0/8", HTTP),
        ("http://localhost/", "", None),
        ("http://127.0.0.2/", "", None),
        ("http://[::1]/", "", None),
    ],
)
def test_no_proxy(url: str, no_proxy: str, expected: Proxy | None) -> None:
    """NO_PROXY is read as Go reads it; loopback is never asked through a proxy."""
    assert expected == proxy_for(parse_url(url), replace(PROXY, no_proxy=no_proxy))


def test_without_a_proxy_for_the_scheme() -> None:
    """A proxy for https is none for http."""
    assert proxy_for(parse_url("http://a.example/"), ProxyConfig(https=HTTPS)) is None


def test_of_many_servers_of_dns_each_agent_asks_eight_and_together_they_ask_all() -> None:
    """Always the same ones, so that their series are few."""

    def asked(servers: int, node: str) -> tuple[DnsEndpoint, ...]:
        found = tuple(DnsEndpoint(address=f"10.1.2.{n}", udp_port=53) for n in range(servers))
        return dns_endpoints(Neighbourhood(own_node_name=node, dns_endpoints=found))

    assert len(asked(MOST_DNS_ENDPOINTS, "n1")) == MOST_DNS_ENDPOINTS
    assert asked(0, "n1") == ()
    by_node = [asked(20, f"n{number}") for number in range(50)]
    assert {len(one) for one in by_node} == {MOST_DNS_ENDPOINTS}
    assert len({address for one in by_node for address in one}) == 20
    assert asked(20, "n1") == asked(20, "n1") != asked(20, "n2")
