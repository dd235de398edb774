"""Find which of our segments were sent again, where send stamps do not tell or mislead. No I/O.

A stamp is for the last byte of a send. If an earlier segment of the send was lost and sent again,
there is no stamp of that. But TCP_INFO counts it, and the acknowledgement of the whole send comes a
round trip after it.
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
    """Return the keys of the sends whose repeats were all needless, as the peer reports (D-SACK).

    If a peer acknowledges late (by 40 ms, once it has answered on the connection), our kernel
    sends the last segment again as a probe (RFC 8985 section 7). If the acknowledgement was lost,
    it sends the segment again as well. In both cases the first copy had arrived, so the time since
    then is the far end's.
    """
    return frozenset(step.key for part in _parts(marks) if part.is_needless for step in part.sends)


def unproven(marks: Marks) -> bool:
    """Whether we sent something again, and the peer could not have reported that as needless.

    Without SACK there is no D-SACK. Then a peer that acknowledges only after our retransmission
    timeout (lwIP does, after 250 ms) looks like a peer that our request did not reach.
    """
    info = marks.info_at_end
    return info is not None and _repeated(marks) > 0 and not info.has_sack


def handshake_lost_ns(marks: Marks, taken_ns: int) -> int:
    """Return the ns of TCP's handshake that were lost because a SYN or SYN-ACK was sent again.

    ``taken_ns`` is how long the handshake took in all.
    """
    if marks.info_at_connect is None or not marks.info_at_connect.retransmits:
        return 0
    return max(0, taken_ns - (least_ns(marks) or 0))


def unstamped(marks: Marks) -> dict[int, int]:
    """Return {key of a send: CLOCK_REALTIME ns at which its lost segment left again}.

    Empty if the stamps show each segment that was sent again. If several sends of a part have more
    than one segment, the one whose acknowledgement took longest is taken.
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
    """Return how many segments were sent again since the connection was made."""
    return sum(part.repeated for part in _parts(marks))


@record(frozen=True, slots=True)
class _Part:
    """The TLS handshake, or what followed it: its sends, and what TCP counted meanwhile."""

    sends: list[Sent]
    repeated: int
    dsacks: int

    @property
    def is_needless(self) -> bool:
        return 0 < self.repeated <= self.dsacks


def _parts(marks: Marks) -> list[_Part]:
    """Return the exchange's parts in order. Empty if nothing was sent again."""
    connected, greeted, end = marks.info_at_connect, marks.info_at_greeting, marks.info_at_end
    before = connected.retransmits if connected is not None else marks.retransmits_before
    if end is None or end.retransmits == before:
        return []
    sends = [step for step in marks.steps if isinstance(step, Sent)]
    if greeted is None:
        return [_Part(sends, end.retransmits - before, marks.dsacks)]
    greeting = [step for step in sends if step.started_ns < marks.info_at_greeting_ns]
    repeated, dsacks = end.retransmits - greeted.retransmits, end.dsacks - greeted.dsacks
    # The peer may report a hello that came twice only after the handshake's last byte.
    late = max(0, dsacks - repeated)
    return [
        _Part(greeting, greeted.retransmits - before, greeted.dsacks + late),
        _Part(sends[len(greeting) :], repeated, dsacks),
    ]
