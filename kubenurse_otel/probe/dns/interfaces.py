"""Ask the kernel for this host's addresses (rtnetlink(7)), as getaddrinfo does. No privilege."""

from __future__ import annotations

import socket
import struct
from typing import Final

from kubenurse_otel.record import record

_RTM_GETADDR: Final = 22
_RTM_NEWADDR: Final = 20
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_DUMP: Final = 0x301
"""NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH"""
_HEADER: Final = struct.Struct("=IHHII")
_IFADDRMSG: Final = struct.Struct("=BBBBI")
"""family, prefix length, flags, scope, index"""
_ATTRIBUTE: Final = struct.Struct("=HH")
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_DEPRECATED: Final = 0x20
_READ_BYTES: Final = 65_536
_MOST_READS: Final = 256
_NETLINK_ROUTE: Final = 0


@record(frozen=True, slots=True)
class OwnAddress:
    address: str
    prefix_length: int
    is_deprecated: bool = False

    @property
    def is_loopback(self) -> bool:
        """Whether getaddrinfo leaves this address out as loopback. It counts 127.0.0.2."""
        return self.address in {"127.0.0.1", "::1"}


def own_addresses() -> tuple[OwnAddress, ...]:
    """Return all addresses of this host. Empty if the kernel does not tell (gVisor)."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE) as sock:
            sock.settimeout(1.0)
            request = _IFADDRMSG.pack(0, 0, 0, 0, 0)
            size = _HEADER.size + len(request)
            sock.sendto(_HEADER.pack(size, _RTM_GETADDR, _DUMP, 1, 0) + request, (0, 0))
            found: list[OwnAddress] = []
            for _ in range(_MOST_READS):
                if not parse(sock.recv(_READ_BYTES), found):
                    break
            return tuple(found)
    except OSError:
        return ()


def parse(data: bytes, found: list[OwnAddress]) -> bool:
    """Add the addresses of one read to ``found``. Return whether more is to come."""
    at = 0
    while at + _HEADER.size <= len(data):
        size, kind, *_ = _HEADER.unpack_from(data, at)
        if kind in (_NLMSG_DONE, _NLMSG_ERROR) or size < _HEADER.size:
            return False
        if kind == _RTM_NEWADDR and size >= _HEADER.size + _IFADDRMSG.size:
            _add(data[at + _HEADER.size : at + size], found)
        at += (size + 3) & ~3
    return True


def _add(data: bytes, found: list[OwnAddress]) -> None:
    family, prefix_length, flags, _, _ = _IFADDRMSG.unpack_from(data)
    attributes: dict[int, bytes] = {}
    at = _IFADDRMSG.size
    while at + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        if size < _ATTRIBUTE.size:
            break
        attributes[kind] = data[at + _ATTRIBUTE.size : at + size]
        at += (size + 3) & ~3
    packed = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS) or b""
    if (family, len(packed)) in ((socket.AF_INET, 4), (socket.AF_INET6, 16)):
        address = socket.inet_ntop(family, packed)
        found.append(OwnAddress(address, prefix_length, bool(flags & _DEPRECATED)))
