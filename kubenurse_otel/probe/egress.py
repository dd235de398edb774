"""Find how long this node held back what we sent, and what never left it. No I/O, no clock.

send(2) gives bytes to TCP. TCP gives them to the network device's queue (stamp SCHEDULED), the
queue to the device (stamp SENT). What is dropped before the device (a firewall's rule, a full
queue) is no retransmission for TCP: it sends again, 200 ms later, as if for the first time. None
of this is our process' time; a closed window of the peer's, which holds TCP back, is the far end's.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from kubenurse_otel.probe.kernel import STAMP_SCHEDULED, STAMP_SENT
from kubenurse_otel.probe.marks import Sent
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from kubenurse_otel.probe.marks import Marks


@record(frozen=True, slots=True)
class WayOut:
    """One send's way through this node. Times and durations are in ns."""

    given_ns: int
    """CLOCK_MONOTONIC: TCP had the last byte. Our own mark may be late, by what we were held up."""
    held_ns: int
    """Duration until it came to the device's queue."""
    queued_ns: int
    """Duration from there until the device had it: it waited, or was dropped and sent again."""


class Unsent(Enum):
    """Who holds back bytes that never left."""

    FAR_END = "far_end"
    """Its receive window is closed: a SYN proxy without a backend, a process that does not read."""
    NODE = "node"
    """A queue or a rule of this node."""


def way_out(step: Sent, scheduled_ns: int | None, sent_ns: int) -> WayOut:
    """Put together the stamps (CLOCK_MONOTONIC ns) of a send's last byte, each its first one.

    A send that came to the queue while send(2) ran was given to TCP then, whenever we returned.
    """
    if scheduled_ns is None or scheduled_ns > sent_ns:
        scheduled_ns = sent_ns
    given_ns = min(step.ended_ns, scheduled_ns)
    return WayOut(given_ns, scheduled_ns - given_ns, sent_ns - scheduled_ns)


def window_was_closed(marks: Marks) -> bool:
    """Whether TCP says that the peer's window kept it from sending, in this exchange."""
    info = marks.info_at_end
    return info is not None and info.window_closed_us > marks.window_closed_before_us


def unsent(marks: Marks) -> Unsent | None:
    """Return who holds back what we sent last. None if it left, or if that is unknown."""
    info = marks.info_at_end
    if info is None:
        return None
    if info.unsent_bytes and not info.in_flight:  # or it is its turn that has not come
        return Unsent.FAR_END if window_was_closed(marks) else Unsent.NODE
    last = marks.steps[-1] if marks.steps else None
    if not isinstance(last, Sent) or not is_queued(marks, last):
        return None
    has_left = any(s.what == STAMP_SENT and s.key == last.key for s in marks.stamps)
    return None if has_left else Unsent.NODE


def whole_is_unsent(marks: Marks) -> bool:
    """Whether not a byte of the last send left TCP."""
    info, sends = marks.info_at_end, [step for step in marks.steps if isinstance(step, Sent)]
    return info is not None and bool(sends) and info.unsent_bytes >= sends[-1].size


def is_queued(marks: Marks, step: Sent) -> bool:
    """Whether it came to the device's queue, at least once."""
    return any(s.what == STAMP_SCHEDULED and s.key == step.key for s in marks.stamps)
