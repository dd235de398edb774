"""Hosts and networks that a test may not make of this machine: a namespace of our own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from servers.namespace import run_in_namespace

if TYPE_CHECKING:
    from pytest import TempPathFactory  # noqa: PT013 - the name alone


@pytest.fixture(scope="module")
def found(tmp_path_factory: TempPathFactory) -> Any:
    script = Path(__file__).with_name("server_in_namespace.py")
    return run_in_namespace(
        script, directory=tmp_path_factory.mktemp("namespace"), resolv_conf="options timeout:1\n"
    )


def test_a_lost_synack_is_told_to_the_caller(found: dict[str, Any]) -> None:
    """Where our SYN-ACK had to be sent again, Server-Timing says how often."""
    assert found["synack"] >= 1


def test_a_host_without_ipv6_is_served_on_ipv4(found: dict[str, Any]) -> None:
    """Without a listen address and without IPv6 the server starts and answers."""
    assert found["without_ipv6"] == 200
