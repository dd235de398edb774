"""When the train of an interval leaves: pure functions of the node's name and the tick's number.

The node's hash gives the train a place in the interval, so the trains of a cluster's agents are
spread evenly. From there the time of the train sways. A train at a fixed place would always or
never meet something that comes and goes in step with the interval.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import Final

from kubenurse_otel.record import record

SWAY: Final = 0.4
"""Of an interval. From one train to the next it is 0.85 to 1.25 intervals."""
GOLDEN_RATIO: Final = (math.sqrt(5) - 1) / 2
"""Its multiples, without their whole part, fill a range evenly however many they are."""


def phase_of(node: str) -> float:
    """The share of an interval, below 1, at which its trains leave at the earliest."""
    return int.from_bytes(blake2b(node.encode(), digest_size=4).digest()) / 2**32


def tick_at(number: int, phase: float, interval: float) -> float:
    """When tick ``number`` is, in seconds of the clock. Errors do not add up from tick to tick."""
    return (number + phase + SWAY * (number * GOLDEN_RATIO % 1)) * interval


def tick_after(now: float, phase: float, interval: float) -> int:
    """The number of the first tick later than ``now``."""
    number = math.floor(now / interval - phase)
    while tick_at(number, phase, interval) <= now:
        number += 1
    return number


@record(frozen=True, slots=True, kw_only=True)
class Ticks:
    """The ticks of one target, ``interval`` seconds apart but for their sway.

    With ``every`` over 1 it leaves with each ``every``-th train of an interval that is so much
    shorter, ``place`` (0 to every - 1) trains after the first.
    """

    phase: float
    interval: float
    every: int = 1
    place: int = 0

    def at(self, number: int) -> float:
        """When tick ``number`` is, in seconds of the clock."""
        return tick_at(number * self.every + self.place, self.phase, self.interval / self.every)

    def after(self, now: float) -> int:
        """The number of the first tick later than ``now``."""
        train = tick_after(now, self.phase, self.interval / self.every)
        return -((self.place - train) // self.every)


def ticks_of(node: str, *, key: str, interval: float, train_seconds: float = 0.0) -> Ticks:
    """Return the ticks of ``node``'s target ``key``.

    With ``train_seconds`` it leaves with trains of that interval, which of them by the hash of its
    key: a check that comes alone costs more. Unless ``interval`` is no multiple of it.
    """
    every = round(interval / train_seconds) if train_seconds else 1
    if every < 2 or not math.isclose(every * train_seconds, interval):
        every = 1
    place = int(phase_of(f"{node}/{key}") * every)
    return Ticks(phase=phase_of(node), interval=interval, every=every, place=place)
