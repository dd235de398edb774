"""An agent as its image runs it: a tree's package beside exactly the packages of its lock.

A developer's packages cost what no pod pays: where rich and click are, httpx imports its command
line.
"""

from __future__ import annotations

import hashlib
import importlib.util
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
    dockerfile = (tree / "Dockerfile").read_text()
    optimized = "OO" if "-IBOOu" in dockerfile else ""
    if optimized:
        _compile_library()
    # Images compile without columns; told to, the interpreter drops them as it reads.
    plain = ("-X", "no_debug_ranges") if "PYTHONNODEBUGRANGES=1" in dockerfile else ()
    # -S: the interpreter of a pod has nothing installed beside its standard library.
    return (sys.executable, f"-ISB{optimized}u", *plain, str(launcher), "run")


@lru_cache
def _directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="kbench-")


def _packages(lock: bytes) -> Path:
    """A directory with what ``lock`` names; made once for each lock, and kept."""
    directory = ROOT / ".cache" / "bench" / f"compiled-{hashlib.sha256(lock).hexdigest()[:16]}"
    if directory.exists():
        return directory
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent) as name:
        made = Path(name) / "made"
        file = Path(name) / "requirements.lock"
        file.write_bytes(lock)
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"),
                *("--disable-pip-version-check", "--only-binary=:all:", "--require-hashes"),
                *("--root-user-action=ignore", "--target", str(made), "--requirement", str(file)),
            ],
            check=True,
            timeout=600,
        )
        _compile(made)
        made.rename(directory)
    return directory


def _compile(directory: Path) -> None:
    """As images do, with docstrings and without: whichever a tree's image has."""
    _compileall(
        *("-o", "0", "-o", "2", "--invalidation-mode", "unchecked-hash"),
        *("-x", "kubernetes/(client/(models|api)|aio)/", str(directory)),
    )


def _compile_library() -> None:
    """The standard library without docstrings, beside the files that `python -OO` would write."""
    if not Path(importlib.util.cache_from_source(shutil.__file__, optimization=2)).exists():
        library = str(Path(shutil.__file__).parent)
        _compileall("-o", "2", "-x", "/(test|tests|idlelib|lib2to3|[a-z]*-packages)/", library)


def _compileall(*arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "compileall", "-q", "-j", "0", *arguments], check=True, timeout=600
    )
