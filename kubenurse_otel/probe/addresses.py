"""Turns addresses as the resolver writes them into what the kernel takes, and finds whether a
source address exists.
"""

from __future__ import annotations

import socket

SocketAddress = tuple[str, int] | tuple[str, int, int, int]


def family(address: str) -> socket.AddressFamily:
    """Return AF_INET6 for an IPv6 address, else AF_INET."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def with_zone(address: str, scope: int) -> str:
    """Return ``fe80::1%2`` (RFC 4007 section 11): the scope is part of a link-local address."""
    return f"{address}%{scope}" if scope else address


def zone_number(zone: str) -> int:
    """Return the number of a zone that is written as one (32 bits). 0 means no zone."""
    number = int(zone) if zone.isascii() and zone.isdecimal() and len(zone) <= 10 else 0
    return number if number < 1 << 32 else 0


def socket_address(address: str, port: int) -> SocketAddress:
    """Return what connect(2) takes. Python drops a zone that is written in the address."""
    host, _, scope = address.partition("%")
    return (host, port, 0, int(scope)) if scope else (host, port)


def has_source(address: str, port: int) -> bool:
    """Whether this host has an address of its own to reach ``address`` from.

    Without one, TCP says EADDRNOTAVAIL, which it also says without a free port. So UDP is asked: it
    has ports of its own, and its connect(2) sends nothing.
    """
    with socket.socket(family(address), socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(socket_address(address, port))
        except OSError:
            return False
    return True
