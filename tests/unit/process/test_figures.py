"""The process's own figures."""

from __future__ import annotations

import math
import os
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel import semconv
from kubenurse_otel.process.figures import process_sources

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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("some avg10=0.12 avg60=0.10 avg300=0.02 total=1500000\nfull avg10=0.00 total=7\n", [1.5]),
        ("full avg10=0.00 total=7\n", []),
        ("some avg10=0.12 total=-1\n", []),
        ("", []),
    ],
)
def test_the_nodes_pressure_is_psis_some(tmp_path: Path, text: str, expected: list[float]) -> None:
    """Seconds; a kernel without PSI, or one that writes something else, has no series."""
    _write(tmp_path, {"pressure/cpu": text})
    source = process_sources(proc=tmp_path, cgroup=tmp_path)[semconv.NODE_CPU_PRESSURE]
    assert [value for value, _labels in source()] == expected


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


PROC_FILES = (
    "stat",
    "pressure/cpu",
    "self/stat",
    "self/statm",
    "self/cgroup",
    "cg/cpu.stat",
    "cg/cpu/cpu.stat",
)
GARBAGE = st.binary(max_size=200) | st.lists(
    st.sampled_from(
        ["btime", "throttled_usec", "throttled_time", "(a)", "0::/", "3:cpu:/", "0::/../\0", "1"]
    )
    | st.text(max_size=5)
    | st.integers().map(str),
    max_size=30,
).map(lambda words: "\n".join(" ".join(words[i : i + 3]) for i in range(len(words))).encode())


@given(st.dictionaries(st.sampled_from(PROC_FILES), GARBAGE))
def test_no_content_of_proc_and_of_the_cgroup_is_an_error(
    tmp_path_factory: pytest.TempPathFactory, contents: dict[str, bytes]
) -> None:
    """A figure, or none: nothing of it keeps the agent from starting, or a scrape from its rest."""
    root = tmp_path_factory.mktemp("proc")
    for name, content in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for source in process_sources(proc=root, cgroup=root / "cg").values():
        for value, labels in source():
            assert labels == ()
            assert math.isfinite(value)
            assert value >= -1


@pytest.mark.parametrize("kind", ["folder", "fifo", "device"])
def test_what_stands_there_may_be_no_file(tmp_path: Path, kind: str) -> None:
    """A sandbox that mounts something over it; nothing is read without end."""
    for name in PROC_FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "folder":
            path.mkdir()
        elif kind == "fifo":
            os.mkfifo(path)
        else:
            path.symlink_to("/dev/zero")
    sources = process_sources(proc=tmp_path, cgroup=tmp_path / "cg")
    assert list(sources[semconv.PROCESS_RSS]()) == []
    assert list(sources[semconv.PROCESS_START_TIME]()) == []
    assert list(sources[semconv.CPU_THROTTLED]()) == []
