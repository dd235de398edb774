"""The kernel's stopwatch: SO_TIMESTAMPING, the socket error queue, TCP_INFO, the clocks.

Owns the byte layouts and turns them into times; decides nothing. Needs no privilege. Sources:
linux/net_tstamp.h, linux/errqueue.h, linux/tcp.h, Documentation/networking/timestamping.rst.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from typing import Any, Final, Self

from kubenurse_otel.record import record

SO_TIMESTAMPING: Final = 37
_TX_SOFTWARE: Final = 1 << 1
_RX_SOFTWARE: Final = 1 << 3
_SOFTWARE: Final = 1 << 4
_OPT_ID: Final = 1 << 7
_TX_SCHED: Final = 1 << 8
_TX_ACK: Final = 1 << 9
_OPT_TSONLY: Final = 1 << 11
_TX_FLAGS: Final = _TX_SCHED | _TX_SOFTWARE | _TX_ACK
_TCP_FLAGS: Final = _TX_FLAGS | _RX_SOFTWARE | _SOFTWARE | _OPT_ID | _OPT_TSONLY
_RX_FLAGS: Final = _RX_SOFTWARE | _SOFTWARE
_UDP_FLAGS: Final = _TX_SOFTWARE | _RX_SOFTWARE | _SOFTWARE | _OPT_ID | _OPT_TSONLY

_ORIGIN_TIMESTAMPING: Final = 4
"""SO_EE_ORIGIN_TIMESTAMPING"""
_ORIGINS_OF_ERRORS: Final = frozenset({1, 2, 3})
"""SO_EE_ORIGIN_LOCAL, _ICMP and _ICMP6."""
STAMP_SENT: Final = 0
"""SCM_TSTAMP_SND: the last byte of a send was handed to the network device."""
STAMP_SCHEDULED: Final = 1
"""SCM_TSTAMP_SCHED: it came to the network device's queue (its queueing discipline)."""
STAMP_ACKNOWLEDGED: Final = 2
"""SCM_TSTAMP_ACK: the peer's kernel acknowledged it."""

