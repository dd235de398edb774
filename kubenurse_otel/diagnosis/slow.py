"""Round trips that became longer: of a peer against its own last hour."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

GROUP: Final = 6
"""Round trips whose median is one point: half a minute of checks."""
HOUR_OF_GROUPS: Final = 120
LEAST_GROUPS: Final = 10
FACTOR: Final = 3.0
LEAST_SECONDS: Final = 0.005
SHARE: Final = 0.7
LEAST_PEERS: Final = 3


@dataclass(slots=True)
class _Peer:
    """The baseline does not move while the peer is slow, for an hour at most."""

    group: list[float] = field(default_factory=list)
    baseline: deque[float] = field(default_factory=lambda: deque(maxlen=HOUR_OF_GROUPS))
    latest: float = 0.0
    slow_groups: int = 0

    def add(self, round_trip_seconds: float) -> None:
        self.group.append(round_trip_seconds)
        if len(self.group) < GROUP:
            return
        self.latest = median(self.group)
        self.group.clear()
        self.slow_groups = self.slow_groups + 1 if self.factor() else 0
        if self.slow_groups >= HOUR_OF_GROUPS:
            self.baseline.clear()
            self.slow_groups = 0
        if not self.slow_groups:
            self.baseline.append(self.latest)

    def factor(self) -> float:
        """How many times its usual round trip the latest one is; 0: it is as usual."""
        if len(self.baseline) < LEAST_GROUPS:
            return 0.0
        usual = median(self.baseline)
        if self.latest <= max(FACTOR * usual, usual + LEAST_SECONDS):
            return 0.0
        return self.latest / usual if usual else FACTOR


def median(values: Iterable[float]) -> float:
    """As statistics.median, whose module brings fractions and decimals: half a MiB."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return (ordered[middle] + ordered[~middle]) / 2


class RoundTrips:
    """Of the peers that we check."""

    def __init__(self) -> None:
        self._peers: dict[str, _Peer] = {}

    def retain(self, peers: Collection[str]) -> None:
        self._peers = {peer: one for peer, one in self._peers.items() if peer in peers}

    def note(self, peer: str, round_trip_seconds: float) -> None:
        self._peers.setdefault(peer, _Peer()).add(round_trip_seconds)

    def factor(self) -> float:
        """How many times as long as usual they are to most peers (the median); 0: they are not."""
        factors = [factor for one in self._peers.values() if (factor := one.factor())]
        known = sum(len(one.baseline) >= LEAST_GROUPS for one in self._peers.values())
        if known < LEAST_PEERS or len(factors) < SHARE * known:
            return 0.0
        return median(factors)
