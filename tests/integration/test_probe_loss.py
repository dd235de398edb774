"""One packet of a check is lost on its way: what is told of it, by peer and by packet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from servers.namespace import run_in_namespace

KERNELS = ("sack", "no_sack", "no_dsack")
"""The far end's: with everything, without SACK, with SACK but without D-SACK."""
SYN_SECONDS, DATA_SECONDS = (0.99, 1.5), (0.19, 0.5)
"""How long a handshake and a send wait for what was lost, on Linux."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, dict[str, Any]]]:
    """What checks told: {far kernel: {far end: {lost packet: ...}}}."""
    found = run_in_namespace(
        Path(__file__).parent / "loss_in_namespace.py",
        directory=tmp_path_factory.mktemp("namespace"),
        resolv_conf="",
        timeout_seconds=180,
    )
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("packet", "direction", "seconds"),
    [
        *(((peer, "nothing"), None, (0, 0)) for peer in ("agent", "agent_tls", "foreign", "late")),
        (("agent", "syn"), "out", SYN_SECONDS),
        (("agent", "syn_ack"), "in", SYN_SECONDS),
        (("agent", "acknowledgement"), None, (0, 0)),
        (("agent", "answer"), "in", DATA_SECONDS),
        (("agent_tls", "syn"), "out", SYN_SECONDS),
        (("agent_tls", "syn_ack"), "in", SYN_SECONDS),
        (("foreign", "syn"), "unknown", SYN_SECONDS),
        (("foreign", "syn_ack"), "in", SYN_SECONDS),
        (("foreign", "acknowledgement"), None, (0, 0)),
        (("foreign", "answer"), None, (0, 0)),
        (("kept", "first"), None, (0, 0)),
    ],
)
def test_whatever_the_far_kernel_is(
    told: dict[str, Any],
    kernel: str,
    packet: tuple[str, str],
    direction: str | None,
    seconds: tuple[float, float],
) -> None:
    """What is told without a word of SACK."""
    far_end, lost = packet
    if (kernel, far_end) == ("no_dsack", "agent_tls"):
        pytest.skip("TCP repeats a tail after milliseconds, and this peer cannot say: needless")
    one = told[kernel][far_end][lost]
    least, most = seconds
    assert (one["failure"], one["source"]) == (None, "kernel")
    assert one["direction"] == direction
    assert least <= one["loss"] <= most
    ways = {"out": one["loss_out"], "in": one["loss_in"]}
    assert {way: loss for way, loss in ways.items() if loss} == (
        {direction: pytest.approx(one["loss"])} if direction in ways else {}
    )


@pytest.mark.parametrize("kernel", ["sack", "no_dsack"])
@pytest.mark.parametrize(
    ("packet", "least", "slow"),
    [
        (("agent", "request"), 0.19, 0),
        (("agent_tls", "hello"), 0.19, 0),
        # Where our Finished is not acknowledged yet, TCP repeats a lost tail soon (RFC 8985).
        (("agent_tls", "request"), 0.001, 0),
        (("foreign", "request"), 0.19, 0),
        (("slow", "request"), 0.19, 0.5),
        (("kept", "request"), 0.19, 0),
    ],
)
def test_what_we_sent_is_told_by_ourselves(
    told: dict[str, Any], kernel: str, packet: tuple[str, str], least: float, slow: float
) -> None:
    """To a peer with SACK, whatever is behind it."""
    far_end, lost = packet
    one = told[kernel][far_end][lost]
    assert one["failure"] is None
    assert (one["direction"], one["retransmits"]) == ("out", 1)
    assert least <= one["loss"] == one["loss_out"] <= 0.5
    assert slow <= one["far_end"] < slow + 1  # what is left of the check, on a busy machine, too


def test_without_sack_a_repeat_proves_nothing(told: dict[str, Any]) -> None:
    """Lost or not: no loss and no far end is told, and the round trip is."""
    for far_end, lost in (
        ("foreign", "request"),
        ("slow", "request"),
        ("slow", "acknowledgement"),
        ("agent_tls", "hello"),
        ("agent_tls", "request"),
    ):
        one = told["no_sack"][far_end][lost]
        assert (one["failure"], one["retransmits"], one["dsacks"]) == (None, 1, 0)
        assert (one["loss"], one["request_loss"], one["far_end"]) == (None, None, None)
        assert (one["loss_out"], one["loss_in"], one["direction"]) == (None, None, None)
        assert one["round_trip_source"] == "min_rtt"
        assert one["network_round_trip"] < 0.1


def test_without_sack_an_agent_says_that_something_was_lost(told: dict[str, Any]) -> None:
    """It does not account for the time; which of the two it was remains unknown."""
    one = told["no_sack"]["agent"]["request"]
    assert (one["retransmits"], one["direction"]) == (1, "unknown")
    assert 0.19 <= one["loss"] == one["request_loss"] <= 0.5
    assert one["far_end"] < 0.1


def test_a_needless_repeat_is_no_loss(told: dict[str, Any]) -> None:
    """The acknowledgement was lost, and the answer took 0.5 s: the peer says so (D-SACK)."""
    one = told["sack"]["slow"]["acknowledgement"]
    assert (one["retransmits"], one["dsacks"], one["loss"]) == (1, 1, 0)
    assert one["far_end"] >= 0.499


def test_each_exchange_of_a_kept_connection_has_its_own_repeats(told: dict[str, Any]) -> None:
    """What the peer had twice in the one before does not excuse what is lost in this one."""
    answer, request = told["sack"]["kept"]["answer"], told["sack"]["kept"]["request"]
    assert (answer["direction"], answer["dsacks"]) == ("in", 1)
    assert 0.19 <= answer["loss"] == answer["loss_in"] <= 0.5
    assert (request["direction"], request["dsacks"]) == ("out", 0)
    assert 0.19 <= request["loss"] == request["loss_out"] <= 0.5


@pytest.mark.parametrize("kernel", KERNELS)
def test_after_a_lost_syn_a_late_acknowledgement_is_no_round_trip(
    told: dict[str, Any], kernel: str
) -> None:
    """It came after 40 ms or with an answer of 60; TCP has no other sample."""
    late = told[kernel]["late"]
    assert late["nothing"]["network_round_trip"] < 0.008
    for lost in ("syn", "syn_ack"):
        assert late[lost]["network_round_trip"] is None
        assert late[lost]["far_end"] is None
        assert late[lost]["loss"] == late[lost]["connect"]