_TIMESPEC: Final = struct.Struct("qq")
_EXTENDED_ERROR: Final = struct.Struct("=IBBBBII")
"""struct sock_extended_err: errno, origin, type, code, pad, info (SCM_TSTAMP_*), data (key)."""
_RECVERR: Final = {socket.AF_INET: (0, 11), socket.AF_INET6: (41, 25)}
"""(IPPROTO_IP, IP_RECVERR) and (IPPROTO_IPV6, IPV6_RECVERR)."""
_EXTENDED_ERROR_TYPES: Final = frozenset(_RECVERR.values())
_ANCILLARY_BYTES: Final = 256
_FROM_ERROR_QUEUE: Final = int(socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
DRAIN_LIMIT: Final = 256
"""Messages taken from an error queue at once: a bound, far over what a check can leave there."""

TCP_INFO: Final = 11
_TCP_INFO_BYTES: Final = 256
_TCP_INFO_LEAST: Final = 152
"""Through tcpi_min_rtt (Linux 4.6)."""
_TCPI_OPT_TIMESTAMPS: Final = 1
_TCPI_OPT_SACK: Final = 2
_TCP_INFO: Final = struct.Struct("=5xB10xI4xI4xI20xII4xI28xI40xII")
"""tcpi_options (5), snd_mss (16), unacked (24), lost (32), last_ack_recv (56), pmtu (60), rtt (68),
total_retrans (100), notsent_bytes (144), min_rtt (148)."""
_UINT: Final = struct.Struct("=I")
_ULONG: Final = struct.Struct("=Q")


@record(frozen=True, slots=True)
class ClockPair:
    """CLOCK_REALTIME and CLOCK_MONOTONIC read together, in ns, and how far apart at most."""

    realtime_ns: int
    monotonic_ns: int
    uncertainty_ns: int

    @property
    def offset_ns(self) -> int:
        """Return the ns to subtract from a CLOCK_REALTIME stamp to get CLOCK_MONOTONIC."""
        return self.realtime_ns - self.monotonic_ns


_UNINTERRUPTED_NS: Final = 1_000


def read_clocks() -> ClockPair:
    """Read both clocks; of three tries the one that was interrupted least, or the first that was
    not interrupted.
    """
    best: ClockPair | None = None
    for _ in range(3):
        before = time.monotonic_ns()
        realtime = time.time_ns()
        after = time.monotonic_ns()
        if best is None or after - before < best.uncertainty_ns:
            best = ClockPair(realtime, (before + after) // 2, after - before)
            if after - before < _UNINTERRUPTED_NS:
                break
    assert best is not None
    return best


@record(frozen=True, slots=True)
class Stamp:
    """One transmit stamp: what happened (STAMP_*), to the byte with which key, and when."""

    what: int
    key: int
    """Offset of the send's last byte since time-stamping was enabled (OPT_ID), modulo 2^32."""
    realtime_ns: int


@record(frozen=True, slots=True)
class TcpInfo:
    """The fields of struct tcp_info that a check reads, at one moment."""

    retransmits: int
    """tcpi_total_retrans: segments sent again so far, SYNs included."""
    rtt_us: int
    min_rtt_us: int
    lost: int
    pmtu: int
    last_ack_received_ms: int
    """Since the last acknowledgement came in; as coarse as the kernel's tick (1 to 10 ms)."""
    send_mss: int
    """Bytes of a full segment that we send."""
    dsacks: int
    """Segments that the peer says it got twice: our retransmission was not needed."""
    options: int
    """tcpi_options: what both ends agreed on in the handshake (TCPI_OPT_*)."""
    in_flight: int = 0
    """tcpi_unacked: segments that left TCP and are not acknowledged."""
    unsent_bytes: int = 0
    """tcpi_notsent_bytes: what send(2) took and TCP has given to nobody."""
    window_closed_us: int = 0
    """tcpi_rwnd_limited: how long the peer's receive window kept us from sending (Linux 4.10)."""

    @property
    def has_timestamps(self) -> bool:
        """Each end repeats the other's clock (RFC 7323): which copy it answers can be told."""
        return bool(self.options & _TCPI_OPT_TIMESTAMPS)

    @property
    def has_sack(self) -> bool:
        """Without it nobody can say that a segment came twice (RFC 2883)."""
        return bool(self.options & _TCPI_OPT_SACK)

    @classmethod
    def parse(cls, data: bytes) -> Self | None:
        """Parse struct tcp_info (linux/tcp.h); None where the kernel's is of no use.

        A longer one than we know is read by its head, a shorter one lacks the newer fields. One
        whose maximum segment is 0 is not filled in: gVisor knows the round trip alone, and zeros
        for retransmissions would be taken for its word. Linux has one before it has a peer.
        """
        if len(data) < _TCP_INFO_LEAST:
            return None

        (
            options,
            send_mss,
            in_flight,
            lost,
            last_ack_received_ms,
            pmtu,
            rtt_us,
            retransmits,
            unsent_bytes,
            min_rtt_us,
        ) = _TCP_INFO.unpack_from(data)
        if send_mss == 0:
            return None
        return cls(
            retransmits=retransmits,
            rtt_us=rtt_us,
            min_rtt_us=min_rtt_us,
            lost=lost,
            pmtu=pmtu,
            last_ack_received_ms=last_ack_received_ms,
            send_mss=send_mss,
            dsacks=_UINT.unpack_from(data, 216)[0] if len(data) >= 220 else 0,
            in_flight=in_flight,
            unsent_bytes=unsent_bytes,
            window_closed_us=_ULONG.unpack_from(data, 176)[0] if len(data) >= 184 else 0,
            options=options,
        )


def tcp_info(sock: socket.socket) -> TcpInfo | None:
    """TCP_INFO of a socket, None where the kernel does not give it (gVisor, other systems)."""
    try:
        return TcpInfo.parse(sock.getsockopt(socket.IPPROTO_TCP, TCP_INFO, _TCP_INFO_BYTES))
    except OSError:
        return None


def enable_timestamps(sock: socket.socket) -> bool:
    """Ask for send, acknowledge and receive stamps. Only after connect: OPT_ID before is EINVAL.

    False where the kernel does not take it, or takes it and forgets it (gVisor).
    """
    return _stamp(sock, _TCP_FLAGS)


def prepare_datagrams(sock: socket.socket, family: socket.AddressFamily) -> None:
    """Ask a UDP socket for send stamps, whose keys count datagrams from 0, for receive stamps, and
    for ICMP errors though it is not connected. A kernel without stamps gives none (gVisor).
    """
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, _UDP_FLAGS)
        sock.setsockopt(*_RECVERR[family], 1)


def _stamp(sock: socket.socket, flags: int) -> bool:
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, flags)
        return sock.getsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING) == flags
    except OSError:
        return False


