"""Run the agent with a sampler inside: every four milliseconds of CPU time, where is it?

``python -m bench.sampled OUT.json run`` is ``kubenurse_otel run`` that leaves its samples in OUT
when it ends. Time in C counts for the Python line that called it. Only the main thread is seen.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import FrameType

PERIOD_SECONDS: Final = 0.004
"""ITIMER_PROF counts in the kernel's ticks."""
WARM_UP_SECONDS: Final = 5.0
"""Imports and the first checks are no running cost."""
_OUR_OWN_WAKE_UP: Final = frozenset({"_read_from_self", "_process_self_data"})
"""Each of our signals wakes the event loop (set_wakeup_fd), which the agent alone would not do."""


class Sampler:
    """Counts stacks, (file, function) from the outside in."""

    def __init__(self) -> None:
        self.stacks: Counter[tuple[tuple[str, str], ...]] = Counter()
        self._since = time.monotonic() + WARM_UP_SECONDS

    def start(self) -> None:
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, PERIOD_SECONDS, PERIOD_SECONDS)

    def _sample(self, _: int, frame: FrameType | None) -> None:
        if time.monotonic() < self._since:
            return
        stack: list[tuple[str, str]] = []
        if frame is not None and frame.f_code.co_name in _OUR_OWN_WAKE_UP:
            return
        while frame is not None:
            stack.append((frame.f_code.co_filename, frame.f_code.co_qualname))
            frame = frame.f_back
        self.stacks[tuple(reversed(stack))] += 1

    def write(self, path: Path) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        path.write_text(json.dumps([[stack, count] for stack, count in self.stacks.items()]))


def main() -> int:
    out = Path(sys.argv[1])
    sampler = Sampler()
    sampler.start()
    from kubenurse_otel.cli import main as agent  # noqa: PLC0415 - so that it is sampled, too

    try:
        return agent(sys.argv[2:])
    finally:
        sampler.write(out)


if __name__ == "__main__":
    sys.exit(main())
