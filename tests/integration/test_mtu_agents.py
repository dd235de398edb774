"""Whole agents, and a path MTU black hole to one of them: who is named, everywhere it is told."""

from __future__ import annotations

from pathlib import Path

from servers.namespace import run_in_namespace


def test_an_mtu_black_hole_is_named(tmp_path: Path) -> None:
    """Small checks stay good; the full-size check, the verdict and the sentences say what it is."""
    found = run_in_namespace(
        Path(__file__).parent / "mtu_in_namespace.py",
        directory=tmp_path,
        resolv_conf="",
        timeout_seconds=900,
    )
    assert found["dropped"]
    verdict = found["verdict"]
    assert (verdict["kind"], verdict["culprit"], verdict["direction"], verdict["cause"]) == (
        "node_mtu",
        "node-3",
        "in",
        "full_size",
    )
    assert verdict["sentence"] == (
        "node node-3 lets small packets pass and no full-size ones (look at the MTU), "
        "of what is sent to it"
    )
    evidence = "\n".join(one["words"] for one in verdict["evidence"])
    assert "segments of 1448 bytes to node-3 vanish" in evidence
    target = found["target"]
    assert target["last_failure"]["error_type"] == "full_size_lost"
    assert (target["send_mss"], target["pmtu"], target["padding"]) == (1448, 1500, 1548)
    assert "127.0.1.3:18080 answers small packets" in target["last_failure"]["message"]
    assert any("full_size_node-3 is bad" in line for line in found["log"])
    assert any("verdict: node node-3 lets small packets pass" in line for line in found["log"])
    assert "Node node-3 lets small packets pass" in found["diagnose"]
    assert any("node node-3 lets small" in line for line in found["cleared"])
    assert {series.split('"')[1].partition("_")[0] for series in found["paths"]} == {"path", "full"}
