"""Discovery and the network between it and the API server."""

from __future__ import annotations

from pathlib import Path

from servers.namespace import run_in_namespace


def test_a_watch_that_was_lost_on_the_way_is_noticed(tmp_path: Path) -> None:
    """Its connection is dead and says nothing; what changed meanwhile is known within a minute."""
    told = run_in_namespace(
        Path(__file__).parent / "watch_in_namespace.py",
        directory=tmp_path,
        resolv_conf="",
        timeout_seconds=120,
    )
    assert told["seconds"] < 60
