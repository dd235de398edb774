"""A socket whose kernel answers as gVisor's netstack does, on the real one's bytes.

Read from its source (pkg/sentry/socket/netstack/netstack.go, v0.0.0-20260905035102-160fafc42237):
SO_TIMESTAMPNS and SO_TIMESTAMPING are taken, do nothing and cannot be read back; TCP_INFO is as
long as Linux', with state, round trip, window and time-out in it, and zeros everywhere else.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Any

_SO_TIMESTAMPNS, _SO_TIMESTAMPING = 35, 37
_UNREADABLE = frozenset({_SO_TIMESTAMPNS, _SO_TIMESTAMPING})


class SandboxedSocket(socket.socket):
    """``SandboxedSocket(fileno=real.detach())``."""

    def setsockopt(self, level: int, name: int, *value: Any) -> None:
        if level != socket.SOL_SOCKET or name not in _UNREADABLE:
            super().setsockopt(level, name, *value)

    def getsockopt(self, level: int, name: int, *length: int) -> Any:
        if level == socket.SOL_SOCKET and name in _UNREADABLE:
            raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))
        if level == socket.IPPROTO_TCP and name == socket.TCP_INFO:
            known = bytearray(232)
            known[0] = 1  # TCP_ESTABLISHED
            struct.pack_into("=I", known, 8, 200_000)  # tcpi_rto
            struct.pack_into("=II", known, 68, 120, 60)  # tcpi_rtt, tcpi_rttvar
            struct.pack_into("=I", known, 80, 10)  # tcpi_snd_cwnd
            return bytes(known[: length[0]])
        return super().getsockopt(level, name, *length)
