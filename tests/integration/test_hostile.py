"""`make hostile` itself: a real agent, its neighbour, an attack and what was seen of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hostile import network

TESTS = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    bool(network.missing()), reason=f"needs {', '.join(network.missing())}"
)


def test_an_attack_is_played_and_seen(tmp_path: Path) -> None:
    """Garbage from 200 connections: the agent lives, and every figure was read."""
    file = tmp_path / "outcomes.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "hostile", "garbage"),
            *("--seconds", "2", "--settle-seconds", "2", "--onto", str(file)),
        ],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert file.exists(), done.stderr
    outcome = json.loads(file.read_text())["now"]["garbage"]
    assert "" == outcome["ended"]
    assert None not in outcome.values()
    assert outcome["peak_rss_mib"] >= outcome["rss_before_mib"] > 10
    assert outcome["files_before"] > 5
    assert outcome["scrapes"] >= 1
    assert "garbage" in done.stdout
