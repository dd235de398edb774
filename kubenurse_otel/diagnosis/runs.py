"""What checks show now: a symptom a key, and for how many intervals it has been so.

All times are Unix seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.symptoms import DNS, HARD, Symptom
from kubenurse_otel.diagnosis.view import MOST_RUN, Said

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

WHOLE_INTERVAL: Final = 0.75
"""Of an interval: what comes sooner after the last one counted is no interval of its own."""
KEPT_INTERVALS: Final = 4.0
"""A word that is not renewed for so long is not spoken any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """``length`` is in intervals, 1 to MOST_RUN; ``trace_id`` of the latest failed check."""

    key: str
    symptom: Symptom
    length: int = 1
    since: float
    counted_at: float
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
        """Take in a word; several in one interval count as one."""
        before = self._runs.get(key)
        length, since, counted_at = 1, now, now
        if before is not None and _class(before.symptom) == _class(symptom):
            length, since, counted_at = before.length, min(before.since, now), before.counted_at
            if not 0 <= now - counted_at < WHOLE_INTERVAL * interval_seconds:
                length, counted_at = min(MOST_RUN, length + 1), now
        self._runs[key] = Run(
            key=key,
            symptom=symptom,
            length=length,
            since=since,
            counted_at=counted_at,
            said_until=now + KEPT_INTERVALS * interval_seconds,
            trace_id=trace_id,
        )

    def current(self, now: float) -> Iterator[Run]:
        """Those that were renewed lately."""
        return (run for run in self._runs.values() if now <= run.said_until)


def _class(symptom: Symptom) -> int:
    """Good, no answer, a name not found, a bad answer: a run goes on within one of these."""
    if symptom is Symptom.OK:
        return 0
    if symptom in HARD:
        return 1
    return 2 if symptom in DNS else 3
