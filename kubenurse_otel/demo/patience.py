"""How long the demo waits for what starts: as long as it goes on, however slow the machine is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Patience:
    """``clock`` gives monotonic seconds."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._state: object = None
        self._since = clock()

    def is_over(self, state: object) -> bool:
        """Whether nothing moved for too long: ``state`` was the same all the while."""
        now = self._clock()
        if state != self._state:
            self._state, self._since = state, now
        return now - self._since >= self.seconds


def cpu_ticks(pid: int) -> int:
    """CPU time that a process has used (proc(5), /proc/PID/stat); 0 where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])
