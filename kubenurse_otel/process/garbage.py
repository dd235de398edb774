"""Run Python's full garbage collection between checks, and give free memory back to the kernel.

Checks leave no reference cycles, whether they fail or not; exporters of a dead collector leave a
few. Without any cycles the interpreter's free lists still grow (up to 2,000 tuples of each size),
and only a full collection empties them. It takes 3 to 10 ms here, so it does not run during a
check. After it the C library gives back its free memory, which it would otherwise keep. After a
crowd of clients this happens within seconds. A large block (a list of pods, an answer) is given
back as soon as it is freed, in any thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import math
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

FULL_SECONDS: Final = 600.0
THRESHOLDS: Final = (10_000, 5, 5)
"""gc.set_threshold, for an agent without quiet moments or with much garbage (CPython,
Modules/gcmodule.c).
"""
TRIM_SECONDS: Final = 5.0
"""Seconds from the last sign of a crowd until memory is given back."""

LARGE_BYTES: Final = 1024 * 1024
"""A block of this size or more goes back to the kernel when it is freed."""
_M_MMAP_THRESHOLD: Final = -3
"""M_MMAP_THRESHOLD (glibc, malloc/malloc.h). By default glibc raises it, up to 32 MiB, whenever a
larger block is freed, and from then on keeps all smaller blocks: 20 MiB after a list of 16 MiB.
"""


class Garbage:
    """Call ``start`` once, when everything that stays is built; ``quiet`` in each quiet moment."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due = 0.0
        self._trim_at = math.inf

    def start(self) -> None:
        """Freeze what is alive, so that collections skip it. From now on large blocks go back to
        the kernel when they are freed.
        """
        with contextlib.suppress(AttributeError):  # a C library that is not glibc
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        gc.collect()
        gc.freeze()
        _trim()
        # Python waits with a full collection until a quarter as many objects are new as the last
        # one saw. This one sees next to nothing, so the next one will not wait for long.
        gc.collect()
        gc.set_threshold(*THRESHOLDS)
        self._due = self._clock() + FULL_SECONDS

    def quiet(self) -> None:
        """Collect in full and trim, if it is time for one of them."""
        now = self._clock()
        if now >= min(self._due, self._trim_at):
            gc.collect()
            _trim()
            self._due, self._trim_at = now + FULL_SECONDS, math.inf

    def trim_soon(self) -> None:
        """Note that much memory is held for a short time, so that it is given back soon after."""
        self._trim_at = self._clock() + TRIM_SECONDS


def _trim() -> None:
    with contextlib.suppress(AttributeError):  # a C library that is not glibc
        ctypes.CDLL(None).malloc_trim(0)
