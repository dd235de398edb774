"""Programs that Go builds, each once, into the cache: $KUBENURSE_TEST_CACHE or .cache of the tree.

Owns the cache's folder of programs. A name there has the version in it, so that after a change of
version nobody runs the old program.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def cached(name: str, version: str) -> Path:
    """Where a program of that version is, or would be."""
    cache = Path(os.environ.get("KUBENURSE_TEST_CACHE", ROOT / ".cache")).absolute()
    return cache / "bin" / f"{name}-{version}"


def installed(target: Path, *arguments: str, cwd: Path | None = None, **environ: str) -> Path:
    """Return ``target``, built by `go install ARGUMENTS` in ``cwd`` if it is not there.

    The arguments' package makes one program, whatever its name. Raises CalledProcessError.
    """
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            subprocess.run(
                ["nice", "-n", "10", "go", "install", *arguments],
                env=os.environ | {"GOBIN": folder} | environ,
                cwd=cwd or folder,
                check=True,
            )
            (fresh,) = Path(folder).iterdir()
            fresh.replace(target)
    return target
