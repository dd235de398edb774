"""The process's own figures."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from kubenurse_otel import semconv
from kubenurse_otel.telemetry.process import process_sources

if TYPE_CHECKING:
    from pathlib import Path


def _write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_this_process_has_plausible_figures() -> None:
    """CPU, memory, descriptors and start time of the running test are read from /proc."""
    sources = process_sources()
    read = {
        metric.name: [value for value, _labels in source()] for metric, source in sources.items()
    }
    assert 0 < read["process_cpu_seconds_total"][0] < 3600
    assert 5e6 < read["process_resident_memory_bytes"][0] < 4e9
    assert 3 <= read["process_open_fds"][0] < 10_000
    assert time.time() - 86_400 < read["process_start_time_seconds"][0] <= time.time() + 1


def test_a_name_with_blanks_and_parentheses_moves_no_field(tmp_path: Path) -> None:
    """The start time is right for a process called `a) b (c`."""
    fields = " ".join(str(number) for number in range(3, 53))
    _write(tmp_path, {"self/stat": f"1 (a) b (c) {fields}", "stat": "cpu 1\nbtime 1000\n"})
    source = process_sources(proc=tmp_path, cgroup=tmp_path)[semconv.PROCESS_START_TIME]
    assert list(source()) == [(1000.22, ())]  # field 22 in clock ticks of 10 ms


@pytest.mark.parametrize(
    ("membership", "file", "text", "expected"),
    [
        ("0::/pods/a\n", "pods/a/cpu.stat", "usage_usec 5\nthrottled_usec 1500000\n", 1.5),
        ("0::/\n", "cpu.stat", "throttled_usec 20\n", 2e-5),
        ("0::/host/path\n", "cpu.stat", "throttled_usec 20\n", 2e-5),
        (
            "4:memory:/x\n3:cpu,cpuacct:/x\n",
            "cpu,cpuacct/x/cpu.stat",
            "throttled_time 2000000000",
            2.0,
        ),
        ("3:cpuacct,cpu:/x\n", "cpu/cpu.stat", "nr_throttled 3\nthrottled_time 1000000\n", 0.001),
    ],
)
def test_throttling_is_found_in_cgroup_v1_and_v2(
    tmp_path: Path, membership: str, file: str, text: str, expected: float
) -> None:
    """cpu.stat is read in its own unit wherever the runtime shows our cgroup."""
    _write(tmp_path, {"proc/self/cgroup": membership, f"cgroup/{file}": text})
    sources = process_sources(proc=tmp_path / "proc", cgroup=tmp_path / "cgroup")
    assert [(expected, ())] == list(sources[semconv.CPU_THROTTLED]())


def test_what_cannot_be_read_has_no_series(tmp_path: Path) -> None:
    """Without /proc and cgroup files the readings are empty and nothing is raised."""
    _write(tmp_path, {"self/cgroup": "0::/x\n", "x/cpu.stat": "usage_usec 3\n"})
    sources = process_sources(proc=tmp_path, cgroup=tmp_path)
    empty = {metric.name for metric, source in sources.items() if not list(source())}
    assert {metric.name for metric in sources} - {"process_cpu_seconds_total"} == empty


def test_a_cpu_stat_that_lost_its_line_reads_as_nothing(tmp_path: Path) -> None:
    """A cgroup that stops reporting throttling makes the series go away."""
    _write(tmp_path, {"self/cgroup": "0::/\n", "cpu.stat": "throttled_usec 20\n"})
    source = process_sources(proc=tmp_path, cgroup=tmp_path)[semconv.CPU_THROTTLED]
    assert list(source()) == [(2e-5, ())]
    _write(tmp_path, {"cpu.stat": "usage_usec 3\n"})
    assert list(source()) == []
