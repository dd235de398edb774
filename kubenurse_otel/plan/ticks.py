"""When the train of an interval leaves: pure functions of the node's name and the tick's number.

The node's hash gives the train a place in the interval, so the trains of a cluster's agents are
spread evenly. From there the time of the train sways. A train at a fixed place would always or
never meet something that comes and goes in step with the interval.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import Final

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
