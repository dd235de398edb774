"""Whole agents, each in a network of its own: in which direction a silent node is cut."""

from __future__ import annotations

from pathlib import Path

from servers.namespace import run_in_namespace

SENTENCE = "node node-3 does not answer"
IN = f"{SENTENCE}: what is sent to it does not arrive, and what it sends does"


def test_a_node_that_nothing_reaches_is_named_with_its_direction(tmp_path: Path) -> None:
    """Its SYNs arrive and our answers do not; of a node without a link there is no direction."""
    found = run_in_namespace(
        Path(__file__).parent / "cut_inwards_in_namespace.py",
        directory=tmp_path,
        resolv_conf="",
        timeout_seconds=600,
    )
    assert found["well"] == [[], [], []]
    assert found["cut inwards"] == [[["node-3"], [["node", "node-3", "in", IN]]]] * 2
    assert found["of itself"] == []
    assert found["healed"] == [[], [], []]
    assert found["link down"] == [[[], [["node", "node-3", "", SENTENCE]]]] * 2
