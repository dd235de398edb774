""".ci/run: what runs beside the rest fails the gate as well, and nothing outlives it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from waiting import wait_until

GATE = Path(__file__).parents[2] / ".ci" / "run"
_MAKE = """#!/bin/sh
echo "make $1"
[ "$FAILING" != lint ] || until [ -e begun ]; do sleep 0.01; done
[ "$1" != "$FAILING" ]
"""
_MINIMAL_ROOT = """#!/bin/bash
echo "minimal-root $1"
[ "$1" != --user ] ||
  echo 'SKIPPED [1] x: not installed: ip (Debian: iproute2), nft (Debian: nftables)'
mktemp -d >/dev/null
[ "$FAILING" != minimal-root ] || exit 3
[ "$FAILING" != lint ] || (trap '' TERM; echo $BASHPID >pid; mv pid begun; exec sleep 600)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The gate, with stand-ins for what it starts."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "tmp").mkdir()
    shutil.copy(GATE, tmp_path / ".ci" / "run")
    programs = {
        ".ci/minimal-root": _MINIMAL_ROOT,
        "bin/make": _MAKE,
        "bin/apt-get": "#!/bin/sh\n",
        "bin/debootstrap": "#!/bin/sh\n",
        "bin/id": "#!/bin/sh\necho 0\n",
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def run(tree: Path, failing: str) -> tuple[int, list[str]]:
    """Run the gate in which this part fails; its exit code and its output."""
    path = f"{tree / 'bin'}:{os.environ['PATH']}"
    environ = {"PATH": path, "TMPDIR": str(tree / "tmp"), "FAILING": failing}
    done = subprocess.run(
        [tree / ".ci" / "run"], env=environ, capture_output=True, text=True, timeout=50, check=False
    )
    return done.returncode, done.stdout.splitlines()


def test_all_that_holds_is_said(tree: Path) -> None:
    """What runs beside the rest is shown whole, before what runs alone."""
    code, said = run(tree, "nothing")
    assert code == 0
    told = [line.split()[1] for line in said if line.startswith("m")]
    assert told[0] == "lint"
    assert told[-5:] == ["package", "sh", "--user", "hostile", "e2e"]


def test_what_fails_beside_the_rest_fails_the_gate(tree: Path) -> None:
    """With its own exit code, its output last, and without what comes after."""
    code, said = run(tree, "minimal-root")
    assert (code, said[-2:]) == (3, ["make package", "minimal-root sh"])
    assert list((tree / "tmp").iterdir()) == []


def test_where_the_rest_fails_nothing_is_left(tree: Path) -> None:
    """Neither a process that heeds no SIGTERM nor a file."""
    code, said = run(tree, "lint")
    assert (code, said[-1]) == (1, "make lint")
    begun = Path("/proc", (tree / "begun").read_text().strip())
    wait_until(lambda: not begun.exists())
    assert list((tree / "tmp").iterdir()) == []
