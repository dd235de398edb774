"""Lost segments on our ways to neighbours: one CUSUM per direction, for each way and for all.

Owns what counts as lost, and when more checks would tell sooner. Whom it speaks against is for the
rules to say (rules/loss.py).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.case import LosingWay, LosingWays
from kubenurse_otel.diagnosis.cusum import ALARM, Cusum
from kubenurse_otel.diagnosis.verdict import Direction

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from kubenurse_otel.model import CheckResult

LOSSY: Final = 4.0
"""A way of which others are told that it loses: they wait with blaming theirs alone."""
SEGMENTS_A_CHECK: Final = 2
"""Each way, of which a loss is seen: SYN and request, SYN-ACK and answer."""

STARVED_WAIT_SECONDS: Final = 0.1
STARVED_SECONDS: Final = 30.0
"""An agent whose process let a request wait so long had too little CPU, and has for a while: an
answer that is late without a word why may have waited for that, too."""

HASTE_FROM: Final = 1.0
HASTE_SECONDS: Final = 120.0
SIGN_SECONDS: Final = 10.0
"""So long haste lasts for a loss that was not on a way to a neighbour."""
HASTE_REGAINED: Final = 0.2
"""Seconds of haste a second: 120 in ten minutes."""

_DIRECTIONS: Final = (Direction.OUT, Direction.IN)


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
        self._sign_at = float("-inf")
        self._is_hasty = False

    def retain(self, peers: Collection[str]) -> None:
        self._ways = {peer: way for peer, way in self._ways.items() if peer in peers}
        self._starved_at = {peer: at for peer, at in self._starved_at.items() if peer in peers}
        for direction, together in self._all.items():
            if not any(way[direction].sum for way in self._ways.values()):
                together.reset()

    def note(self, peer: str, result: CheckResult, now: float) -> None:
        lost = lost_segments(result)
        if lost is None or self._may_be_starved(peer, result, now):
            return
        way = self._ways.setdefault(peer, {direction: Cusum() for direction in _DIRECTIONS})
        for direction in _DIRECTIONS:
            way[direction].add(now, lost=lost[direction], sent=SEGMENTS_A_CHECK)
            together = self._all[direction]
            was_alarming = together.alarm_at is not None
            together.add(now, lost=lost[direction], sent=SEGMENTS_A_CHECK)
            if was_alarming and together.alarm_at is None:  # so what each way had of it is over
                for each in self._ways.values():
                    each[direction].reset()

    def note_elsewhere(self, result: CheckResult, now: float) -> None:
        """Take in a check of no neighbour: nobody knows its way, but it leaves our node as well.

        One that failed tells of a far end that is gone, and of nothing that more checks would tell.
        """
        measurement = result.measurement
        if result.failure is None and measurement is not None and measurement.split.loss:
            self._sign_at = now

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

    def of_all(self, now: float) -> Mapping[Direction, LosingWays]:
        """Return the directions in which the alarm is due of all ways together."""
        return {
            direction: LosingWays(
                sums=MappingProxyType(
                    {peer: way[direction].sum for peer, way in self._ways.items()}
                ),
                seconds=max(0.0, now - one.alarm_at),
                since=one.since,
            )
            for direction, one in self._all.items()
            if one.sum >= ALARM and one.alarm_at is not None and one.since is not None
        }

    def lossy(self) -> frozenset[str]:
        """Peers on whose way more is lost than is normal."""
        return frozenset(peer for peer, way in self._ways.items() if _most(way) >= LOSSY)

    def alarming(self, before: float) -> Mapping[str, LosingWay]:
        """Return peers on whose way much was lost since ``before`` or longer."""
        found = {}
        for peer, way in self._ways.items():
            due = {
                direction: one.since
                for direction, one in way.items()
                if one.sum >= ALARM and one.alarm_at is not None and one.alarm_at <= before
                if one.since is not None
            }
            if due:
                direction = next(iter(due)) if len(due) == 1 else Direction.NONE
                found[peer] = LosingWay(direction, min(due.values()))
        return found

    def wants_haste(self, now: float, *, is_told: bool = False) -> bool:
        """Whether more checks of neighbours would tell sooner: after a loss, within a budget.

        ``is_told``: a neighbour says that it loses on a way to us, or to whom we check.
        """
        passed = max(0.0, now - self._haste_at)
        self._haste_at = now
        spent = passed if self._is_hasty else -HASTE_REGAINED * passed
        self._haste_left = min(HASTE_SECONDS, self._haste_left - spent)
        is_sign = 0 <= now - self._sign_at <= SIGN_SECONDS
        suspects = is_told or is_sign or any(one.sum >= HASTE_FROM for one in self._all.values())
        self._is_hasty = suspects and self._haste_left > 0
        return self._is_hasty


def _most(way: Mapping[Direction, Cusum]) -> float:
    return max(one.sum for one in way.values())
