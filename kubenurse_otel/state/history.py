"""What the last 30 minutes were like, target by target: outcomes, and whose time it was.

Owns steps of 10 s, in memory that does not grow: 3.6 KiB per target (measured), for at most 256
targets, 0.9 MiB in all. Draws no conclusions except about what is slower than usual.
"""

from __future__ import annotations

import math
import time
from array import array
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.slow import median
from kubenurse_otel.model import Outcome
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from kubenurse_otel.model import CheckResult, Split

STEP_SECONDS: Final = 10.0
STEPS: Final = 180
MAX_TARGETS: Final = 256
WHOSE: Final = ("loss", "network", "far_end", "own_delay")
"""Whose time it was: parts of a check that no other part holds."""

NOW_STEPS: Final = 3
"""Half a minute is now; all before it is usual."""
LEAST_STEPS: Final = 12
"""Two minutes of checks tell what is usual."""
FACTOR: Final = 3.0
LEAST_SECONDS: Final = 0.005
"""Slower than usual is three times as long and 5 ms more, as in the diagnosis (slow.py)."""
_NONE: Final = math.nan


class Step(IntEnum):
    """The worst outcome of a step's checks."""

    NONE = 0
    """Nothing was checked."""
    GOOD = 1
    FAILED = 2


@record(frozen=True, slots=True)
class Slower:
    """One part of one target's checks takes longer than usual; seconds, medians of steps."""

    key: str
    whose: str
    usual_seconds: float
    now_seconds: float


class _Course:
    """Rings of steps: in each its worst outcome, and the longest time of each part (or none)."""

    __slots__ = ("latest", "outcomes", "parts")

    def __init__(self, step: int) -> None:
        self.latest = step
        self.outcomes = bytearray(STEPS)
        self.parts = tuple(array("f", (_NONE,)) * STEPS for _ in WHOSE)

    def move_to(self, step: int) -> None:
        """Empty what lies between; whatever is older than STEPS is overwritten."""
        for passed in range(max(self.latest, step - STEPS) + 1, step + 1):
            self.outcomes[passed % STEPS] = Step.NONE
            for part in self.parts:
                part[passed % STEPS] = _NONE
        self.latest = max(self.latest, step)

    def note(self, outcome: Step, seconds: tuple[float | None, ...]) -> None:
        at = self.latest % STEPS
        self.outcomes[at] = max(self.outcomes[at], outcome)
        for part, one in zip(self.parts, seconds, strict=True):
            if one is not None and not part[at] >= one:  # not a number is not greater either
                part[at] = one


class History:
    """The steps of each target, by ``Target.key``. ``clock`` gives monotonic seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._courses: dict[str, _Course] = {}

    def retain(self, keys: Collection[str]) -> None:
        """Forget all others."""
        self._courses = {key: one for key, one in self._courses.items() if key in keys}

    def record(self, result: CheckResult) -> None:
        step, key = self._step(), result.target.key
        course = self._courses.get(key)
        if course is None:
            if len(self._courses) >= MAX_TARGETS:
                return
            course = self._courses[key] = _Course(step)
        if step != course.latest:
            course.move_to(step)
        is_good = result.outcome is Outcome.OK
        measured = result.measurement if is_good else None
        course.note(
            Step.GOOD if is_good else Step.FAILED,
            (None,) * len(WHOSE) if measured is None else _parts(measured.split),
        )

    def strip(self, key: str) -> tuple[list[Step], Mapping[str, list[float | None]]] | None:
        """Outcomes, and seconds of each part, oldest first; the last step is now. None: unknown."""
        course = self._courses.get(key)
        if course is None:
            return None
        course.move_to(self._step())
        cut = (course.latest + 1) % STEPS
        outcomes = [Step(one) for one in (*course.outcomes[cut:], *course.outcomes[:cut])]
        parts = {
            name: [None if math.isnan(one) else one for one in (*part[cut:], *part[:cut])]
            for name, part in zip(WHOSE, course.parts, strict=True)
        }
        return outcomes, parts

    def slower(self) -> Iterator[Slower]:
        """What now takes longer than usual, the target's parts one by one."""
        step = self._step()
        for key, course in self._courses.items():
            course.move_to(step)
            recent = [(step - back) % STEPS for back in range(NOW_STEPS)]
            for name, part in zip(WHOSE, course.parts, strict=True):
                now = [part[at] for at in recent if not math.isnan(part[at])]
                # Cheap first: most targets are as quick as ever.
                if not now or median(now) <= LEAST_SECONDS:
                    continue
                before = [one for at, one in enumerate(part) if at not in recent and one == one]  # noqa: PLR0124 - NaN
                if len(before) < LEAST_STEPS:
                    continue
                usual, is_now = median(before), median(now)
                if is_now > max(FACTOR * usual, usual + LEAST_SECONDS):
                    yield Slower(key, name, usual, is_now)

    def _step(self) -> int:
        return int(self._clock() / STEP_SECONDS)


def _parts(split: Split) -> tuple[float | None, ...]:
    return split.loss, split.network_round_trip, split.far_end, split.own_delay
