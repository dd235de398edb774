"""Whose connections are half open at our listener: NETLINK_SOCK_DIAG, the layouts and the asking.

A SYN reached us, and our SYN-ACK was sent again for lack of an answer: the way from there is good,
the way back is not. Needs no privilege. Sources: sock_diag(7), linux/netlink.h, linux/sock_diag.h,
linux/inet_diag.h; inet_req_diag_fill in net/ipv4/inet_diag.c (Linux 6.18).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from math import inf
from typing import TYPE_CHECKING, Final

from kubenurse_otel.probe.addresses import family

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    _Ask = Callable[[socket.AddressFamily, int], tuple[dict["_FarEnd", bool], bool]]

MOST_READS: Final = 8
"""For each address family. A read is 32 KiB, some 340 connections: of a flood a part is enough."""
_READ_BYTES: Final = 32_768
"""The largest part that the kernel gives at once (netlink_dump in net/netlink/af_netlink.c)."""
_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_REQUEST_DUMP: Final = 0x301
"""NLM_F_REQUEST | NLM_F_DUMP"""
_TCP_SYN_RECV: Final = 3
_HEADER: Final = struct.Struct("=IHHII")
"""struct nlmsghdr: length (itself included), type, flags, sequence, port id."""
_REQUEST: Final = struct.Struct("=IHHIIBBBBIHH16s16sI8s")
"""nlmsghdr and inet_diag_req_v2: family, protocol, extensions, pad, states, inet_diag_sockid."""
_ERRNO: Final = struct.Struct("=i")
_MESSAGE: Final = struct.Struct("=BBBBHH16x16s")
"""Of inet_diag_msg: family, state, timer, retransmits, both ports (big-endian), far address."""
_MAPPED: Final = bytes(10) + b"\xff\xff"
"""::ffff:0:0/96, of IPv4 at a listener for both families (RFC 4291 section 2.5.5.2)."""

_log = logging.getLogger(__name__)

_FarEnd = tuple[str, int]
"""Address and port."""


class HalfOpen:
    """``port`` is our listener's, in this network namespace. ``ask`` is where the kernel tells."""

    def __init__(self, port: Callable[[], int], *, ask: _Ask | None = None) -> None:
        self._port = port
        self._ask = ask or _asked
        self._is_told = False
        self._came_after: dict[_FarEnd, float] = {}
        self._looked_at = -inf
        """The last look that saw all."""
        self._looking: asyncio.Future[dict[str, float]] | None = None

    def begin(
        self, addresses: Collection[str], now: float, tell: Callable[[dict[str, float]], None]
    ) -> None:
        """Look in a thread, and tell on the event loop. Nothing is begun while a look is under way.

        The kernel walks through all TCP connections of the host meanwhile: 0.2 us for each, and
        1 ms, for each address family.
        """
        if self._looking is not None:
            return

        def found(looking: asyncio.Future[dict[str, float]]) -> None:
            self._looking = None
            tell(looking.result())

        loop = asyncio.get_running_loop()
        self._looking = loop.run_in_executor(None, self.look, tuple(addresses), now)
        self._looking.add_done_callback(found)

    def look(self, addresses: Collection[str], now: float) -> dict[str, float]:
        """Return those of ``addresses`` (in inet_ntop's words) from which half-open ones come,
        each with a time after which the newest of them came.

        That time is the last look's before the one that found it. The kernel keeps a half-open
        connection for a minute: it may be older than the outage that one asks about. Only those
        count whose SYN-ACK was sent twice: a second after the SYN, while a connection that can be
        made is made within a round trip. Empty where the kernel does not tell (gVisor, seccomp):
        logged once, at debug.
        """
        found: dict[_FarEnd, bool] = {}
        is_all = True
        for of in {family(one) for one in addresses}:
            try:
                are, is_end = self._ask(of, self._port())
                found |= are
                is_all = is_all and is_end
            except OSError as problem:
                is_all = False
                if not self._is_told:
                    self._is_told = True
                    _log.debug("Half-open connections cannot be looked for: %s", problem)
        self._came_after = {
            end: self._came_after.get(end, self._looked_at) for end in found if end[0] in addresses
        }
        self._looked_at = now if is_all else -inf
        newest: dict[str, float] = {}
        for end, after in self._came_after.items():
            if found[end]:
                newest[end[0]] = max(after, newest.get(end[0], after))
        return newest


def _asked(of: socket.AddressFamily, port: int) -> tuple[dict[_FarEnd, bool], bool]:
    """Return what was read, and whether that is all."""
    found: dict[_FarEnd, bool] = {}
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
    with socket.socket(socket.AF_NETLINK, kind, _NETLINK_SOCK_DIAG) as sock:
        sock.connect((0, 0))  # the kernel's word, and no other process'
        sock.send(request(of, port))
        for _ in range(MOST_READS):
            part, is_last = connections(sock.recv(_READ_BYTES), port)
            found |= part
            if is_last:
                return found, True
    return found, False


def request(of: socket.AddressFamily, port: int) -> bytes:
    """Ask for all connections to ``port`` in SYN_RECV.

    For the kernel they are in NEW_SYN_RECV; it adds that state by itself.
    """
    return _REQUEST.pack(
        *(_REQUEST.size, _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 0, 0),
        *(of, socket.IPPROTO_TCP, 0, 0, 1 << _TCP_SYN_RECV),
        *(socket.htons(port), 0, b"", b"", 0, b"\xff" * 8),  # INET_DIAG_NOCOOKIE
    )


def connections(answer: bytes, port: int) -> tuple[dict[_FarEnd, bool], bool]:
    """Return the far ends in one read, each with whether the SYN-ACK was sent again to it, and
    whether the read was the last one.

    What is no netlink message is the end. Raises OSError where the kernel answers with an error.
    """
    found: dict[_FarEnd, bool] = {}
    at = 0
    while at + _HEADER.size <= len(answer):
        length, kind, *_ = _HEADER.unpack_from(answer, at)
        body = answer[at + _HEADER.size : at + length]
        if length < _HEADER.size or at + length > len(answer) or kind == _NLMSG_DONE:
            return found, True
        if kind == _NLMSG_ERROR:
            number = -_ERRNO.unpack_from(body)[0] if len(body) >= _ERRNO.size else 0
            raise OSError(number, f"NETLINK_SOCK_DIAG answers with error {number}")
        if kind == _SOCK_DIAG_BY_FAMILY and len(body) >= _MESSAGE.size:
            of, state, _, retransmits, own_port, far_port, far = _MESSAGE.unpack_from(body)
            is_ours = state == _TCP_SYN_RECV and own_port == socket.htons(port)
            if is_ours and (address := _address(of, far)):
                found[address, socket.ntohs(far_port)] = retransmits > 0
        at += (length + 3) & ~3  # NLMSG_ALIGN
    return found, not at


def _address(of: int, packed: bytes) -> str:
    if of == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, packed[:4])
    if packed.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return socket.inet_ntop(socket.AF_INET6, packed) if of == socket.AF_INET6 else ""
