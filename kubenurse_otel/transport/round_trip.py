"""PURE: which of TCP's samples is the network's round trip.

A peer's kernel acknowledges a connection's first bytes at once (quick-ack mode), unless somebody
told it not to. Its word is taken where the least round trip that TCP saw allows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kubenurse_otel.transport.marks import Marks

LATE_NS: Final = 8_000_000
"""An acknowledgement so far beyond the least round trip waited for something: for an answer to go
with, or for a timer. smoltcp's is 10 ms, Linux' 40 (TCP_DELACK_MIN, include/net/tcp.h).
"""
RTO_MIN_US: Final = 200_000
"""TCP_RTO_MIN (include/net/tcp.h): nothing is sent again any sooner."""


def is_late(acknowledged_after_ns: int, least_ns: int | None) -> bool:
    """Whether an acknowledgement tells of the peer's timers rather than of the way."""
    return least_ns is not None and acknowledged_after_ns > least_ns + LATE_NS


def least_ns(marks: Marks) -> int | None:
    """tcpi_min_rtt, if it is one. It is ~0 before the first sample.

    A handshake whose SYN was sent again leaves no sample. Then the only one may be an answer that
    the far end sent again, after a retransmission timeout: one of that length is no round trip.
    """
    info, connected = marks.info_at_end, marks.info_at_connect
    if info is None or not 0 < info.min_rtt_us < 0xFFFFFFFF:
        return None
    if connected is not None and connected.retransmits and info.min_rtt_us >= RTO_MIN_US:
        return None
    return info.min_rtt_us * 1000
