"""A way that loses what is large: what a full-size check tells of it, each way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from servers.namespace import run_in_namespace

MSS, PADDING = 1448, 1548
"""Of an Ethernet, with TCP's time stamps."""


def _told(scene: str, directory: Path) -> dict[str, dict[str, Any]]:
    found = run_in_namespace(
        Path(__file__).parent / "full_size_in_namespace.py",
        directory=directory,
        resolv_conf="",
        timeout_seconds=180,
        given=json.dumps(scene),
    )
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def cable(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What checks told whose large packets a rule dropped."""
    return _told("cable", tmp_path_factory.mktemp("cable"))


@pytest.mark.parametrize("scheme", ["sound", "sound, TLS"])
def test_a_sound_way(cable: dict[str, Any], scheme: str) -> None:
    """More than a full segment goes there, and as much comes back."""
    one = cable[scheme]
    assert (one["error"], one["mss"], one["pmtu"]) == (None, MSS, 1500)
    assert (one["padding"], one["answered"]) == (PADDING, PADDING)


@pytest.mark.parametrize("who", ["older agent", "a stranger"])
def test_who_pads_nothing(cable: dict[str, Any], who: str) -> None:
    """An older agent knows no padding, ours gives a stranger none: then it is checked outward."""
    one = cable[who]
    assert (one["error"], one["padding"], one["answered"]) == (None, PADDING, 0)


@pytest.mark.parametrize(
    ("check", "vanishes"),
    [
        *((f"out{peer}", "to it") for peer in ("", ", TLS", ", older agent")),
        *((f"in{peer}", "from it") for peer in ("", ", TLS")),
    ],
)
def test_a_black_hole(cable: dict[str, Any], check: str, vanishes: str) -> None:
    """It is the size, and the sentence says which way, how large, and what this kernel believes."""
    one = cable[check]
    assert one["error"] == one["spans_error"] == "full_size_lost"
    assert f"segments of {MSS} bytes {vanishes} vanish" in one["message"]
    assert "of 536 they pass; path MTU 1500" in one["message"]


def test_small_checks_see_nothing_of_it(cable: dict[str, Any]) -> None:
    """Nor does a full-size check of an agent that pads no answer, of what would come back."""
    for check in ("out, plain", "in, plain", "in, older agent"):
        assert cable[check]["error"] is None, check


def test_whatever_hangs_at_any_size_is_no_black_hole(cable: dict[str, Any]) -> None:
    """Where small segments do not pass either, it is told as any check that hangs."""
    assert cable["all vanish"]["error"] == "response_timeout"


def test_a_router_that_says_so_heals_it(tmp_path: Path) -> None:
    """1,450 bytes beside 1,500: ICMP comes, segments become smaller, the check is good."""
    found = _told("router", tmp_path)
    assert {check: one["error"] for check, one in found.items()} == dict.fromkeys(found)
    assert (found["out"]["pmtu"], found["out"]["mss"]) == (1450, 1398)
    assert found["out"]["retransmits"] > 0 == found["out, again"]["retransmits"]


def test_a_router_that_says_nothing(tmp_path: Path) -> None:
    """The same without ICMP stays a black hole."""
    found = _told("silent router", tmp_path)
    assert {one["error"] for one in found.values()} == {"full_size_lost"}
    assert "to it vanish" in found["out"]["message"]
    assert "from it vanish" in found["in"]["message"]
