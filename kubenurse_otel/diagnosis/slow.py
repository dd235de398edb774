"""Round trips that became longer: of a peer against its own last hour."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.case import LongerWays
from kubenurse_otel.diagnosis.runs import intervals

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

LATEST: Final = 6
"""Round trips whose median is what a way takes now: half a minute of checks."""
HOUR_OF_POINTS: Final = 120
LEAST_POINTS: Final = 10
FACTOR: Final = 3.0
LEAST_SECONDS: Final = 0.005
SHARE: Final = 0.7
LEAST_PEERS: Final = 3
CURRENT_INTERVALS: Final = 3.0
"""A round trip that is older says nothing of now: its peer does not answer."""


@dataclass(slots=True)
class _Peer:
    """Each ``LATEST`` round trips make a point of the baseline. It does not move while the peer is
    slow, for an hour at most. ``factor`` is how many times its usual round trip the latest ones
    are; 0: they are as usual.
    """

    latest: deque[float] = field(default_factory=lambda: deque(maxlen=LATEST))
    baseline: deque[float] = field(default_factory=lambda: deque(maxlen=HOUR_OF_POINTS))
    usual: float = 0.0
    factor: float = 0.0
    until_point: int = LATEST
    slow_points: int = 0
    at: float = 0.0
    """Of the latest one."""

    @property
    def is_known(self) -> bool:
        return len(self.baseline) >= LEAST_POINTS

    def add(self, round_trip_seconds: float, now: float) -> None:
        self.at = now
        self.latest.append(round_trip_seconds)
        if self.is_known and (self.factor or self._is_long(round_trip_seconds)):
            now = median(self.latest)
            is_long = len(self.latest) == LATEST and self._is_long(now)
            self.factor = (now / self.usual if self.usual else FACTOR) if is_long else 0.0
        self.until_point -= 1
        if not self.until_point:
            self.until_point = LATEST
            self._add_point()

    def _is_long(self, seconds: float) -> bool:
        return seconds > max(FACTOR * self.usual, self.usual + LEAST_SECONDS)

    def _add_point(self) -> None:
        self.slow_points = self.slow_points + 1 if self.factor else 0
        if self.slow_points >= HOUR_OF_POINTS:
            self.baseline.clear()
            self.slow_points, self.factor = 0, 0.0
        if not self.slow_points:
            self.baseline.append(median(self.latest))
            self.usual = median(self.baseline)


def median(values: Iterable[float]) -> float:
    """As statistics.median, whose module brings fractions and decimals: half a MiB."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return (ordered[middle] + ordered[~middle]) / 2


class RoundTrips:
    """Of the peers that we check. All times are Unix seconds."""

    def __init__(self, *, interval_seconds: float) -> None:
        self._interval = interval_seconds
        self._peers: dict[str, _Peer] = {}
        self._since: float | None = None
        """When most became long."""
        self._were_everybodys = False

    def retain(self, peers: Collection[str]) -> None:
        self._peers = {peer: one for peer, one in self._peers.items() if peer in peers}

    def note(self, peer: str, round_trip_seconds: float, now: float) -> None:
        one = self._peers.setdefault(peer, _Peer())
        one.add(round_trip_seconds, now)
        if not self._are_most_long(now):
            self._since, self._were_everybodys = None, False
        elif self._since is None:
            self._since = now

    def are_everybodys(self) -> None:
        """Others say so of theirs as well: until most are as usual again it is no node's fault."""
        self._were_everybodys = True

    def are_known(self, now: float, *, of: Collection[str]) -> bool:
        """Whether the usual ones are, of peers enough to say that most became long, and of one in
        ``of``, if that is anybody.
        """
        known = self._known(now)
        return len(known) >= LEAST_PEERS and (not of or any(peer in of for peer in known))

    def _known(self, now: float) -> dict[str, float]:
        """Return the factors of the peers that answer and whose usual round trip is known."""
        longest = CURRENT_INTERVALS * self._interval
        return {
            peer: one.factor
            for peer, one in self._peers.items()
            if one.is_known and 0 <= now - one.at <= longest
        }

    def _are_most_long(self, now: float) -> bool:
        known = self._known(now)
        long = sum(factor > 0 for factor in known.values())
        return bool(long) and len(known) >= LEAST_PEERS and long >= SHARE * len(known)

    def longer(self, now: float) -> LongerWays | None:
        """Return how much longer than usual they are; None: not to most peers."""
        if self._since is None or not self._are_most_long(now):
            return None
        return LongerWays(
            factors=MappingProxyType(self._known(now)),
            run=intervals(max(0.0, now - self._since), self._interval),
            were_everybodys=self._were_everybodys,
        )
