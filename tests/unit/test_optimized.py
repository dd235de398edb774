"""The image runs without docstrings and asserts (-OO)."""

from __future__ import annotations

import subprocess
import sys

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
