"""The wheel and its source, as `make package` put them into dist/, used without a checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from kubenurse_otel import __version__

ROOT = Path(__file__).parents[2]
DIST = ROOT / "dist"
WHEEL = DIST / f"kubenurse_otel-{__version__}-py3-none-any.whl"
SOURCE = DIST / f"kubenurse_otel-{__version__}.tar.gz"


def run(*command: str | Path, cwd: Path, status: int = 0) -> str:
    """Run it far from the checkout and from this environment's variables; return what it says."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={key: value for key, value in os.environ.items() if not key.startswith("PYTHON")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == status, done.stdout
    return done.stdout


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """An empty virtual environment; returns its folder of programs."""
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    return tmp_path / "venv" / "bin"


def test_the_wheel_is_the_whole_package_and_typed() -> None:
    """Each file of kubenurse_otel, py.typed too, and nothing else."""
    with zipfile.ZipFile(WHEEL) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    files = (ROOT / "kubenurse_otel").rglob("*")
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in files
        if path.is_file() and path.suffix != ".pyc"
    }
    assert expected == names
    assert "kubenurse_otel/py.typed" in names


def test_the_metadata_say_where_it_is_from() -> None:
    """What an index shows: a readme, the licence, links, the Pythons."""
    with zipfile.ZipFile(WHEEL) as wheel:
        folder = f"kubenurse_otel-{__version__}.dist-info"
        metadata = message_from_bytes(wheel.read(f"{folder}/METADATA"))
        assert wheel.read(f"{folder}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert {"Homepage", "Documentation", "Changelog", "Issues"} == {
        link.partition(",")[0] for link in metadata.get_all("Project-URL", [])
    }
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert metadata["Keywords"]


def test_the_source_is_the_tree() -> None:
    """What git has, and nothing that lay about when it was packed."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).split()
    with tarfile.open(SOURCE) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    assert set() == names - {*listed, "PKG-INFO"}
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"} <= names


def test_the_demo_runs_from_an_installed_wheel(environment: Path, tmp_path: Path) -> None:
    """pip install 'kubenurse-otel[demo]' in an empty environment is all that the demo needs."""
    wheel = f"kubenurse-otel[demo] @ {WHEEL.as_uri()}"
    run(environment / "python", "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)
    said = run(environment / "kubenurse-otel", "demo", "--seconds", "24", cwd=tmp_path)
    assert "What the agents concluded:" in said
    assert "refused node: named after" in said


def test_without_the_extra_the_demo_names_it(environment: Path, tmp_path: Path) -> None:
    """One line that can be copied, and not a traceback."""
    run(environment / "python", "-m", "pip", "install", "--quiet", WHEEL, cwd=tmp_path)
    assert run(environment / "kubenurse-otel", "--version", cwd=tmp_path).split()[-1] == __version__
    assert "--watch" in run(environment / "kubectl-kubenurse", "--help", cwd=tmp_path)
    said = run(environment / "kubenurse-otel", "demo", cwd=tmp_path, status=1)
    assert said.count("\n") == 1
    assert "pip install 'kubenurse-otel[demo]'" in said
