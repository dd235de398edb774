"""Which Kubernetes `make test-apiserver` and `make chart` build and run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_OF_MAKE = {"KUBERNETES", "KUBENURSE_TEST_KUBERNETES", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}


def _built(kubernetes: str) -> str:
    """Return the name that the API server has in the cache."""
    script = "from apiserver.real import binary; print(binary().name)"
    environment = {**os.environ, "PYTHONPATH": "tests", "KUBENURSE_TEST_KUBERNETES": kubernetes}
    command = [sys.executable, "-c", script]
    return subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_each_has_a_place_of_its_own_in_the_cache() -> None:
    """A program's name in the cache has its version, so that no other one is run instead of it."""
    names = [_built(which) for which in ("oldest", "", "newest")]
    minors = [int(name.removeprefix("kube-apiserver-v1.").split(".")[0]) for name in names]
    assert sorted(set(minors)) == minors


@pytest.mark.parametrize("target", ["test-apiserver", "chart"])
def test_make_takes_it(target: str, tmp_path: Path) -> None:
    """make's KUBERNETES reaches the tests, and is empty where nobody sets it."""
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text('#!/bin/sh\necho "kubernetes=$KUBENURSE_TEST_KUBERNETES" "$@"\n')
    python.chmod(0o755)
    for made in (".demo", ".dev"):
        (tmp_path / made).touch()
    environment = {key: value for key, value in os.environ.items() if key not in _OF_MAKE}
    for asked, expected in (([], ""), (["KUBERNETES=newest"], "newest")):
        command = ["make", "--silent", target, f"VENV={tmp_path}", *asked]
        said = subprocess.run(
            command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
        ).stdout
        assert said.splitlines()[-1].startswith(f"kubernetes={expected} -m pytest ")
