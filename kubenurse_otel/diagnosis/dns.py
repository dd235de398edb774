"""What the look-ups of our checks say of DNS, all names together.

A server that answers for a name now and now not is one silent replica of several: each look-up
asks from a port of its own, and the port decides which replica is asked.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.runs import Runs
from kubenurse_otel.diagnosis.symptoms import Symptom
from kubenurse_otel.diagnosis.view import MOST_RUN, Said

if TYPE_CHECKING:
    from collections.abc import Collection

MOST_LOOK_UPS: Final = 64
WINDOW_INTERVALS: Final = 6.0
LEAST_LOOK_UPS: Final = 8
LEAST_BAD: Final = 2
LEAST_SHARE, MOST_SHARE = 0.15, 0.9
LATELY_INTERVALS: Final = 2.0
OTHERS_FOUND_INTERVALS: Final = 2
"""So much longer must a name be missing while others are found: it may be a matter of replicas."""

_KEY: Final = "dns"


@dataclass(frozen=True, slots=True)
class _LookUp:
    key: str
    symptom: Symptom
    at: float


class LookUps:
    """The latest ones, of checks by their key. All times are Unix seconds."""

    def __init__(self, *, interval_seconds: float) -> None:
        self._interval = interval_seconds
        self._latest: deque[_LookUp] = deque(maxlen=MOST_LOOK_UPS)
        self._runs = Runs()

    def retain(self, keys: Collection[str]) -> None:
        kept = (one for one in self._latest if one.key in keys)
        self._latest = deque(kept, maxlen=MOST_LOOK_UPS)

    def reset(self) -> None:
        """Forget what was looked up: it was a consequence."""
        self._latest.clear()
        self._runs.clear()

    def note(self, key: str, symptom: Symptom, now: float) -> None:
        """Take in a look-up; ``symptom`` is OK or one of DNS."""
        self._latest.append(_LookUp(key, symptom, now))
        self._runs.note(_KEY, self._symptom(now), now, interval_seconds=self._interval)

    def said(self, now: float) -> Said | None:
        """The word on DNS; None: no name was looked up lately."""
        run = next(self._runs.current(now), None)
        if run is None:
            return None
        length = run.length
        if run.symptom is not Symptom.OK and run.symptom is not Symptom.DNS_PART:
            found = any(one.symptom is Symptom.OK for one in self._last_of_each(now))
            length -= OTHERS_FOUND_INTERVALS if found else 0
        return Said(run.symptom, min(MOST_RUN, max(1, length)))

    def _symptom(self, now: float) -> Symptom:
        window = [one for one in self._latest if self._is_within(WINDOW_INTERVALS, one, now)]
        bad = [one for one in window if one.symptom is not Symptom.OK]
        share = len(bad) / len(window)
        if (
            len(window) >= LEAST_LOOK_UPS
            and len(bad) >= LEAST_BAD
            and LEAST_SHARE <= share <= MOST_SHARE
            and self._is_within(LATELY_INTERVALS, bad[-1], now)
            and any(_changes(window, one.key) >= 2 for one in bad)
        ):
            return Symptom.DNS_PART
        last = [one.symptom for one in self._last_of_each(now)]
        return next(
            (symptom for symptom in reversed(last) if symptom is not Symptom.OK), Symptom.OK
        )

    def _last_of_each(self, now: float) -> list[_LookUp]:
        last = {one.key: one for one in self._latest}
        return [one for one in last.values() if self._is_within(LATELY_INTERVALS, one, now)]

    def _is_within(self, intervals: float, one: _LookUp, now: float) -> bool:
        return 0 <= now - one.at <= intervals * self._interval


def _changes(window: list[_LookUp], key: str) -> int:
    """How often a name was found after it was not, or the other way: once is a beginning."""
    found = [one.symptom is Symptom.OK for one in window if one.key == key]
    return sum(before != after for before, after in pairwise(found))
