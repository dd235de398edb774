"""What faults do to the wire of the e2e cluster, without a cluster."""

from __future__ import annotations

from pathlib import Path

from servers.namespace import run_in_namespace

SCRIPT = Path(__file__).with_name("faults_in_namespace.py")


def test_rules_are_there_during_the_fault_alone(tmp_path: Path) -> None:
    """nft takes each; healed, nothing is left that drops."""
    assert run_in_namespace(SCRIPT, directory=tmp_path, resolv_conf="") == {
        "node-cut-inwards": [1, 0],
        "mtu-black-hole": [1, 0],
        "mtu-outgoing": [1, 0],
        "mtu-between-two": [2, 0],
        "extra-tcp-silent": [1, 0],
    }
