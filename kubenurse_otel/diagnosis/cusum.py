"""A CUSUM: whether more is lost than is normal, and whether that is over. No clock, no I/O.

E. S. Page, Continuous Inspection Schemes (1954): the sum of log likelihood ratios of "5 in 1,000
are lost" against "1 in 1,000 is", never below 0: however long all was well, an alarm is not later
for it. At 16 the first is e^16 times as likely.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, log1p
from typing import Final

LOST_WEIGHT: Final = log(5)
SENT_WEIGHT: Final = 0.004
ALARM: Final = 16.0
BURST_SECONDS: Final = 1.0
"""What is lost within so long of a first loss is one burst: the link was down for a moment, or a
queue was full. Nobody can tell from a burst's size when the next one is due.
"""
MOST_OF_A_BURST: Final = 4
"""Losses of one burst that count: an alarm takes three bursts, one moment is no rate."""
CLEAN_BURSTS: Final = 6.0
"""What lost so often and then not once while this many bursts were due loses no more (e^-6)."""


@dataclass(slots=True)
class Cusum:
    """``since`` is when the first loss was seen since the sum was 0, ``alarm_at`` when the alarm
    was due, ``burst_at`` when the latest burst began; None: there was none. ``in_burst`` losses of
    it counted. ``clean`` segments came through since the last loss.
    """

    sum: float = 0.0
    bursts: int = 0
    in_burst: int = 0
    sent: int = 0
    clean: int = 0
    since: float | None = None
    alarm_at: float | None = None
    burst_at: float | None = None

    def add(self, now: float, *, lost: int, sent: int) -> None:
        """Take in ``sent`` segments, of which ``lost`` did not arrive."""
        if not lost and self.since is None:
            return
        if lost and (self.burst_at is None or now - self.burst_at >= BURST_SECONDS):
            self.bursts, self.in_burst, self.burst_at = self.bursts + 1, 0, now
        counted = min(lost, MOST_OF_A_BURST - self.in_burst)
        self.in_burst += counted
        self.sum = max(0.0, self.sum + LOST_WEIGHT * counted - SENT_WEIGHT * sent)
        self.sent += sent
        self.clean = 0 if lost else self.clean + sent
        if self.since is None:
            self.since = now
        if self.alarm_at is None and self.sum >= ALARM:
            self.alarm_at = now
        if self.sum == 0.0 or self._is_over():
            self.reset()

    def _is_over(self) -> bool:
        """At its own rate, as the bursts after the first one tell it, below the alarm as well."""
        before = max(1, self.sent - self.clean)
        return (self.bursts - 1) * log1p(self.clean / before) >= CLEAN_BURSTS

    def reset(self) -> None:
        self.sum, self.bursts, self.in_burst, self.sent, self.clean = 0.0, 0, 0, 0, 0
        self.since = self.alarm_at = self.burst_at = None
