"""Lost segments on our ways to neighbours: a CUSUM a direction, for each way and for all together.

E. S. Page, Continuous Inspection Schemes (1954): the sum of log likelihood ratios of "5 in 1,000
are lost" against "1 in 1,000 is", never below 0. At 16 the first is e^16 times as likely.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log
from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.verdict import Direction
from kubenurse_otel.diagnosis.view import Accused

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from kubenurse_otel.model import CheckResult

LOST_WEIGHT: Final = log(5)
SENT_WEIGHT: Final = 0.004
ALARM: Final = 16.0
LOSSY: Final = 4.0
"""A way of which others are told that it loses: they wait with blaming theirs alone."""
WITHOUT_THE_WORST: Final = 4.0
LEAST_PEERS: Final = 2
ENOUGH_PEERS: Final = 3
CLEAN_LOSSES: Final = 6.0
"""What lost so often and then not once while this many losses were due loses no more (e^-6)."""

SEGMENTS_A_CHECK: Final = 2
"""Each way, of which a loss is seen: SYN and request, SYN-ACK and answer."""

STARVED_WAIT_SECONDS: Final = 0.1
STARVED_SECONDS: Final = 30.0
"""An agent whose process let a request wait so long had too little CPU, and has for a while: an
answer that is late without a word why may have waited for that, too."""

HASTE_FROM: Final = 1.0
HASTE_SECONDS: Final = 120.0
HASTE_REGAINED: Final = 0.2
"""Seconds of haste a second: 120 in ten minutes."""

_DIRECTIONS: Final = (Direction.OUT, Direction.IN)


@dataclass(slots=True)
class Cusum:
    """One sum. ``by`` is what each peer's losses brought since the sum was last 0.

    ``clean`` segments came through since the last loss. ``alarm_at`` is when the alarm was due.
    """

    sum: float = 0.0
    lost: int = 0
    sent: int = 0
    clean: int = 0
    alarm_at: float | None = None
    by: dict[str, float] = field(default_factory=dict)

    def add(self, peer: str, now: float, *, lost: int, sent: int) -> None:
        if not lost and not self.sum:
            return
        self.sum = max(0.0, self.sum + LOST_WEIGHT * lost - SENT_WEIGHT * sent)
        self.lost += lost
        self.sent += sent
        self.clean = 0 if lost else self.clean + sent
        if lost:
            self.by[peer] = self.by.get(peer, 0.0) + LOST_WEIGHT * lost
        if self.alarm_at is None and self.sum >= ALARM:
            self.alarm_at = now
        if self.sum == 0.0 or (self.alarm_at is not None and self._is_over()):
            self.reset()

    def _is_over(self) -> bool:
        return self.clean * self.lost >= CLEAN_LOSSES * (self.sent - self.clean)

    def reset(self) -> None:
        self.sum, self.lost, self.sent, self.clean, self.alarm_at = 0.0, 0, 0, 0, None
        self.by.clear()

    def forget(self, peers: Collection[str]) -> None:
        for peer in set(self.by) - set(peers):
            del self.by[peer]
        if not self.by:
            self.reset()

    def is_everywhere(self, peers: int) -> bool:
        """Whether the alarm is due, of most of ``peers`` and not of one of them alone."""
        return (
            self.sum >= ALARM
            and len(self.by) >= max(LEAST_PEERS, min(ENOUGH_PEERS, peers))
            and self.sum - max(self.by.values()) >= WITHOUT_THE_WORST
        )


def lost_segments(result: CheckResult) -> dict[Direction, int] | None:
    """How many segments a good check lost each way, as far as it is known; None: it tells nothing.

    Out: what we sent again and the far end had not. In: its SYN-ACK or its answer came late by a
    retransmission. A repeat that the far end had already (D-SACK) is neither: it acknowledges late
    where its process gets no CPU, and nobody can tell that from an acknowledgement that was lost.
    """
    measurement = result.measurement
    if result.failure is not None or measurement is None or measurement.intercepted:
        return None
    split, repeats = measurement.split, measurement.retransmits
    if split.loss is None or repeats is None:
        return None
    out = max(1, repeats - measurement.dsacks) if split.loss_out else 0
    return {Direction.OUT: out, Direction.IN: int(bool(split.loss_in))}


class Losses:
    """What was lost on the ways to the peers that we check."""

    def __init__(self) -> None:
        self._all = {direction: Cusum() for direction in _DIRECTIONS}
        self._ways: dict[str, dict[Direction, Cusum]] = {}
        self._starved_at: dict[str, float] = {}
        self._haste_left = HASTE_SECONDS
        self._haste_at = 0.0
        self._is_hasty = False

    def retain(self, peers: Collection[str]) -> None:
        self._ways = {peer: way for peer, way in self._ways.items() if peer in peers}
        self._starved_at = {peer: at for peer, at in self._starved_at.items() if peer in peers}
        for one in self._all.values():
            one.forget(peers)

    def note(self, peer: str, result: CheckResult, now: float) -> None:
        lost = lost_segments(result)
        if lost is None or self._may_be_starved(peer, result, now):
            return
        way = self._ways.setdefault(peer, {direction: Cusum() for direction in _DIRECTIONS})
        for direction in _DIRECTIONS:
            way[direction].add(peer, now, lost=lost[direction], sent=SEGMENTS_A_CHECK)
            together = self._all[direction]
            was_alarming = together.alarm_at is not None
            together.add(peer, now, lost=lost[direction], sent=SEGMENTS_A_CHECK)
            if was_alarming and together.alarm_at is None:  # so what each way had of it is over
                for each in self._ways.values():
                    each[direction].reset()

    def _may_be_starved(self, peer: str, result: CheckResult, now: float) -> bool:
        """Whether the answer was late, for want of CPU at the far end as likely as for a loss.

        Nothing but its time tells of an answer that was sent again (probe/directions.py); what we
        sent again is a loss all the same.
        """
        measurement = result.measurement
        assert measurement is not None
        if (measurement.split.far_end_wait or 0.0) >= STARVED_WAIT_SECONDS:
            self._starved_at[peer] = now
        at = self._starved_at.get(peer)
        is_starved = at is not None and 0 <= now - at <= STARVED_SECONDS
        return is_starved and bool(measurement.split.loss_in) and not measurement.retransmits

    def reset(self) -> None:
        """Forget what was lost: it was a consequence."""
        self._ways.clear()
        for one in self._all.values():
            one.reset()

    def accused(self) -> Accused:
        """Which way our own node loses what it sends or should get."""
        peers = len(self._ways)
        out, into = (self._all[direction].is_everywhere(peers) for direction in _DIRECTIONS)
        if out and into:
            return Accused.LOSS_BOTH
        if out:
            return Accused.LOSS_OUT
        return Accused.LOSS_IN if into else Accused.NOTHING

    def lossy(self) -> frozenset[str]:
        """Peers on whose way more is lost than is normal."""
        return frozenset(peer for peer, way in self._ways.items() if _most(way) >= LOSSY)

    def alarming(self, before: float) -> Mapping[str, Direction]:
        """Return peers on whose way much was lost since ``before`` or longer; which way (ours).

        Not while there are losses on our other ways as well: then it may be what they share.
        """
        found = {}
        for peer, way in self._ways.items():
            directions = [
                direction
                for direction, one in way.items()
                if one.sum >= ALARM
                and one.alarm_at is not None
                and one.alarm_at <= before
                and not self._loses_elsewhere(peer, direction)
            ]
            if directions:
                found[peer] = directions[0] if len(directions) == 1 else Direction.NONE
        return found

    def _loses_elsewhere(self, peer: str, direction: Direction) -> bool:
        return any(
            way[direction].sum >= HASTE_FROM for other, way in self._ways.items() if other != peer
        )

    def wants_haste(self, now: float, *, is_told: bool = False) -> bool:
        """Whether more checks of neighbours would tell sooner: after a loss, within a budget.

        ``is_told``: a neighbour says that it loses on a way to us, or to whom we check.
        """
        passed = max(0.0, now - self._haste_at)
        self._haste_at = now
        spent = passed if self._is_hasty else -HASTE_REGAINED * passed
        self._haste_left = min(HASTE_SECONDS, self._haste_left - spent)
        suspects = is_told or any(one.sum >= HASTE_FROM for one in self._all.values())
        self._is_hasty = suspects and self._haste_left > 0
        return self._is_hasty


def _most(way: Mapping[Direction, Cusum]) -> float:
    return max(one.sum for one in way.values())
