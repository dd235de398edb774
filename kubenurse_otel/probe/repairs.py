"""Find which of our segments were sent again, where send stamps do not tell or mislead. No I/O.

A stamp is that of a send's last byte. An earlier segment of it that is lost and sent again leaves
none; TCP_INFO counts it, and the acknowledgement of the whole comes a round trip after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubenurse_otel.probe.kernel import STAMP_ACKNOWLEDGED, STAMP_SENT
from kubenurse_otel.probe.marks import Sent
from kubenurse_otel.probe.round_trip import least_ns
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from kubenurse_otel.probe.marks import Marks


def needless(marks: Marks) -> frozenset[int]:
    """Return the keys of the sends whose repeats were all needless, as the peer reports.

    A peer that acknowledges late (40 ms, once a connection has answered) makes our kernel probe
    for a lost tail, and one whose acknowledgement is lost makes it repeat: the request was there
    the first time, and what it waited for since is the far end. The peer says so (D-SACK).
    """
    return frozenset(step.key for part in _parts(marks) if part.is_needless for step in part.sends)


def unproven(marks: Marks) -> bool:
    """Whether we sent something again, and this peer could not have reported it as needless.

    Without SACK there is no DSACK: a peer that acknowledges after our retransmission timeout
    (lwIP's timer is 250 ms) looks like one that our request never reached.
    """
    info = marks.info_at_end
    return info is not None and _repeated(marks) > 0 and not info.has_sack


def handshake_lost_ns(marks: Marks, taken_ns: int) -> int:
    """Return the ns of a handshake that SYNs or SYN-ACKs took which were sent again."""
    if marks.info_at_connect is None or not marks.info_at_connect.retransmits:
        return 0
    return max(0, taken_ns - (least_ns(marks) or 0))


def unstamped(marks: Marks) -> dict[int, int]:
    """{key of a send: CLOCK_REALTIME ns at which the last segment of it that was lost left}.

    Empty where the stamps tell of each segment that was sent again. Of several sends of a part
    that have more than a segment it is the one whose acknowledgement took longest.
    """
    parts = _parts(marks)
    round_trip_ns = least_ns(marks) if parts else None
    if round_trip_ns is None or unproven(marks):
        return {}
    sent: dict[int, list[int]] = {}
    acknowledged: dict[int, int] = {}
    for stamp in marks.stamps:
        if stamp.what == STAMP_SENT:
            sent.setdefault(stamp.key, []).append(stamp.realtime_ns)
        elif stamp.what == STAMP_ACKNOWLEDGED:
            acknowledged.setdefault(stamp.key, stamp.realtime_ns)
    found = {}
    for part in parts:
        stamped = sum(len(sent[step.key]) - 1 for step in part.sends if step.key in sent)
        if part.is_needless or part.repeated <= stamped:
            continue
        long = [
            (acknowledged[step.key] - max(sent[step.key]), step.key)
            for step in part.sends
            if marks.info_at_end is not None and step.size > marks.info_at_end.send_mss
            if step.key in sent and step.key in acknowledged
        ]
        if long:
            taken_ns, key = max(long)
            found[key] = max(sent[key]) + max(0, taken_ns - round_trip_ns)
    return found


def _repeated(marks: Marks) -> int:
    """Segments that were sent again since the connection stood."""
    return sum(part.repeated for part in _parts(marks))


@record(frozen=True, slots=True)
class _Part:
    """The handshake of TLS or what followed: its sends, and what TCP counted meanwhile."""

    sends: list[Sent]
    repeated: int
    dsacks: int

    @property
    def is_needless(self) -> bool:
        return 0 < self.repeated <= self.dsacks


def _parts(marks: Marks) -> list[_Part]:
    """Empty where nothing was sent again."""
    connected, greeted, end = marks.info_at_connect, marks.info_at_greeting, marks.info_at_end
    before = connected.retransmits if connected is not None else marks.retransmits_before
    if end is None or end.retransmits == before:
        return []
    sends = [step for step in marks.steps if isinstance(step, Sent)]
    if greeted is None:
        return [_Part(sends, end.retransmits - before, marks.dsacks)]
    greeting = [step for step in sends if step.started_ns < marks.info_at_greeting_ns]
    repeated, dsacks = end.retransmits - greeted.retransmits, end.dsacks - greeted.dsacks
    # The word on a hello that came twice may come after the handshake's last byte.
    late = max(0, dsacks - repeated)
    return [
        _Part(greeting, greeted.retransmits - before, greeted.dsacks + late),
        _Part(sends[len(greeting) :], repeated, dsacks),
    ]
