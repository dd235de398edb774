"""NetworkPolicy and the two ways in: what is open, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from . import helm

TLS = {"use_tls": True, "cert_file": "/tls.crt", "cert_key": "/tls.key"}
SCRAPERS = [{"podSelector": {"matchLabels": {"app": "prometheus"}}}]


def policy(values: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = helm.one(helm.render(values), "NetworkPolicy")["spec"]
    return found


def egress(values: dict[str, Any]) -> tuple[set[int], set[int]]:
    """Return (UDP ports, TCP ports) that the agents may call; no rule names a peer."""
    found: dict[str, set[int]] = {"UDP": set(), "TCP": set()}
    spec = policy({"networkPolicy": {"enabled": True, "egress": True}} | values)
    for rule in spec["egress"]:
        assert ["ports"] == list(rule)
        for port in rule["ports"]:
            found[port["protocol"]].add(port["port"])
    return found["UDP"], found["TCP"]


def test_no_policy_by_default() -> None:
    """A bare install has no NetworkPolicy."""
    assert [] == helm.of_kind(helm.render(), "NetworkPolicy")


def test_ingress_of_the_policy() -> None:
    """Checks come from anywhere; the admin port is the scrapers' alone."""
    values = {"ports": {"admin": 9090}} | TLS
    spec = policy({"networkPolicy": {"enabled": True, "scrapers": SCRAPERS}} | values)
    tcp = [{"port": port, "protocol": "TCP"} for port in (8080, 8443, 9090)]
    assert [{"ports": tcp[:2]}, {"ports": tcp[2:], "from": SCRAPERS}] == spec["ingress"]
    assert ["Ingress"] == spec["policyTypes"]
    closed = policy({"networkPolicy": {"enabled": True}} | values)
    assert [{"ports": tcp[:2]}] == closed["ingress"]


@pytest.mark.parametrize("monitor", ["service", "pod"])
@pytest.mark.parametrize(
    ("admin", "scrapers", "anybody", "scraped"),
    [
        (0, [], [8080, 8888], []),
        (0, SCRAPERS, [8080], [8888]),
        (9090, [], [8080], []),
        (9090, SCRAPERS, [8080], [9090, 8888]),
    ],
)
def test_who_scrapes_the_agent_may_scrape_its_collector(
    admin: int, scrapers: list[Any], anybody: list[int], scraped: list[int], monitor: str
) -> None:
    """Its scrapers alone; anybody only where the agents' /metrics are open, too."""
    values = {
        "ports": {"admin": admin},
        "networkPolicy": {"enabled": True, "scrapers": scrapers},
        "monitor": monitor,
        "collector": {"endpoint": "gateway:4317"},
    }
    first, *rest = policy(values)["ingress"]
    assert {"ports": [{"port": port, "protocol": "TCP"} for port in anybody]} == first
    assert [scraped] * bool(scraped) == [[one["port"] for one in rule["ports"]] for rule in rest]
    assert all(rule["from"] == SCRAPERS for rule in rest)
    closed = policy(values | {"monitor": "annotations"})["ingress"]
    assert 8888 not in [port["port"] for rule in closed for port in rule["ports"]]


@pytest.mark.parametrize(
    ("given", "more"),
    [
        ({}, set()),
        (TLS, {8443}),
        ({"service": {"port": 80}}, {80}),
        ({"ports": {"http": 18080}}, {18080}),
        ({"service_url": "https://kubenurse.example.com:9443"}, {9443}),
        ({"ingress": {"url": "nurse.example.com"}}, {443}),
        ({"ingress": {"url": "http://nurse.example.com"}}, {80}),
        ({"ingress": {"url": "nurse.example.com:8444"}}, {8444}),
        ({"extra_checks": "a:https://a/|b:http://b:81/x?u=http://c:9|c:http://[::1]:82"}, {81, 82}),
        ({"extra_checks": "a:tcp://[::1]:83;tls;expect=b|c:tcp://d:84"}, {83, 84}),
        ({"extraChecks": [{"name": "a", "url": "tcp://b:85", "tls": True}]}, {85}),
        ({"otel": {"endpoint": "$(HOST_IP):4317"}}, {4317}),
        ({"collector": {"endpoint": "https://vendor.example.com"}}, {443}),
        ({"collector": {"endpoint": "gateway:4317"}}, {4317}),
        ({"otel": {"endpoint": "http://[2001:db8::1]:4318"}}, {4318}),
    ],
)
def test_egress_of_the_policy(given: dict[str, Any], more: set[int]) -> None:
    """The agents may call DNS, the API server and what the values name, and nothing else."""
    http = given.get("ports", {}).get("http", 8080)
    service = given.get("service", {}).get("port", 8080)
    if "service_url" in given:
        service = 8080
    udp, tcp = egress(given)
    assert {53, 5353} == udp
    assert {53, 5353, 443, 6443, http, service} | more == tcp


def test_dns_checks_may_go_out() -> None:
    """By UDP and TCP, to the port that each names, else to 53."""
    udp, tcp = egress({"extra_checks": "a:dns://[::1]:54/b|c:dns://d/e?type=AAAA;expect=::1"})
    assert {53, 54, 5353} == udp
    assert {53, 54, 5353, 443, 6443, 8080} == tcp


def test_ports_of_the_cluster_can_be_named() -> None:
    """DNS, API server and more ports are the cluster's to say."""
    values = {"dnsPorts": [1053], "apiServerPorts": [16443], "extraPorts": [8443]}
    udp, tcp = egress({"networkPolicy": {"enabled": True, "egress": True} | values})
    assert ({1053}, {1053, 16443, 8080, 8443}) == (udp, tcp)


def test_http_route() -> None:
    """An HTTPRoute publishes /alwayshappy alone, sets me_ingress, and needs no Ingress."""
    route = {"parentRefs": [{"name": "public"}], "hostnames": ["nurse.example.com"]}
    manifests = helm.render({"httpRoute": route, "ingress": {"enabled": False}})
    spec = helm.one(manifests, "HTTPRoute")["spec"]
    assert route == {key: spec[key] for key in route}
    (rule,) = spec["rules"]
    assert [{"path": {"type": "Exact", "value": "/alwayshappy"}}] == rule["matches"]
    assert [{"name": "kubenurse", "port": 8080}] == rule["backendRefs"]
    assert "https://nurse.example.com" == helm.environment(manifests)["KUBENURSE_INGRESS_URL"]
    assert [] == helm.of_kind(manifests, "Ingress")


def test_paths_can_be_widened() -> None:
    """ingress.paths says what Ingress and HTTPRoute publish."""
    values = {
        "ingress": {"url": "a.example.com", "paths": [{"path": "/", "pathType": "Prefix"}]},
        "httpRoute": {"parentRefs": [{"name": "public"}]},
    }
    manifests = helm.render(values)
    (path,) = helm.one(manifests, "Ingress")["spec"]["rules"][0]["http"]["paths"]
    assert ("/", "Prefix") == (path["path"], path["pathType"])
    (match,) = helm.one(manifests, "HTTPRoute")["spec"]["rules"][0]["matches"]
    assert {"type": "PathPrefix", "value": "/"} == match["path"]
