"""What a result was measured on: machine, kernel, versions, commit, and how idle it was."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import Final

from bench.network import ROOT

PACKAGES: Final = ("httpx", "opentelemetry-sdk", "opentelemetry-instrumentation-httpx")


def describe() -> str:
    """Markdown, a line each."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    processor = model[1] if model else platform.machine()
    mib = int(memory[1]) // 1024 if memory else 0
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return "\n".join(
        (
            f"- machine: {os.cpu_count()} x {processor}, {mib} MiB",
            f"- kernel {platform.release()}, {python}",
            f"- {versions}",
            f"- commit {_commit()}, {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC",
            f"- a loop of 10 million additions: {_loop_seconds():.2f} s of CPU time",
            f"- before it began, others used {busy_share() * 100:.0f} % of the machine",
        )
    )


def busy_share(seconds: float = 1.0) -> float:
    """The share of all cores' time that was not idle, from /proc/stat."""
    before = _cpu_times()
    time.sleep(seconds)
    spent = [now - then for now, then in zip(_cpu_times(), before, strict=True)]
    idle = spent[3] + spent[4]
    return 1 - idle / max(1, sum(spent))


def _loop_seconds() -> float:
    """How fast Python is here and now: a core that shares its caches or its other half is slow."""
    began = time.process_time()
    total = 0
    for i in range(10_000_000):
        total += i
    return time.process_time() - began


def _cpu_times() -> list[int]:
    return [int(n) for n in Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]]


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=10"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    return done.stdout.strip() or "unknown"
