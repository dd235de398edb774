"""When Python's garbage collector looks, in full, between checks, and what goes back to the kernel.

Checks leave no cycles, good or failed; a dead collector's exporters leave some. What grows without
any is the interpreter's free lists (up to 2,000 tuples of each size), which only a full collection
empties. It takes 3 to 10 ms here, so it is not for the midst of a check. Then the C library's free
memory is given back, too, which by itself it keeps: after a crowd of clients within seconds. A
large block (a list of pods, an answer) goes back when it is freed, in whatever thread that is.
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
"""For an agent that has no quiet moment, or much garbage: python/cpython Modules/gcmodule.c."""
TRIM_SECONDS: Final = 5.0
"""After the last sign of a crowd."""

LARGE_BYTES: Final = 1024 * 1024
"""A block of as much is the kernel's again when it is freed."""
_M_MMAP_THRESHOLD: Final = -3
"""glibc's malloc/malloc.h. By itself glibc raises it, up to 32 MiB, with each larger block that is
freed, and keeps all smaller ones from then on: 20 MiB after a list of 16 MiB."""


class Garbage:
    """``start`` once, when all that stays is built; ``quiet`` in each quiet moment."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due = 0.0
        self._trim_at = math.inf

    def start(self) -> None:
        """Freeze what is alive: collections skip it. Large blocks go back once they are free."""
        with contextlib.suppress(AttributeError):  # a C library that is not glibc
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        gc.collect()
        gc.freeze()
        _trim()
        # By itself a full collection waits for a quarter more than the last one saw: now nothing.
        gc.collect()
        gc.set_threshold(*THRESHOLDS)
        self._due = self._clock() + FULL_SECONDS

    def quiet(self) -> None:
        """Collect in full, and trim, where it is time for either."""
        now = self._clock()
        if now >= min(self._due, self._trim_at):
            gc.collect()
            _trim()
            self._due, self._trim_at = now + FULL_SECONDS, math.inf

    def trim_soon(self) -> None:
        """Something was held that is not held for long: give its memory back when it is over."""
        self._trim_at = self._clock() + TRIM_SECONDS


def _trim() -> None:
    with contextlib.suppress(AttributeError):  # a C library that is not glibc
        ctypes.CDLL(None).malloc_trim(0)
