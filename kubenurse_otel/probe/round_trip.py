"""Find which of TCP's samples is the network's round trip. No I/O, no clock.

A peer's kernel acknowledges a connection's first bytes at once (quick-ack mode), unless somebody
told it not to. Its word is taken where the least round trip that TCP saw allows it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from kubenurse_otel.probe.kernel import STAMP_ACKNOWLEDGED, STAMP_SENT
from kubenurse_otel.probe.marks import Received, Sent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubenurse_otel.probe.marks import Marks

LATE_NS: Final = 8_000_000
"""An acknowledgement so far beyond the least round trip waited for something: for an answer to go
with, or for a timer. smoltcp's is 10 ms, Linux' 40 (TCP_DELACK_MIN, include/net/tcp.h).
"""

RTO_MIN_US: Final = 200_000
"""TCP_RTO_MIN (include/net/tcp.h): nothing is sent again any sooner."""


def is_late(acknowledged_after_ns: int, least_ns: int | None) -> bool:
    """Whether an acknowledgement shows the peer's timers rather than the way.

    If the length of the way is unknown, any acknowledgement that could be late counts as late.
    """
    return acknowledged_after_ns > (least_ns or 0) + LATE_NS


def least_ns(marks: Marks) -> int | None:
    """tcpi_min_rtt, if it is one. It is ~0 before the first sample.

    A handshake whose SYN was sent again leaves no sample, or one in milliseconds (RFC 7323), which
    is a second and more where the SYN-ACK was lost. Then TCP's least may be the time of an answer:
    what was acknowledged alone is taken instead.
    """
    info, connected = marks.info_at_end, marks.info_at_connect
    if info is None or not 0 < info.min_rtt_us < 0xFFFFFFFF:
        return None
    if connected is not None and connected.retransmits:
        alone_ns = min(_acknowledged_alone(marks), default=None)
        about_ns = connected.rtt_us * 1000 if connected.rtt_us < RTO_MIN_US else None
        return None if alone_ns is None or is_late(alone_ns, about_ns) else alone_ns
    return info.min_rtt_us * 1000


def _acknowledged_alone(marks: Marks) -> Iterator[int]:
    """How long each acknowledgement took that came before the answer to what it is of."""
    sent: dict[int, int] = {}
    acknowledged: dict[int, int] = {}
    for stamp in marks.stamps:
        if stamp.what == STAMP_SENT:
            sent[stamp.key] = max(stamp.realtime_ns, sent.get(stamp.key, 0))
        elif stamp.what == STAMP_ACKNOWLEDGED:
            acknowledged.setdefault(stamp.key, stamp.realtime_ns)
    for before, step in pairwise(marks.steps):
        if isinstance(before, Sent) and isinstance(step, Received) and before.key in sent:
            at_ns = acknowledged.get(before.key)
            if at_ns is not None and at_ns < (step.kernel_realtime_ns or 0):
                yield at_ns - sent[before.key]
