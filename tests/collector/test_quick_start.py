"""README.md's quick start does what it says: its commands, run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import go_programs
from servers.namespace import run_in_namespace

from collector import binaries

README = (go_programs.ROOT / "README.md").read_text()
SCRIPT = Path(__file__).parent / "quick_start_in_namespace.py"


def blocks(heading: str) -> list[str]:
    """The indented blocks of a section."""
    section = README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [
        re.sub("^    ", "", block, flags=re.MULTILINE)
        for block in re.findall(r"(?:^    .+\n)+", section, re.MULTILINE)
    ]


def test_the_quick_start_ends_with_a_trace_in_jaeger(tmp_path: Path) -> None:
    """The demo's agents send to it, and it gives what README shows: both ends of a check."""
    jaeger, commands, printed = blocks("A trace in Jaeger")
    tools = (binaries.TOOLS / "jaeger").relative_to(go_programs.ROOT)
    assert f"go -C {tools} tool all-in-one\n" == jaeger
    found = run_in_namespace(
        SCRIPT,
        directory=tmp_path,
        resolv_conf="",
        programs=("curl", "ip"),
        timeout_seconds=300,
        given=commands,
    )
    assert found["printed"].endswith(printed), found
