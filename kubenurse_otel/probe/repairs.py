"""Find which of our segments were sent again, where send stamps do not tell or mislead. No I/O.

A stamp is that of a send's last byte. An earlier segment of it that is lost and sent again leaves
none; TCP_INFO counts it, and the acknowledgement of the whole comes a round trip after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubenurse_otel.probe.kernel import STAMP_ACKNOWLEDGED, STAMP_SENT
from kubenurse_otel.probe.marks import Sent
from kubenurse_otel.probe.round_trip import least_ns

if TYPE_CHECKING:
    from kubenurse_otel.probe.marks import Marks


def needless(marks: Marks) -> bool:
    """Whether everything that we sent again had arrived before, by the peer's word (DSACK).

    A peer that acknowledges late (40 ms, once a connection has answered) makes our kernel probe
    for a lost tail, and one whose acknowledgement is lost makes it repeat: the request was there
    the first time, and what it waited for since is the far end.
    """
    return 0 < _repeated(marks) <= marks.dsacks


def unproven(marks: Marks) -> bool:
    """Whether we sent something again, and this peer could not have said that it had it.

    Without SACK there is no DSACK: a peer that acknowledges after our retransmission timeout
    (lwIP's timer is 250 ms) looks like one that our request never reached.
    """
    info = marks.info_at_end
    return info is not None and _repeated(marks) > 0 and not info.has_sack


def handshake_lost_ns(marks: Marks, taken_ns: int) -> int:
    """What SYNs or SYN-ACKs that were sent again took of a handshake."""
    if marks.info_at_connect is None or not marks.info_at_connect.retransmits:
        return 0
    return max(0, taken_ns - (least_ns(marks) or 0))


def unstamped(marks: Marks) -> tuple[int, int] | None:
    """(key of the send, CLOCK_REALTIME ns at which the last segment of it that was lost left).

    None where the stamps tell of each segment that was sent again. Of several sends that have
    more than a segment it is the one whose acknowledgement took longest.
    """
    info, repeated = marks.info_at_end, _repeated(marks)
    if info is None or repeated <= 0:
        return None
    round_trip_ns = least_ns(marks)
    if round_trip_ns is None or needless(marks) or unproven(marks):
        return None
    sent: dict[int, list[int]] = {}
    acknowledged: dict[int, int] = {}
    for stamp in marks.stamps:
        if stamp.what == STAMP_SENT:
            sent.setdefault(stamp.key, []).append(stamp.realtime_ns)
        elif stamp.what == STAMP_ACKNOWLEDGED:
            acknowledged.setdefault(stamp.key, stamp.realtime_ns)
    if repeated <= sum(len(times) - 1 for times in sent.values()):
        return None
    long = [
        (acknowledged[step.key] - max(sent[step.key]), step.key)
        for step in marks.steps
        if isinstance(step, Sent) and step.size > info.send_mss
        if step.key in sent and step.key in acknowledged
    ]
    if not long:
        return None
    taken_ns, key = max(long)
    return key, max(sent[key]) + max(0, taken_ns - round_trip_ns)


def _repeated(marks: Marks) -> int:
    """Segments that were sent again since the connection stood."""
    end, connected = marks.info_at_end, marks.info_at_connect
    before = connected.retransmits if connected is not None else marks.retransmits_before
    return 0 if end is None else end.retransmits - before
