"""What look-ups lose to the search path: names that are asked for before the one that is found."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.slow import median

if TYPE_CHECKING:
    from kubenurse_otel.model import Measurement

MOST_LOOK_UPS: Final = 64
WINDOW_INTERVALS: Final = 6.0
LEAST_LOOK_UPS: Final = 6
LEAST_QUERIES: Final = 4
"""A look-up with fewer asks for one name in vain at most: that is no path."""


class Detours:
    """Of the latest look-ups that found their name. All times are Unix seconds."""

    def __init__(self, *, interval_seconds: float) -> None:
        self._window = WINDOW_INTERVALS * interval_seconds
        self._latest: deque[tuple[float, float]] = deque(maxlen=MOST_LOOK_UPS)

    def reset(self) -> None:
        self._latest.clear()

    def note(self, measured: Measurement, now: float) -> None:
        """Take in a check that found its name; ignored where nobody can tell how."""
        if not measured.look_up_queries:
            return
        is_path = measured.look_up_queries >= LEAST_QUERIES
        self._latest.append((now, measured.detour if is_path else 0.0))

    def seconds(self, now: float) -> float:
        """Return the median; 0 where too few names were looked up lately."""
        lately = [detour for at, detour in self._latest if 0 <= now - at <= self._window]
        return median(lately) if len(lately) >= LEAST_LOOK_UPS else 0.0
