"""Find in which direction packets were lost, and what the far end had to send again. No I/O.

We see our own repeats (repairs.py): they are losses on the way out. A repeated SYN-ACK shows in
TCP's time stamps, or the far end reports it. A repeated answer shows only if the agent that gave it
reports its own time: time that it does not account for, and that is as long as a retransmission
timeout, is loss on the way in. Without such a report, nothing is claimed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from kubenurse_otel.model import TimingSource
from kubenurse_otel.probe import repairs
from kubenurse_otel.probe.kernel import STAMP_ACKNOWLEDGED
from kubenurse_otel.probe.marks import Sent, Stage
from kubenurse_otel.probe.round_trip import RTO_MIN_US

if TYPE_CHECKING:
    from kubenurse_otel.model import Split
    from kubenurse_otel.probe.agent_headers import ServerTiming
    from kubenurse_otel.probe.marks import Marks
    from kubenurse_otel.probe.phases import Timeline

TIMEOUT_SECONDS: Final = RTO_MIN_US / 1e6 - 0.01
"""The shortest time in seconds after which an answer is sent again, minus a tick of the slowest
kernel.
"""
DELAYED_ACK_SECONDS: Final = 0.04
"""TCP_DELACK_MIN (include/net/tcp.h) in seconds: an acknowledgement may be this late although no
queue held it.
"""


def split_of(marks: Marks, timeline: Timeline, told: ServerTiming, *, ours: bool) -> Split:
    """Give ``timeline.split`` its directions, and the far end's repeats their share of its time.

    ``told`` is what the far end says of its time; ``ours``: of this very connection and not of one
    behind an ingress, for only then does it account for what came late. What we had to send again
    to a peer without SACK may have been needed or not: its loss and far end are None, unless the
    far end accounts for the time.
    """
    split = timeline.split
    timing = told if ours else None
    wait, app = (None, None) if split.far_end is None else (told.wait, told.app)
    if split.loss is None or timeline.source is not TimingSource.KERNEL:
        return split.told(loss_out=None, loss_in=None, far_end_wait=wait, far_end_app=app)
    handshake = out = into = 0.0
    if timeline.connect is not None:
        handshake = repairs.handshake_lost_ns(marks, timeline.connect.duration_ns) / 1e9
        into = _synack_lost(marks, timing, handshake)
        if into or (timing is not None and timing.synack_retransmits == 0):
            out = handshake - into
    late = _unaccounted(marks, split, timing)
    if repairs.unproven(marks):
        if late is None or marks.encrypted:  # under TLS it may have been the hello
            return replace(split, loss=None, request_loss=None, far_end=None)
        known = split.told(loss_out=out, loss_in=into, far_end_wait=wait, far_end_app=app)
        return _with_late(known, late)
    stamped = round(split.loss - handshake, 9)  # whole nanoseconds: no rest of a sum is a loss
    out, into = out + stamped, into + (late or 0.0)
    split = split.told(loss_out=out, loss_in=into, far_end_wait=wait, far_end_app=app)
    return _with_late(split, late) if late else split


def _with_late(split: Split, late: float) -> Split:
    """Move ``late`` seconds of the far end's time to the request's loss."""
    assert split.loss is not None
    assert split.request_loss is not None
    assert split.far_end is not None
    return replace(
        split,
        loss=split.loss + late,
        request_loss=split.request_loss + late,
        far_end=split.far_end - late,
    )


def _synack_lost(marks: Marks, timing: ServerTiming | None, handshake: float) -> float:
    """How much of the handshake's loss lies after a SYN that arrived.

    With time stamps tcpi_rtt is the time since the SYN that the SYN-ACK is an answer to (RFC 7323
    section 4.1; the first one that arrived, on Linux): a timeout and more where the SYN-ACK was
    lost. A short one proves nothing, for SYN cookies answer each SYN anew.
    """
    info = marks.info_at_connect
    if info is None or not handshake:
        return 0.0
    if info.has_timestamps and info.rtt_us >= RTO_MIN_US:
        before = handshake - info.rtt_us / 1e6
        return info.rtt_us / 1e6 if before >= TIMEOUT_SECONDS else handshake
    return handshake if timing is not None and timing.synack_retransmits else 0.0


def _unaccounted(marks: Marks, split: Split, timing: ServerTiming | None) -> float | None:
    """Seconds by which the answer came later than the far end says that it took.

    0 where that is less than a retransmission timeout, None where the far end does not say. Time
    that the acknowledgement of the request took as well was spent in a queue, not for a repeat.
    """
    if timing is None or timing.wait is None or timing.app is None or split.far_end is None:
        return None
    since = split.far_end
    acknowledged = _answered_after_acknowledgement(marks)
    if acknowledged is not None:
        since = min(since, acknowledged + DELAYED_ACK_SECONDS)
    late = since - timing.wait - timing.app
    return late if late >= TIMEOUT_SECONDS else 0.0


def _answered_after_acknowledgement(marks: Marks) -> float | None:
    """Seconds from the request's acknowledgement to the answer.

    None if both came together, or if it is unknown which copy was acknowledged.
    """
    sent = (step for step in reversed(marks.steps) if isinstance(step, Sent))
    request = next((step for step in sent if step.stage is Stage.REQUEST), None)
    answer = marks.first_byte
    if request is None or answer is None or answer.kernel_realtime_ns is None:
        return None
    if request.key in repairs.needless(marks) or repairs.unproven(marks):
        return None
    for stamp in marks.stamps:
        if stamp.what == STAMP_ACKNOWLEDGED and stamp.key == request.key:
            since_ns = answer.kernel_realtime_ns - stamp.realtime_ns
            return since_ns / 1e9 if since_ns > 0 else None
    return None
