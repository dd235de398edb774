"""Read the process's own figures: CPU, memory, open files, start, and CPU that it did not get.

They come from /proc and the cgroup (v1 and v2). If a file is missing, there is no series. This is
no error, because some kernels and sandboxes hide these files.
"""

from __future__ import annotations

import os
import re
import resource
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from kubenurse_otel import files, semconv
from kubenurse_otel.semconv import Metric

Readings = Iterable[tuple[float, tuple[str, ...]]]
"""(value, label values in the metric's order)."""
GaugeSources = Mapping[Metric, Callable[[], Readings]]
"""For each gauge and observable counter: what reads it, at each collection."""

_PROC: Final = Path("/proc")
_CGROUP: Final = Path("/sys/fs/cgroup")
_V1_CPU_MOUNTS: Final = ("cpu,cpuacct", "cpu", "cpuacct,cpu")


def process_sources(*, proc: Path = _PROC, cgroup: Path = _CGROUP) -> GaugeSources:
    """Return the sources of all process_* metrics, of the cgroup's throttling, and of the node's
    CPU pressure.
    """
    started = _start_time(proc)
    throttling = _throttling_file(proc, cgroup)
    return {
        semconv.PROCESS_CPU: lambda: _one(time.process_time()),
        semconv.PROCESS_RSS: lambda: _one(_resident_bytes(proc)),
        semconv.PROCESS_OPEN_FDS: lambda: _one(_open_files(proc)),
        semconv.PROCESS_START_TIME: lambda: _one(started),
        semconv.CPU_THROTTLED: lambda: _one(_throttled_seconds(throttling)),
        semconv.NODE_CPU_PRESSURE: lambda: _one(_cpu_pressure_seconds(proc)),
    }


def _one(value: float | None) -> Readings:
    return () if value is None else ((value, ()),)


def _read(path: Path) -> str | None:
    try:
        return files.read(path).decode("ascii", "replace")
    except OSError:
        return None


def _number(words: Sequence[str], place: int) -> int | None:
    """Return the whole number at ``place``. None if there is anything else.

    Some sandboxes and kernels write other things there than proc(5) says.
    """
    word = words[place] if place < len(words) else ""
    return int(word) if re.fullmatch("[0-9]{1,20}", word) else None


def _resident_bytes(proc: Path) -> int | None:
    pages = _number((_read(proc / "self/statm") or "").split(), 1)
    return None if pages is None else pages * resource.getpagesize()


def _open_files(proc: Path) -> int | None:
    try:
        return len(os.listdir(proc / "self/fd")) - 1  # noqa: PTH208 - listdir makes no Path each
    except OSError:
        return None


def _start_time(proc: Path) -> float | None:
    """Return Unix seconds: boot time, plus field 22 of stat in clock ticks (proc(5))."""
    lines = (_read(proc / "stat") or "").splitlines()
    boot = [number for line in lines if (number := _after("btime", line)) is not None]
    # The name may hold blanks and parentheses.
    ticks = _number((_read(proc / "self/stat") or "").rpartition(")")[2].split(), 19)
    if ticks is None or not boot:
        return None
    return boot[0] + ticks / os.sysconf("SC_CLK_TCK")


def _after(name: str, line: str) -> int | None:
    words = line.split()
    return _number(words, 1) if words[:1] == [name] else None


def _throttling_file(proc: Path, cgroup: Path) -> Path | None:
    """Return the cpu.stat of our own cgroup, wherever the container's runtime shows it."""
    for line in (_read(proc / "self/cgroup") or "").splitlines():
        _hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        below = path.strip().lstrip("/")
        if controllers == "":
            mounts = [cgroup]
        elif "cpu" in controllers.split(","):
            mounts = [cgroup / name for name in _V1_CPU_MOUNTS]
        else:
            continue
        # Without a cgroup namespace, the path is the host's, but the mount may already be ours.
        for candidate in [mount / below for mount in mounts] + mounts:
            text = _read(candidate / "cpu.stat")
            if text is not None and "throttled_" in text:
                return candidate / "cpu.stat"
    return None


def _throttled_seconds(path: Path | None) -> float | None:
    """Return throttled_usec (cgroup v2, µs) or throttled_time (v1, ns) in seconds."""
    for line in ((_read(path) if path else None) or "").splitlines():
        for name, units in (("throttled_usec", 1e6), ("throttled_time", 1e9)):
            value = _after(name, line)
            if value is not None:
                return value / units
    return None


def _cpu_pressure_seconds(proc: Path) -> float | None:
    """Return the seconds in which something on the node waited for a core: ``some ... total=``, in
    µs (Linux, Documentation/accounting/psi.rst). /proc shows that of the node in any cgroup.
    """
    for line in (_read(proc / "pressure/cpu") or "").splitlines():
        found = re.fullmatch(r"some .*\btotal=([0-9]{1,20})", line)
        if found:
            return int(found[1]) / 1e6
    return None
