"""What checks show now: one symptom per key, and for how many intervals it has lasted.

All times are Unix seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.symptoms import DNS, HARD, Symptom
from kubenurse_otel.diagnosis.view import MOST_RUN, Said
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

NEARLY: Final = 0.45
"""Of an interval: an interval that lacks no more is one. Trains sway (plan/ticks.py): n checks are
n - 1 intervals apart, 0.4 more or less, and a check is a little early or late in its train.
"""
KEPT_INTERVALS: Final = 4.0
"""A word that is not renewed for so long is not spoken any more."""


@record(frozen=True, slots=True, kw_only=True)
class Run:
    """``length`` is in intervals, 1 to MOST_RUN; ``trace_id`` of the latest failed check."""

    key: str
    symptom: Symptom
    length: int = 1
    since: float
    at: float
    """When it was renewed."""
    said_until: float
    trace_id: str = ""

    @property
    def said(self) -> Said:
        return Said(self.symptom, self.length)


class Runs:
    """The current run of each key. Bounded by what it is told to ``retain``."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}

    def retain(self, keys: Collection[str]) -> None:
        self._runs = {key: run for key, run in self._runs.items() if key in keys}

    def clear(self) -> None:
        self._runs.clear()

    def note(
        self, key: str, symptom: Symptom, now: float, *, interval_seconds: float, trace_id: str = ""
    ) -> None:
        """Take in a word. A run is as long as time went by in it: a check that waits for an
        answer longer than an interval takes up ticks.
        """
        before = self._runs.get(key)
        goes_on = before is not None and _class(before.symptom) == _class(symptom)
        since = min(before.since, now) if before is not None and goes_on else now
        self._runs[key] = Run(
            key=key,
            symptom=symptom,
            length=min(MOST_RUN, intervals(now - since, interval_seconds)),
            since=since,
            at=now,
            said_until=now + KEPT_INTERVALS * interval_seconds,
            trace_id=trace_id,
        )

    def current(self, now: float) -> Iterator[Run]:
        """Those that were renewed lately."""
        return (run for run in self._runs.values() if now <= run.said_until)


def intervals(seconds: float, interval_seconds: float) -> int:
    """Return how many a run of ``seconds`` is: what was seen once is one."""
    return 1 + int(seconds / interval_seconds + NEARLY)


def _class(symptom: Symptom) -> int:
    """Good, no answer, a name not found, a bad answer: a run goes on within one of these."""
    if symptom is Symptom.OK:
        return 0
    if symptom in HARD:
        return 1
    return 2 if symptom in DNS else 3
