"""From EndpointSlices to the servers behind the cluster's DNS Service. No I/O.

Slices are found by the labels of their Service, which Kubernetes copies to them: CoreDNS, kube-dns
and what stands in for them are `k8s-app=kube-dns` everywhere but where somebody chose otherwise.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

import msgspec

from kubenurse_otel.discovery.informer import ListWatch
from kubenurse_otel.discovery.pods import bounded
from kubenurse_otel.discovery.schema import EndpointSlice, SlicePort, decode
from kubenurse_otel.model import DnsEndpoint, is_dns_subdomain
from kubenurse_otel.text import is_address

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_ENDPOINTS: Final = 1_024
MOST_SLICES: Final = 32
MOST_OF_A_SLICE: Final = 1_000
"""The most endpoints of a slice: Kubernetes' own bound. Usually there are up to 100."""
_SLICE: Final = msgspec.json.Decoder(EndpointSlice)
_ADDRESSES: Final = frozenset({"IPv4", "IPv6"})
_DNS: Final = "dns"

Endpoints = tuple[DnsEndpoint, ...]


def slices_of_dns(namespace: str, selector: str) -> ListWatch[Endpoints]:
    return ListWatch(
        name=f"endpointslices in namespace {namespace}",
        path=f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
        query={"labelSelector": selector},
        decode=decode_slice,
        max_items=MOST_SLICES,
    )


def decode_slice(content: bytes) -> tuple[str, Endpoints]:
    """Return (name, its ready endpoints) of an EndpointSlice's JSON. Raises DecodeError."""
    found = decode(_SLICE, content)
    name = bounded(found.metadata.name)
    return name, tuple(_endpoints(found)) if found.address_type in _ADDRESSES else ()


def together(slices: Iterable[Endpoints]) -> Endpoints:
    """Put slices together, by address: a server may be behind more than one Service."""
    by_address = {one.address: one for endpoints in slices for one in endpoints}
    return tuple(by_address[address] for address in sorted(by_address))[:MOST_ENDPOINTS]


def _endpoints(found: EndpointSlice) -> Iterator[DnsEndpoint]:
    ports = [one for one in found.ports or () if one.port is not None and 0 < one.port < 1 << 16]
    udp = _port(one for one in ports if one.protocol == "UDP")
    if udp is None:
        return
    tcp = [one for one in ports if one.protocol == "TCP"]
    # By name DNS and metrics are told apart, by number where names say nothing.
    same = _port(one for one in tcp if one.port == udp or one.name.startswith(_DNS))
    for one in islice(found.endpoints or (), MOST_OF_A_SLICE):
        has = one.conditions
        is_ready = has is None or (has.ready is not False and not has.terminating)
        address = one.addresses[0] if one.addresses else ""
        if is_ready and is_address(address):
            node = one.node_name or ""
            yield DnsEndpoint(
                address=address,
                udp_port=udp,
                tcp_port=same,
                node_name=node if is_dns_subdomain(node) else "",
            )


def _port(ports: Iterable[SlicePort]) -> int | None:
    """Return the first port with that name. Beside it there may be a port for DNS over QUIC."""
    in_order = sorted(ports, key=lambda one: (not one.name.startswith(_DNS), one.port or 0))
    return in_order[0].port if in_order else None
