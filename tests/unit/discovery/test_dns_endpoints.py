"""discovery/dns_endpoints.py: which servers an EndpointSlice has, and their ports."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kubenurse_otel.discovery.dns_endpoints import (
    MOST_ENDPOINTS,
    MOST_OF_A_SLICE,
    Endpoints,
    decode_slice,
    slices_of_dns,
    together,
)
from kubenurse_otel.model import DnsEndpoint

DNS = {"name": "dns", "port": 53, "protocol": "UDP"}
DNS_TCP = {"name": "dns-tcp", "port": 53, "protocol": "TCP"}
METRICS = {"name": "metrics", "port": 9153, "protocol": "TCP"}


def endpoint(address: str, node: str | None = "node-1", **conditions: bool | None) -> Any:
    return {"addresses": [address], "nodeName": node, "conditions": conditions}


def read(
    *endpoints: Any, ports: list[Any] | None = None, of: str = "IPv4", **more: Any
) -> Endpoints:
    content = {
        "metadata": {"name": "kube-dns-x7x2f"},
        "addressType": of,
        "endpoints": list(endpoints),
        "ports": [DNS, DNS_TCP, METRICS] if ports is None else ports,
    }
    name, found = decode_slice(msgspec.json.encode(content | more))
    assert name == "kube-dns-x7x2f"
    return found


def test_a_slice_as_kubernetes_makes_it() -> None:
    assert read(endpoint("10.1.2.3", ready=True, serving=True, terminating=False)) == (
        DnsEndpoint(address="10.1.2.3", udp_port=53, tcp_port=53, node_name="node-1"),
    )


@pytest.mark.parametrize(
    ("given", "ready"),
    [
        ({}, True),
        ({"ready": None}, True),
        ({"ready": True}, True),
        ({"ready": False}, False),
        ({"ready": True, "terminating": None}, True),
        ({"ready": True, "terminating": True}, False),  # publishNotReadyAddresses
    ],
)
def test_only_those_that_are_ready(given: dict[str, bool | None], *, ready: bool) -> None:
    """Which the Service leads to: absent is to be read as true."""
    assert bool(read(endpoint("10.1.2.3", **given))) is ready
    assert bool(read({"addresses": ["10.1.2.3"]})) is True


@pytest.mark.parametrize(
    ("ports", "udp", "tcp"),
    [
        ([METRICS, DNS_TCP, DNS], 53, 53),
        ([DNS | {"port": 5353}, DNS_TCP | {"port": 5353}], 5353, 5353),
        ([DNS], 53, None),
        ([DNS, METRICS], 53, None),
        ([DNS, DNS_TCP | {"port": 1053}], 53, 1053),
        ([DNS | {"name": "udp-53"}, METRICS, DNS_TCP | {"name": "tcp-53"}], 53, 53),
        ([{"name": "quic", "port": 11, "protocol": "UDP"}, DNS, DNS_TCP], 53, 53),
        ([DNS | {"name": ""}, DNS_TCP | {"name": ""}], 53, 53),
    ],
)
def test_ports_by_name_and_number(ports: list[Any], udp: int, tcp: int | None) -> None:
    """As CoreDNS', kube-dns', OpenShift's and RKE2's Services call them."""
    (found,) = read(endpoint("10.1.2.3"), ports=ports)
    assert (found.udp_port, found.tcp_port) == (udp, tcp)


@pytest.mark.parametrize(
    "ports",
    [[], [DNS_TCP, METRICS], [DNS | {"port": None}], [DNS | {"port": 0}], [DNS | {"port": 70_000}]],
)
def test_without_a_port_for_udp_nobody_is_asked(ports: list[Any]) -> None:
    assert read(endpoint("10.1.2.3"), ports=ports) == ()


def test_what_is_no_address_is_no_endpoint() -> None:
    """A name of another zone (FQDN), nonsense, none at all; a node's name that is none is left."""
    assert read(endpoint("dns.example.com"), of="FQDN") == ()
    assert read(endpoint("nonsense"), {"addresses": []}, {}) == ()
    (found,) = read(endpoint("fd00::5", "<b>"), of="IPv6")
    assert (found.address, found.node_name, found.text) == ("fd00::5", "", "fd00::5")
    (found,) = read(endpoint("fd00::5", None), of="IPv6")
    assert found.node_name == ""


def test_a_server_behind_two_services_is_one() -> None:
    """As behind kube-dns and kube-dns-upstream (NodeLocal DNSCache)."""
    one, two = (DnsEndpoint(address=f"10.1.2.{n}", udp_port=53) for n in (1, 2))
    assert together([(two, one), (), (one,)]) == (one, two)


def test_bounds() -> None:
    """Whatever an API server sends."""
    many = [endpoint(f"10.{n >> 8}.{n & 255}.1") for n in range(MOST_OF_A_SLICE + 5)]
    found = read(*many)
    assert len(found) == MOST_OF_A_SLICE
    other = tuple(
        DnsEndpoint(address=f"11.{n >> 8}.{n & 255}.1", udp_port=53) for n in range(1_000)
    )
    assert len(together([found, other])) == MOST_ENDPOINTS
    with pytest.raises(msgspec.DecodeError):
        decode_slice(b'{"metadata":{},"endpoints":3}')


def test_they_are_asked_for_by_the_services_labels_in_its_namespace_alone() -> None:
    wanted = slices_of_dns("openshift-dns", "a=b")
    assert wanted.path == "/apis/discovery.k8s.io/v1/namespaces/openshift-dns/endpointslices"
    assert wanted.query == {"labelSelector": "a=b"}
