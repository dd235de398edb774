"""``python -m bench.large.observed FILE`` is the agent, which writes into FILE how many asyncio
tasks it has whenever it gets SIGUSR2: nothing else tells that from outside.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType


def main() -> int:
    out = Path(sys.argv[1])

    def tell(_: int, __: FrameType | None) -> None:
        out.write_text(str(len(asyncio.all_tasks())))

    signal.signal(signal.SIGUSR2, tell)
    from kubenurse_otel.cli import main as agent  # noqa: PLC0415 - imported as by `kubenurse-otel`

    return agent(["run"])


if __name__ == "__main__":
    sys.exit(main())
