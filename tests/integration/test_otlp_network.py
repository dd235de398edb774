"""The network between the agent and a collector."""

from __future__ import annotations

from pathlib import Path

import pytest
from servers.namespace import run_in_namespace

from kubenurse_otel.config import OtlpProtocol


@pytest.mark.parametrize("protocol", OtlpProtocol)
def test_a_connection_that_was_lost_on_the_way_is_replaced(
    protocol: OtlpProtocol, tmp_path: Path
) -> None:
    """It is dead and says nothing; exports are taken again by a new one within seconds."""
    told = run_in_namespace(
        Path(__file__).parent / "collector_in_namespace.py",
        directory=tmp_path,
        resolv_conf="",
        given=protocol.value,
        timeout_seconds=120,
    )
    assert told["seconds"] < 20
