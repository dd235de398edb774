"""What this node's own network keeps back: queues, rules, and windows that the far end closed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from servers.namespace import run_in_namespace

MS = 1e-3


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found = run_in_namespace(
        Path(__file__).parent / "egress_in_namespace.py",
        directory=tmp_path_factory.mktemp("egress"),
        resolv_conf="",
        programs=("ip", "nft"),  # tc comes with ip
    )
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("case", "at_least", "queued"),
    [("queued", 10 * MS, True), ("dropped_once", 190 * MS, False)],
)
def test_what_this_node_keeps_is_egress(
    told: dict[str, Any], case: str, at_least: float, queued: bool
) -> None:
    """A full queue, a rule's drop: as long as the wire says, and no time of ours or of others."""
    check = told[case]

    assert (check["error_type"], check["source"]) == (None, "kernel")
    on_the_wire = check["left_at"][0] - check["given_at"]
    assert on_the_wire >= at_least
    assert check["egress"] == check["request_egress"] == pytest.approx(on_the_wire, abs=MS)
    assert check["egress_queue"] == pytest.approx(on_the_wire if queued else 0, abs=MS)
    assert (check["loss"], check["retransmits"]) == (0, 0)
    rest = check["network_round_trip"] + check["far_end"]
    assert check["request"] == pytest.approx(check["request_egress"] + rest)


def test_a_clienthello_in_a_queue_is_egress_in_tls(told: dict[str, Any]) -> None:
    """It is the network's time, in the step that waited for it."""
    check = told["queued_hello"]

    assert (check["error_type"], check["source"]) == (None, "kernel")
    assert 5 * MS <= check["egress_queue"] <= check["egress"] <= check["tls"]
    assert check["request_egress"] < check["egress"]


@pytest.mark.parametrize("case", ["open", "queued", "queued_hello", "dropped_once", "window_late"])
def test_every_moment_is_somewhere(told: dict[str, Any], case: str) -> None:
    """The steps, the answer's rest and own delay are the time that the caller waited."""
    check = told[case]
    if check is None:
        pytest.skip("no TUN device may be made here")

    steps = check["duration"] + check["receive"] + check["own_delay"]
    assert steps <= check["elapsed"]
    parts = ("request_egress", "request_loss", "network_round_trip", "far_end")
    assert check["request"] == pytest.approx(sum(check[name] for name in parts))


def test_own_delay_is_what_we_ourselves_took(told: dict[str, Any]) -> None:
    """Time between send(2)'s return and the wire is never ours."""
    check = told["dropped_once"]

    assert check["own_delay"] <= check["elapsed"] - 190 * MS


@pytest.mark.parametrize(("case", "queued"), [("stuck", True), ("dropped", False)])
def test_a_request_that_never_left_blames_this_node(
    told: dict[str, Any], case: str, queued: bool
) -> None:
    """It is no fault of the far end's process, and none of ours."""
    check = told[case]

    assert (check["error_type"], check["left_at"]) == ("response_timeout", [])
    assert "did not leave this node" in check["message"]
    assert "tc -s qdisc" in check["message"]
    assert check["egress"] >= 1
    assert check["egress_queue"] == (check["egress"] if queued else 0)


def test_a_window_that_opens_late_is_the_far_ends(told: dict[str, Any]) -> None:
    """A SYN proxy whose server takes half a second: neither own delay nor this node's egress."""
    check = told["window_late"]
    if check is None:
        pytest.skip("no TUN device may be made here")

    assert (check["error_type"], check["source"]) == (None, "kernel")
    closed = check["opened_at"] - check["given_at"]
    assert closed >= 0.4
    assert closed <= check["far_end"] <= check["request"]
    assert check["egress"] < 0.1
    assert check["own_delay"] <= check["elapsed"] - closed


def test_a_window_that_stays_closed_is_said(told: dict[str, Any]) -> None:
    """No byte of the request left: nobody "did not answer"."""
    check = told["window_closed"]
    if check is None:
        pytest.skip("no TUN device may be made here")

    assert (check["error_type"], check["asked_at"]) == ("response_timeout", None)
    assert "keeps its window closed" in check["message"]
    assert "no byte of what was to be sent has left" in check["message"]
    assert check["egress"] == 0
