"""The image runs without docstrings and asserts (-OO)."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SCRIPT = """
import importlib, pkgutil
import kubenurse_otel

for one in pkgutil.walk_packages(kubenurse_otel.__path__, "kubenurse_otel."):
    if ".demo" not in one.name and not one.name.endswith("__main__"):
        importlib.import_module(one.name)
print(kubenurse_otel.__doc__)
"""


def test_every_module_is_imported_without_docstrings() -> None:
    """Those of grpc, kubernetes and protobuf among them."""
    done = subprocess.run(
        [sys.executable, "-OO", "-B", "-c", _SCRIPT],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr


def test_tracebacks_keep_their_lines_without_columns(tmp_path: Path) -> None:
    """The image's bytecode has none (PYTHONNODEBUGRANGES), compiled by several processes."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("\n\ndef fails():\n    return {}['a']['b']\n")
    (package / "other.py").write_text("")
    compiling = ["-m", "compileall", "-q", "-j", "2", "-o", "2", str(package)]
    subprocess.run(
        [sys.executable, *compiling],
        check=True,
        env={"PYTHONNODEBUGRANGES": "1"},
        timeout=60,
    )
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import package\n"
        "print({one[2:] for one in package.fails.__code__.co_positions()}); package.fails()\n"
    )

    done = subprocess.run(
        [sys.executable, "-IBOO", "-c", script],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stdout == "{(None, None)}\n"
    assert ", line 4, in fails\n" in done.stderr
