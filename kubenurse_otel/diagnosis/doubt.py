"""How little this agent trusts its own checks: 0 to 7, as in Lifeguard (arXiv 1707.00788)."""

from __future__ import annotations

from collections import deque
from typing import Final

MOST: Final = 7
NO_WITNESS: Final = 3
"""From here on an agent says nothing of others, and others do not ask it."""

OWN_TIMEOUT: Final = 2
MISSED_TICK: Final = 1
LAGGED: Final = 1
LAG_SHARE: Final = 0.25
"""Of a check's time-out: a loop that runs so late has measured itself."""

SICK_SECONDS: Final = 0.1
"""Own delay or lag, as the alert KubenurseProberSick has it."""
SICK_SHARE: Final = 0.5
SICK_INTERVALS: Final = 3.0
LEAST_CHECKS: Final = 4
MOST_CHECKS: Final = 256


class Doubt:
    """Rises with each sign that we are late ourselves, falls by one an interval without any.

    All times are Unix seconds.
    """

    def __init__(self, *, interval_seconds: float, timeout_seconds: float) -> None:
        self._interval = interval_seconds
        self._late_seconds = timeout_seconds * LAG_SHARE
        self._level = 0
        self._changed_at = 0.0
        self._checks: deque[tuple[float, bool]] = deque(maxlen=MOST_CHECKS)

    def level(self, now: float) -> int:
        """0 to MOST."""
        clean = int(max(0.0, now - self._changed_at) / self._interval)
        if clean:
            self._level = max(0, self._level - clean)
            self._changed_at += clean * self._interval
        return self._level

    def own_timeout(self, now: float) -> None:
        self._raise(OWN_TIMEOUT, now)

    def missed(self, seconds: float, now: float) -> None:
        """Take in for how long a target was not checked because of ourselves.

        In intervals of path checks: of an extra check every 100 ms any pause takes several ticks.
        """
        ticks = int(seconds / self._interval)
        if ticks:
            self._raise(MISSED_TICK * ticks, now)

    def lagged(self, seconds: float, now: float) -> None:
        """Take in how late the event loop ran a timer."""
        self._checks.append((now, seconds > SICK_SECONDS))
        if seconds > self._late_seconds:
            self._raise(LAGGED, now)

    def checked(self, own_delay_seconds: float, now: float) -> None:
        self._checks.append((now, own_delay_seconds > SICK_SECONDS))

    def is_sick(self, now: float) -> bool:
        """Whether half of the last three intervals' checks were delayed by ourselves."""
        since = now - SICK_INTERVALS * self._interval
        late = []
        for at, is_late in reversed(self._checks):
            if not since <= at <= now:
                break
            late.append(is_late)
        return len(late) >= LEAST_CHECKS and sum(late) >= SICK_SHARE * len(late)

    def _raise(self, by: int, now: float) -> None:
        self._level = min(MOST, self.level(now) + by)
        self._changed_at = now
