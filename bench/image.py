"""An agent as its image runs it: a tree's package beside exactly the packages of its lock.

A developer's packages cost what no pod pays: where rich and click are, httpx imports its command
line.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

from bench.network import ROOT

_LAUNCHER = """\
import sys

sys.path[:0] = {paths!r}

from kubenurse_otel.cli import main

sys.exit(main())
"""


@lru_cache
def command(tree: Path = ROOT) -> tuple[str, ...]:
    """What starts a tree's agent (``run`` included), as the Dockerfile's entry point does.

    Made once a run of the bench, in a directory of its own that goes with it.
    """
    lock = (tree / "requirements.lock").read_bytes()
    directory = Path(_directory().name) / f"agent-{len(list(Path(_directory().name).iterdir()))}"
    shutil.copytree(
        tree / "kubenurse_otel",
        directory / "kubenurse_otel",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    _compile(directory)
    launcher = directory / "kubenurse-otel"
    launcher.write_text(_LAUNCHER.format(paths=[str(directory), str(_packages(lock))]))
    # -S: the interpreter of a pod has nothing installed beside its standard library.
    return (sys.executable, "-ISBu", str(launcher), "run")


@lru_cache
def _directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="kbench-")


@lru_cache
def _packages(lock: bytes) -> Path:
    """A directory with what ``lock`` names."""
    directory = Path(tempfile.mkdtemp(prefix="packages-", dir=_directory().name))
    file = directory / "requirements.lock"
    file.write_bytes(lock)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--no-compile", "--only-binary=:all:", "--require-hashes"),
            *("--root-user-action=ignore", "--target", str(directory), "--requirement", str(file)),
        ],
        check=True,
        timeout=600,
    )
    _compile(directory)
    return directory


def _compile(directory: Path) -> None:
    subprocess.run(
        [
            *(sys.executable, "-m", "compileall", "-q", "-j", "0"),
            *(
                "--invalidation-mode",
                "unchecked-hash",
                "-x",
                "kubernetes/(client/(models|api)|aio)/",
            ),
            str(directory),
        ],
        check=True,
        timeout=600,
    )
