"""An agent whose packets are lost checks its neighbours beside the schedule."""

from __future__ import annotations

from pathlib import Path

from servers.namespace import run_in_namespace


def test_lost_packets_make_haste(tmp_path: Path) -> None:
    """Its neighbours are asked more often; what it counts and shows is its schedule's alone."""
    found = run_in_namespace(
        Path(__file__).parent / "haste_in_namespace.py",
        directory=tmp_path,
        resolv_conf="",
        timeout_seconds=200,
    )
    assert found["taken"] >= 60
    assert found["counted"] < found["taken"] / 2
