"""Read the kernel's time stamps (SO_TIMESTAMPING, the socket error queue), TCP_INFO and the clocks.

Knows the byte layouts and turns them into times. Decides nothing, and needs no privilege. Sources:
linux/net_tstamp.h, linux/errqueue.h, linux/tcp.h, Documentation/networking/timestamping.rst.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from typing import TYPE_CHECKING, Any, Final, Self

from kubenurse_otel.record import record

if TYPE_CHECKING:
    from collections.abc import Iterator

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
"""SCM_TSTAMP_SCHED: the last byte came to the network device's queue (its queueing discipline)."""
STAMP_ACKNOWLEDGED: Final = 2
"""SCM_TSTAMP_ACK: the peer's kernel acknowledged the last byte."""

_TIMESPEC: Final = struct.Struct("qq")
_EXTENDED_ERROR: Final = struct.Struct("=IBBBBII")
"""struct sock_extended_err: errno, origin, type, code, pad, info (SCM_TSTAMP_*), data (key)."""
_RECVERR: Final = {socket.AF_INET: (0, 11), socket.AF_INET6: (41, 25)}
"""(IPPROTO_IP, IP_RECVERR) and (IPPROTO_IPV6, IPV6_RECVERR)."""
_EXTENDED_ERROR_TYPES: Final = frozenset(_RECVERR.values())
_ANCILLARY_BYTES: Final = 256
_FROM_ERROR_QUEUE: Final = int(socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
DRAIN_LIMIT: Final = 256
"""Most messages that are taken from an error queue at once. A check leaves far fewer."""

TCP_INFO: Final = 11
_TCP_INFO_BYTES: Final = 256
_TCP_INFO_LEAST: Final = 152
"""Bytes up to the end of tcpi_min_rtt (Linux 4.6)."""
_TCPI_OPT_TIMESTAMPS: Final = 1
_TCPI_OPT_SACK: Final = 2
_TCP_INFO: Final = struct.Struct("=5xB10xI4xI4xI20xII4xI28xI40xII")
"""tcpi_options (5), snd_mss (16), unacked (24), lost (32), last_ack_recv (56), pmtu (60), rtt (68),
total_retrans (100), notsent_bytes (144), min_rtt (148)."""
_UINT: Final = struct.Struct("=I")
_ULONG: Final = struct.Struct("=Q")


@record(frozen=True, slots=True)
class ClockPair:
    """CLOCK_REALTIME and CLOCK_MONOTONIC, read together, in ns. At most ``uncertainty_ns`` passed
    between the two readings.
    """

    realtime_ns: int
    monotonic_ns: int
    uncertainty_ns: int

    @property
    def offset_ns(self) -> int:
        """Return the ns to subtract from a CLOCK_REALTIME stamp to get CLOCK_MONOTONIC."""
        return self.realtime_ns - self.monotonic_ns


_UNINTERRUPTED_NS: Final = 1_000


def read_clocks() -> ClockPair:
    """Read both clocks. The first of three tries that was not interrupted counts, else the one that
    took the least time.
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
    """One transmit stamp: what happened (STAMP_*), to which byte, and when."""

    what: int
    key: int
    """OPT_ID: offset of the send's last byte since stamps were enabled, modulo 2^32. On UDP: the
    number of the datagram.
    """
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
    """ms since the last acknowledgement came. Its resolution is the kernel's tick (1 to 10 ms)."""
    send_mss: int
    """Bytes of a full segment that we send."""
    dsacks: int
    """tcpi_dsack_dups: segments that the peer reports to have got twice, so that our retransmission
    was not needed.
    """
    options: int
    """tcpi_options: what both ends agreed on in the handshake (TCPI_OPT_*)."""
    in_flight: int = 0
    """tcpi_unacked: segments that left TCP and are not acknowledged yet."""
    unsent_bytes: int = 0
    """tcpi_notsent_bytes: bytes that send(2) took and that are still in TCP's queue."""
    window_closed_us: int = 0
    """tcpi_rwnd_limited: µs that the peer's receive window kept us from sending (Linux 4.10)."""

    @property
    def has_timestamps(self) -> bool:
        """Whether each end echoes the other's time stamps (RFC 7323). Then an answer tells which
        copy of a segment it answers.
        """
        return bool(self.options & _TCPI_OPT_TIMESTAMPS)

    @property
    def has_sack(self) -> bool:
        """Whether the peer can report that a segment came twice (RFC 2883)."""
        return bool(self.options & _TCPI_OPT_SACK)

    @classmethod
    def parse(cls, data: bytes) -> Self | None:
        """Parse struct tcp_info (linux/tcp.h). None if it is too short or was not filled in.

        A struct of a newer kernel is longer: its first part is read. One of an older kernel is
        shorter: the newer fields are 0. If the maximum segment size is 0, the kernel did not fill
        in the struct: gVisor only sets the round trip, so 0 retransmissions would mean nothing.
        Linux sets this size even before there is a peer.
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
    """Return TCP_INFO of a socket. None if the kernel does not give it (gVisor, other systems)."""
    try:
        return TcpInfo.parse(sock.getsockopt(socket.IPPROTO_TCP, TCP_INFO, _TCP_INFO_BYTES))
    except OSError:
        return None


def enable_timestamps(sock: socket.socket) -> bool:
    """Ask for send, acknowledge and receive stamps. Only after connect: before, OPT_ID is EINVAL.

    Returns False if the kernel refuses, or if it accepts and does not keep the setting (gVisor).
    """
    return _stamp(sock, _TCP_FLAGS)


def prepare_datagrams(sock: socket.socket, family: socket.AddressFamily) -> None:
    """Ask a UDP socket for send stamps, receive stamps and ICMP errors.

    The keys of send stamps count datagrams from 0. ICMP errors come even though the socket is not
    connected. A kernel without stamps (gVisor) gives none, and this is no error.
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
    """Keep the kernel's receive stamps switched on while the returned socket is open.

    The kernel stamps packets only while some socket asks for it, and switches this on with a delay
    (net_enable_timestamp). Without this socket, the first answers after a pause would have no
    stamp. Returns None if the kernel has no stamps (gVisor).
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if _stamp(sock, _RX_FLAGS):
        return sock
    sock.close()
    return None


def receive(sock: socket.socket, size: int, *, stamped: bool = True) -> tuple[bytes, int | None]:
    """Read up to ``size`` bytes, and the CLOCK_REALTIME ns at which the last of them arrived.

    If ``enable_timestamps`` returned False, pass ``stamped=False``: then recv is called instead of
    recvmsg. At the end of a stream, gVisor's recvmsg does not set the length of the ancillary data,
    and Python warns of that. Raises what recvmsg raises, such as BlockingIOError if nothing is
    there, and ConnectionResetError.
    """
    if not stamped:
        return sock.recv(size), None
    data, ancillary, _, _ = sock.recvmsg(size, _ANCILLARY_BYTES)
    return data, _arrived_ns(ancillary)


def receive_datagram(sock: socket.socket, size: int) -> tuple[bytes, int | None, tuple[Any, ...]]:
    """Read one datagram, cut at ``size``, its arrival (as ``receive``), and its sender: (address,
    port, ...). Raises what recvmsg raises.
    """
    data, ancillary, _, sender = sock.recvmsg(size, _ANCILLARY_BYTES)
    return data, _arrived_ns(ancillary), sender


def _arrived_ns(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPING:
            return _realtime_ns(payload)
    return None


def drain_error_queue(sock: socket.socket) -> list[Stamp]:
    """Take all pending transmit stamps. While any are left, the loop is woken again (EPOLLERR)."""
    found = map(parse_stamp, _error_queue(sock, DRAIN_LIMIT))
    return [stamp for stamp in found if stamp is not None]


def drain_datagram_errors(sock: socket.socket, most: int = DRAIN_LIMIT) -> tuple[list[Stamp], int]:
    """Take pending transmit stamps, and the errno of the first ICMP error (0 if there is none).

    When the last error is taken from the queue, the kernel also clears the socket's own error, so
    no later read fails because of it.
    """
    stamps: list[Stamp] = []
    number = 0
    for ancillary in _error_queue(sock, most):
        stamp = parse_stamp(ancillary)
        if stamp is not None:
            stamps.append(stamp)
        else:
            number = number or parse_error(ancillary)
    return stamps, number


def _error_queue(sock: socket.socket, most: int) -> Iterator[list[tuple[int, int, bytes]]]:
    """Take at most ``most`` messages from the error queue, and yield their control messages."""
    for _ in range(most):
        try:
            yield sock.recvmsg(0, _ANCILLARY_BYTES, _FROM_ERROR_QUEUE)[1]
        except OSError:
            return


def parse_error(ancillary: list[tuple[int, int, bytes]]) -> int:
    """Return the errno in the control messages of one error-queue message. 0 if it is no error."""
    for level, kind, payload in ancillary:
        if (level, kind) in _EXTENDED_ERROR_TYPES and len(payload) >= _EXTENDED_ERROR.size:
            number, origin, *_ = _EXTENDED_ERROR.unpack_from(payload)
            if origin in _ORIGINS_OF_ERRORS:
                return int(number)
    return 0


def parse_stamp(ancillary: list[tuple[int, int, bytes]]) -> Stamp | None:
    """Return the stamp in the control messages of one error-queue message. None if it has none."""
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
    """Read struct scm_timestamping: three timespecs, the software stamp first. 0 means none."""
    if len(payload) < _TIMESPEC.size:
        return None
    seconds, nanoseconds = _TIMESPEC.unpack_from(payload)
    return (int(seconds) * 1_000_000_000 + int(nanoseconds)) or None
