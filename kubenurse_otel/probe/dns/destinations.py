"""Sort addresses in the order in which to try them: RFC 6724 as glibc does it, without gai.conf.

The only I/O is to ask the kernel from which address of ours it would send (connect(2) of UDP).
"""

from __future__ import annotations

import ipaddress
import socket
from functools import cmp_to_key, lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from kubenurse_otel.probe import addresses

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kubenurse_otel.probe.dns.interfaces import OwnAddress

_POLICY: Final = tuple(
    (ipaddress.IPv6Network(network), precedence, label)
    for network, precedence, label in (
        ("::1/128", 50, 0),
        ("::ffff:0:0/96", 10, 4),
        ("2002::/16", 30, 2),
        ("::/96", 20, 3),
        ("2001::/32", 40, 7),
        ("fec0::/10", 40, 5),
        ("fc00::/7", 40, 6),
        ("::/0", 40, 1),
    )
)
"""glibc's labels and precedences (sysdeps/posix/getaddrinfo.c): RFC 3484's with its additions."""
MOST_KNOWN: Final = 512
"""The most addresses whose parsed form is cached, because the same ones are found again and again.
"""
_LINK_LOCAL, _SITE_LOCAL, _GLOBAL = 2, 5, 14


class _Address(NamedTuple):
    """What the rules look at, of a destination and of a source."""

    version: int
    bits: int
    scope: int
    label: int
    precedence: int
    text: str
    """The address without its zone, as the kernel writes it."""


@lru_cache(maxsize=MOST_KNOWN)
def _address(text: str) -> _Address:
    ip = ipaddress.ip_address(text.partition("%")[0])
    return _Address(ip.version, int(ip), _scope(ip), *_policy(ip), str(ip))


class _Candidate:
    """One address, and what the rules look at of the source from which the kernel would send."""

    __slots__ = ("address", "has_source", "is_deprecated", "label", "precedence", "scope",
                 "shared_bits", "source_label", "source_scope", "version")  # fmt: skip

    def __init__(self, address: str, source: str | None, own: dict[str, OwnAddress]) -> None:
        self.address = address
        ip = _address(address)
        self.version, self.scope = ip.version, ip.scope
        self.label, self.precedence = ip.label, ip.precedence
        self.has_source = source is not None
        self.source_scope = self.source_label = self.shared_bits = 0
        self.is_deprecated = False
        if source is None:
            return
        from_ip = _address(source)
        ours = own.get(from_ip.text)
        self.source_scope, self.source_label = from_ip.scope, from_ip.label
        self.is_deprecated = ours is not None and ours.is_deprecated
        if ip.version == from_ip.version:
            length = 32 if ip.version == 4 else 128
            shared = length - (ip.bits ^ from_ip.bits).bit_length()
            # For IPv4 only inside a network of ours. Elsewhere shared bits mean nothing.
            prefix = ours.prefix_length if ours is not None else 32
            self.shared_bits = shared if ip.version == 6 or shared >= prefix else 0


def ordered(found: Sequence[str], own: Iterable[OwnAddress]) -> tuple[str, ...]:
    """Return the addresses in the order in which to try them. Equal ones keep their order."""
    if len(found) < 2:
        return tuple(found)
    ours = {one.address: one for one in own}
    candidates = [_Candidate(address, source_of(address), ours) for address in found]
    return tuple(one.address for one in sorted(candidates, key=cmp_to_key(_compare)))


def source_of(address: str) -> str | None:
    """Return the address of ours from which the kernel would send. None if there is no route."""
    try:
        with socket.socket(addresses.family(address), socket.SOCK_DGRAM) as sock:
            sock.connect(addresses.socket_address(address, 9))
            return str(sock.getsockname()[0])
    except OSError:
        return None


def _compare(one: _Candidate, other: _Candidate) -> int:
    """The rules of RFC 6724 section 6 in their order, without those of mobile IP and tunnels."""
    of_sources = (
        (one.scope == one.source_scope, other.scope == other.source_scope),  # 2
        (not one.is_deprecated, not other.is_deprecated),  # 3
        (one.label == one.source_label, other.label == other.source_label),  # 5
    )
    preferred = (
        (one.has_source, other.has_source),  # 1
        *(of_sources if one.has_source else ()),
        (one.precedence, other.precedence),  # 6
        (-one.scope, -other.scope),  # 8
    )
    for mine, theirs in preferred:
        if mine != theirs:
            return -1 if mine > theirs else 1
    if one.version == other.version and one.shared_bits != other.shared_bits:  # 9
        return -1 if one.shared_bits > other.shared_bits else 1
    return 0


def _policy(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> tuple[int, int]:
    """Return the address's label and its precedence."""
    as_v6 = ipaddress.IPv6Address(f"::ffff:{ip}") if ip.version == 4 else ip
    return next((label, value) for network, value, label in _POLICY if as_v6 in network)


def _scope(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
    """Return the address's scope (RFC 6724 sections 3.1 and 3.2). Private IPv4 is global."""
    if ip.is_multicast and isinstance(ip, ipaddress.IPv6Address):
        return ip.packed[1] & 0x0F
    if ip.is_link_local or ip.is_loopback:
        return _LINK_LOCAL
    if isinstance(ip, ipaddress.IPv6Address) and ip.is_site_local:
        return _SITE_LOCAL
    return _GLOBAL
