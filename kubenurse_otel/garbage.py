"""When Python's garbage collector looks: in full, between checks, and hardly ever by itself.

Checks leave no cycles, good or failed; a dead collector's exporters leave some. What grows without
any is the interpreter's free lists (up to 2,000 tuples of each size), which only a full collection
empties. It takes 3 to 10 ms here, so it is not for the midst of a check.
"""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

FULL_SECONDS: Final = 600.0
THRESHOLDS: Final = (10_000, 5, 5)
"""For an agent that has no quiet moment, or much garbage: python/cpython Modules/gcmodule.c."""


class Garbage:
    """``start`` once, when all that stays is built; ``quiet`` in each quiet moment."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due = 0.0

    def start(self) -> None:
        """Never look at what stands now again."""
        gc.collect()
        gc.freeze()
        # By itself a full collection waits for a quarter more than the last one saw: now nothing.
        gc.collect()
        gc.set_threshold(*THRESHOLDS)
        self._due = self._clock() + FULL_SECONDS

    def quiet(self) -> None:
        """Collect in full where it is time to."""
        if self._clock() >= self._due:
            gc.collect()
            self._due = self._clock() + FULL_SECONDS
