"""A host behind a TUN device whose TCP takes connections with a closed window, as SYN proxies do.

It speaks just enough TCP (RFC 9293) for one check at a time: SYN-ACK with a window of 0, an
acknowledgement of every probe, a window after a while (or never), one answer, one reset.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import subprocess
import threading
import time
from typing import Self

ADDRESS = "10.88.0.2"
PORT = 80
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_TUN = "/dev/net/tun"
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 1, 0x1000
_FIN, _SYN, _RST, _PSH, _ACK = 1, 2, 4, 8, 16
_OURS = 1_000
"""Our initial sequence number."""


class ClosedWindowHost:
    """``with ClosedWindowHost(open_after_seconds=0.5): ...``; None: never. Needs CAP_NET_ADMIN.

    Raises OSError where there is no TUN. ``asked_at`` is when the request came, time.time().
    """

    def __init__(self, *, open_after_seconds: float | None) -> None:
        self._open_after = open_after_seconds
        self._opens_at: float | None = None
        self._device = os.open(_TUN, os.O_RDWR)
        fcntl.ioctl(
            self._device, _TUNSETIFF, struct.pack("16sH", b"closed0", _IFF_TUN | _IFF_NO_PI)
        )
        for command in ("addr add 10.88.0.1/24 dev closed0", "link set closed0 up"):
            subprocess.run(["ip", *command.split()], check=True)
        self._window = 0
        self._peer = (b"", 0)
        self._next = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.opened_at: float | None = None
        self.asked_at: float | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        os.close(self._device)

    def _run(self) -> None:
        while not self._stopping.is_set():
            if select.select([self._device], [], [], 0.005)[0]:
                self._take(os.read(self._device, 65_536))
            if self._opens_at is not None and time.monotonic() >= self._opens_at:
                self._opens_at, self._window = None, 65_535
                self.opened_at = time.time()
                self._send(_ACK, _OURS + 1)

    def _take(self, packet: bytes) -> None:
        if packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_TCP:
            return
        segment = packet[4 * (packet[0] & 15) :]
        port, to, sequence, _, offset, flags = struct.unpack_from("!HHIIBB", segment)
        if to != PORT or flags & _RST:
            return
        data = segment[4 * (offset >> 4) :]
        self._peer = packet[12:16], port
        if flags & _SYN:
            self._next, self._window = sequence + 1, 0
            self._send(_SYN | _ACK, _OURS)
            if self._open_after is not None:
                self._opens_at = time.monotonic() + self._open_after
        elif data and self._window:
            self.asked_at = time.time()
            self._next = sequence + len(data)
            self._send(_PSH | _ACK, _OURS + 1, ANSWER)
        elif flags & _FIN:
            self._next = sequence + 1
            self._send(_RST | _ACK, _OURS + 1)
        elif sequence < self._next:  # a probe of the window
            self._send(_ACK, _OURS + 1)

    def _send(self, flags: int, sequence: int, data: bytes = b"") -> None:
        address, port = self._peer
        ours = socket.inet_aton(ADDRESS)
        fields = (PORT, port, sequence, self._next & 0xFFFFFFFF, 5 << 4, flags, self._window)
        pseudo = ours + address + struct.pack("!HH", socket.IPPROTO_TCP, 20 + len(data))
        unsummed = struct.pack("!HHIIBBHHH", *fields, 0, 0) + data
        tcp = struct.pack("!HHIIBBHHH", *fields, _sum(pseudo + unsummed), 0) + data
        head = struct.pack(
            "!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, socket.IPPROTO_TCP, 0, ours, address
        )
        os.write(self._device, head[:10] + struct.pack("!H", _sum(head)) + head[12:] + tcp)


def _sum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
