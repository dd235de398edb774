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


@pytest.mark.parametrize("protocol", OtlpProtocol)
def test_a_collectors_name_is_looked_up_as_by_the_c_library_and_again_in_seconds(
    protocol: OtlpProtocol, tmp_path: Path
) -> None:
    """A broken domain of the search path hides no name; DNS that was late costs no half minute."""
    told = run_in_namespace(
        Path(__file__).parent / "collector_name_in_namespace.py",
        directory=tmp_path,
        resolv_conf="nameserver 127.0.0.53\nsearch cluster.test corp.test\noptions ndots:5\n",
        given=protocol.value,
        timeout_seconds=120,
    )
    assert (told["first"], told["taken"]) == (False, True)
    assert told["seconds"] < 20
