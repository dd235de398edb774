"""The most memory that this process held meanwhile, by the kernel's word."""

from __future__ import annotations

import gc
import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MEBIBYTE = 2**20


@dataclass
class Peak:
    """``grown_bytes`` is set when the block is over."""

    grown_bytes: int = 0


def _bytes(field: str) -> int:
    status = Path("/proc/self/status").read_text()
    found = re.search(rf"{field}:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


@contextmanager
def peak() -> Iterator[Peak]:
    """How far above what it held before the process came, at most (proc(5), clear_refs 5)."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before, found = _bytes("VmRSS"), Peak()
    yield found
    found.grown_bytes = _bytes("VmHWM") - before