def keep_receive_timestamps_on() -> socket.socket | None:
    """Hold the kernel's receive time-stamping on, for as long as the socket returned is open.

    The kernel stamps packets only while some socket asks for it and switches over lazily
    (net_enable_timestamp), so that the first answers after a pause would carry no stamp. None:
    this kernel stamps nothing, whatever it takes (gVisor).
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if _stamp(sock, _RX_FLAGS):
        return sock
    sock.close()
    return None


def receive(sock: socket.socket, size: int, *, stamped: bool = True) -> tuple[bytes, int | None]:
    """Read up to ``size`` bytes and the CLOCK_REALTIME ns at which the last of them arrived.

    Not ``stamped`` (``enable_timestamps``): no stamp is asked for. gVisor's recvmsg leaves the
    length of what it did not write as it was at the end of a stream, and Python warns of that.
    Raises what recvmsg raises: BlockingIOError when nothing is there, ConnectionResetError...
    """
    if not stamped:
        return sock.recv(size), None
    data, ancillary, _, _ = sock.recvmsg(size, _ANCILLARY_BYTES)
    return data, _arrived_ns(ancillary)


def receive_datagram(sock: socket.socket, size: int) -> tuple[bytes, int | None, tuple[Any, ...]]:
    """Likewise one datagram, cut at ``size``, and who sent it: (address, port, ...)."""
    data, ancillary, _, sender = sock.recvmsg(size, _ANCILLARY_BYTES)
    return data, _arrived_ns(ancillary), sender


def _arrived_ns(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPING:
            return _realtime_ns(payload)
    return None


def drain_error_queue(sock: socket.socket) -> list[Stamp]:
    """Take every pending transmit stamp. A queue left full keeps waking the socket (EPOLLERR)."""
    stamps: list[Stamp] = []
    for _ in range(DRAIN_LIMIT):
        try:
            _, ancillary, _, _ = sock.recvmsg(0, _ANCILLARY_BYTES, _FROM_ERROR_QUEUE)
        except OSError:
            break
        stamp = parse_stamp(ancillary)
        if stamp is not None:
            stamps.append(stamp)
    return stamps


def drain_datagram_errors(sock: socket.socket, most: int = DRAIN_LIMIT) -> tuple[list[Stamp], int]:
    """Take pending transmit stamps, and the errno of the first ICMP error; 0: there is none.

    Whoever takes the last error from the queue clears it, so that no read fails of it any more.
    """
    stamps: list[Stamp] = []
    number = 0
    for _ in range(most):
        try:
            _, ancillary, _, _ = sock.recvmsg(0, _ANCILLARY_BYTES, _FROM_ERROR_QUEUE)
        except OSError:
            break
        stamp = parse_stamp(ancillary)
        if stamp is not None:
            stamps.append(stamp)
        else:
            number = number or parse_error(ancillary)
    return stamps, number


def parse_error(ancillary: list[tuple[int, int, bytes]]) -> int:
    """One error-queue message's control messages -> the errno of its error; 0: it is none."""
    for level, kind, payload in ancillary:
        if (level, kind) in _EXTENDED_ERROR_TYPES and len(payload) >= _EXTENDED_ERROR.size:
            number, origin, *_ = _EXTENDED_ERROR.unpack_from(payload)
            if origin in _ORIGINS_OF_ERRORS:
                return int(number)
    return 0


def parse_stamp(ancillary: list[tuple[int, int, bytes]]) -> Stamp | None:
    """One error-queue message's control messages -> its stamp; None for any other error."""
    realtime_ns: int | None = None
    what_key: tuple[int, int] | None = None
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPING:
            realtime_ns = _realtime_ns(payload)
        elif (level, kind) in _EXTENDED_ERROR_TYPES and len(payload) >= _EXTENDED_ERROR.size:
            _, origin, _, _, _, info, data = _EXTENDED_ERROR.unpack_from(payload)
            if origin == _ORIGIN_TIMESTAMPING:
                what_key = (info, data)
    if realtime_ns is None or what_key is None:
        return None
    return Stamp(what_key[0], what_key[1], realtime_ns)


def _realtime_ns(payload: bytes) -> int | None:
    """The payload is struct scm_timestamping: three timespecs, software first; zero means none."""
    if len(payload) < _TIMESPEC.size:
        return None
    seconds, nanoseconds = _TIMESPEC.unpack_from(payload)
    return (int(seconds) * 1_000_000_000 + int(nanoseconds)) or None
