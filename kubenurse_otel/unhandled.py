"""Exceptions that nobody foresaw: logged, counted, and the end of one thing only.

One for the process, as logging is: whoever catches at an edge of the agent (one check, one answer,
one round of discovery, one export) says it here. Owns the count and how often it is said.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from kubenurse_otel.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)

SAY_AGAIN_SECONDS: Final = 3600.0
MAX_REMEMBERED: Final = 1000


class Part(StrEnum):
    """What of the agent it ended; a metric's label."""

    CHECK = "check"
    ANSWER = "answer"
    DISCOVERY = "discovery"
    EXPORT = "export"
    DIAGNOSIS = "diagnosis"
    EVENT_LOOP = "event_loop"
    """A callback or task that belongs to none of the others."""


class Unhandled:
    """Counts by part; a traceback is logged once for each part, subject and hour. Thread-safe."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(Part, 0)
        self._said: OrderedDict[tuple[Part, str], float] = OrderedDict()

    def caught(self, part: Part, error: BaseException, *, about: str) -> None:
        """Take note of ``error``; ``about`` is the target, path or signal that it was about."""
        with self._lock:
            self._counts[part] += 1
            if not self._is_due((part, about)):
                return
        _log.error(
            "a bug ended one %s (%s) and nothing else: please report it with these lines"
            " (said once an hour; kubenurse_unhandled_exceptions_total counts)",
            part.value.replace("_", " "),
            printable(about, 200),
            exc_info=error,
        )

    def counts(self) -> dict[Part, int]:
        """How many there were in each part since the start."""
        with self._lock:
            return dict(self._counts)

    def _is_due(self, subject: tuple[Part, str]) -> bool:
        now = self._clock()
        said = self._said.get(subject)
        if said is not None and now - said < SAY_AGAIN_SECONDS:
            return False
        self._said[subject] = now
        self._said.move_to_end(subject)
        if len(self._said) > MAX_REMEMBERED:
            self._said.popitem(last=False)
        return True


_OF_THIS_PROCESS: Final = Unhandled()
caught: Final = _OF_THIS_PROCESS.caught
counts: Final = _OF_THIS_PROCESS.counts
