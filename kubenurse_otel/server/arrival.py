"""When a request reached our kernel, and how often its connection's SYN-ACK was sent again.

Owns the read of an accepted socket: TCP_INFO first, then the bytes with the kernel's receive stamp.
Layouts: linux/tcp.h (struct tcp_info), linux/errqueue.h, socket(7).
"""

from __future__ import annotations

import socket
import struct
import time
from typing import NamedTuple

_SO_TIMESTAMPNS = 35
"""asm-generic/socket.h. Inherited by accepted sockets, so it is set on the listener."""
_TCP_INFO = struct.Struct("@16xI32xI44xI")
"""tcpi_snd_mss: never 0 where the kernel fills this in, always where it does not (gVisor);
tcpi_last_data_recv: ms, in steps of the kernel's tick (4 ms at 250 Hz); tcpi_total_retrans.
"""
_TIMESPEC = struct.Struct("@ll")
_ANCILLARY_LENGTH = socket.CMSG_SPACE(_TIMESPEC.size)
_TICK_SECONDS = 0.025
"""The two clocks may differ by two ticks of the slowest kernel (100 Hz) and their rounding."""


class Arrival(NamedTuple):
    """How long a request waited in the kernel until our read, and when that read was, by two
    clocks.
    """

    waited_seconds: float | None
    """Seconds between the arrival in the kernel and our read. None if the kernel does not say."""
    retransmits: int | None
    """tcpi_total_retrans, None if the kernel does not say. It counts only SYN-ACKs, because we have
    sent nothing else yet.
    """
    read_at: float
    """Seconds of time.perf_counter()."""
    read_at_ns: int
    """Nanoseconds of time.time_ns()."""


def stamp_arrivals(listener: socket.socket) -> None:
    """Have the kernel stamp what the listener's connections receive (no privilege needed)."""
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    except OSError:  # pragma: no cover - a kernel without it: tcpi_last_data_recv serves, if any
        return


def receive(connection: socket.socket, buffer: memoryview) -> tuple[int, Arrival]:
    """Read into ``buffer`` at once; return the number of bytes (0: the peer ended) and when.

    The stamp is that of the last segment read. tcpi_last_data_recv says the same in coarse
    steps on a clock that nobody sets: where the two contradict (the clock was stepped while
    the bytes waited, or there is no stamp) it has the last word. Where TCP_INFO says nothing
    (gVisor) no stamp is asked for: its recvmsg leaves the length of what it did not write as it
    was at the end of a stream, and Python warns of that.
    Raises OSError as recv does, BlockingIOError when nothing is there.
    """
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    waited: float | None = None
    retransmits: int | None = None
    if len(info) == _TCP_INFO.size:
        segment_bytes, since_ms, sent_again = _TCP_INFO.unpack(info)
        if segment_bytes:
            waited, retransmits = since_ms / 1e3, sent_again
    ancillary: list[tuple[int, int, bytes]] = []
    if waited is None:
        size = connection.recv_into(buffer)
    else:
        size, ancillary, _, _ = connection.recvmsg_into((buffer,), _ANCILLARY_LENGTH)
    now_ns = time.time_ns()
    read_at = time.perf_counter()
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(data) == _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack(data)
            stamped = (now_ns - seconds * 1_000_000_000 - nanoseconds) / 1e9
            if stamped >= 0 and (waited is None or abs(stamped - waited) <= _TICK_SECONDS):
                waited = stamped
    return size, Arrival(waited, retransmits, read_at, now_ns)
