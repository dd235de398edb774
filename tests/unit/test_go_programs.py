"""go_programs.py: what Go builds is kept by name and version, and only that is run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DASHBOARDS = "from prometheus_tools import binary; print(binary({!r}))"
_GO = """#!/bin/sh
for last; do :; done
last=${last%@*}; last=${last%/v[0-9]*}
printf '#!/bin/sh\\necho new\\n' >"$GOBIN/${last##*/}"
chmod +x "$GOBIN/${last##*/}"
"""


@pytest.mark.parametrize(
    ("name", "script"),
    [
        *(
            (name, DASHBOARDS.format(name))
            for name in ("prometheus", "promtool", "alertmanager", "victoria-metrics", "vmalert")
        ),
        ("prometheus", "from collector import binaries; print(binaries.prometheus())"),
        ("jaeger-all-in-one", "from collector import binaries; print(binaries.jaeger())"),
        ("coredns", "from e2e.cluster import programs; print(programs.coredns())"),
        ("helm", "from tests.chart import helm; print(helm.binary())"),
        ("kustomize", "from tests.chart import kustomize; print(kustomize.binary())"),
    ],
)
def test_a_program_of_another_version_is_not_run(name: str, script: str, tmp_path: Path) -> None:
    """What is in the cache without this version is left alone, and the program built anew."""
    programs, tools = tmp_path / "cache" / "bin", tmp_path / "tools"
    for folder in (programs, tools):
        folder.mkdir(parents=True)
    for old in (name, f"{name}-0.1.0"):
        _write(programs / old, "#!/bin/sh\necho old\n")
    _write(tools / "go", _GO)
    environment = {
        **os.environ,
        "KUBENURSE_TEST_CACHE": str(tmp_path / "cache"),
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PYTHONPATH": "tests/dashboards:tests:.",
    }
    for _ in range(2):  # the second time it is there
        built = _said([sys.executable, "-c", script], environment)
        assert _said([built], environment) == "new"
        _write(tools / "go", "#!/bin/sh\nexit 1\n")


def _said(command: list[str], environment: dict[str, str]) -> str:
    return subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


def _write(program: Path, text: str) -> None:
    program.write_text(text)
    program.chmod(0o755)
