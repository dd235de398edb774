"""A socket whose kernel answers as gVisor's netstack does, on the real one's bytes.

Read from its source (pkg/sentry/socket/netstack/netstack.go, v0.0.0-20260905035102-160fafc42237):
SO_TIMESTAMPNS and SO_TIMESTAMPING are taken, do nothing and cannot be read back; TCP_INFO is as
long as Linux', with state, round trip, window and time-out in it, and zeros everywhere else. At the
end of a stream recvmsg leaves msg_controllen as it was, where nothing was written: what Python says
of that was seen in runsc.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import warnings
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

    def recvmsg(self, size: int, ancillary_size: int = 0, flags: int = 0) -> Any:
        received = super().recvmsg(size, ancillary_size, flags)
        _warn_at_the_end(len(received[0]), ancillary_size)
        return received

    def recvmsg_into(self, buffers: Any, ancillary_size: int = 0, flags: int = 0) -> Any:
        received = super().recvmsg_into(buffers, ancillary_size, flags)
        _warn_at_the_end(received[0], ancillary_size)
        return received


def _warn_at_the_end(size: int, ancillary_size: int) -> None:
    if not size and ancillary_size:
        said = "received malformed or improperly-truncated ancillary data"
        warnings.warn(said, RuntimeWarning, stacklevel=3)
