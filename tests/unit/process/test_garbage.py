"""garbage.py: rings go, in a quiet moment, and not before it is time."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from clock import ManualClock

from kubenurse_otel.process.garbage import FULL_SECONDS, THRESHOLDS, TRIM_SECONDS, Garbage

if TYPE_CHECKING:
    from collections.abc import Iterator


class Ring:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)
    gc.enable()


def test_what_stands_is_never_looked_at_again() -> None:
    """What start found is frozen; the thresholds are ours."""
    Garbage().start()
    assert gc.get_freeze_count() > 10_000
    assert gc.get_threshold() == THRESHOLDS


def test_a_ring_goes_in_a_quiet_moment_when_it_is_time() -> None:
    """Once in FULL_SECONDS; a quiet moment comes after almost every check."""
    clock = ManualClock(now=100.0)
    garbage = Garbage(clock=clock.time)
    garbage.start()
    gc.disable()  # What is collected is collected by us.
    for _ in range(2):
        ring = weakref.ref(Ring())
        clock.now += FULL_SECONDS - 1
        garbage.quiet()
        assert ring() is not None
        clock.now += 1
        garbage.quiet()
        assert ring() is None


READS_LISTS = """
import threading
from pathlib import Path
from kubenurse_otel.discovery.listing import ListError, read_list
from kubenurse_otel.process.garbage import Garbage

def resident_kib():
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0])

def lists():
    for _ in range(3):
        try:
            read_list((b" " * 65536 for _ in range(1000)), print)
        except ListError:
            pass

Garbage().start()
before = resident_kib()
thread = threading.Thread(target=lists)
thread.start()
thread.join()
print(resident_kib() - before)
"""


def test_a_large_block_goes_back_when_it_is_freed() -> None:
    """16 MiB of a list that is none, three times: no quiet moment is needed, nor another list."""
    done = subprocess.run(
        [sys.executable, "-c", READS_LISTS], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 4 * 1024


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_after_a_crowd_memory_goes_back() -> None:
    """What the C library keeps of many small blocks is the kernel's again some seconds later."""
    clock = ManualClock(now=100.0)
    garbage = Garbage(clock=clock.time)
    garbage.start()
    before = _resident_bytes()
    crowd = [bytearray(b"x" * 20_000) for _ in range(4_000)]
    last = bytearray(b"x" * 20_000)  # while it stands, the heap does not shrink by itself
    del crowd
    kept = _resident_bytes() - before
    assert kept > 40_000_000
    garbage.trim_soon()
    clock.now += TRIM_SECONDS - 1
    garbage.trim_soon()
    clock.now += TRIM_SECONDS - 1
    garbage.quiet()
    assert _resident_bytes() - before > kept / 2
    clock.now += 1
    garbage.quiet()
    assert _resident_bytes() - before < kept / 2
    assert len(last) == 20_000
