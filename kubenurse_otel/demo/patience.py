"""Wait for something that starts, as long as it makes progress, however slow the machine is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Patience:
    """Ends after ``seconds`` without progress. ``clock`` gives monotonic seconds."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._state: object = None
        self._since = clock()

    def is_over(self, state: object) -> bool:
        """Whether ``state`` has been the same for too long."""
        now = self._clock()
        if state != self._state:
            self._state, self._since = state, now
        return now - self._since >= self.seconds


def cpu_ticks(pid: int) -> int:
    """Return a process's CPU time in clock ticks (proc(5), /proc/PID/stat). 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])
