"""Routes that lead nowhere, firewalls and lost packets, in a namespace of our own."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def network(namespace_checks: dict[str, Any]) -> dict[str, Any]:
    found = namespace_checks["network"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("case", "error_type"),
    [
        ("no_route", "network_unreachable"),
        ("no_route_ipv6", "network_unreachable"),
        ("blackhole", "network_unreachable"),
        ("prohibit", "network_unreachable"),
        ("unreachable", "host_unreachable"),
        ("rejected_host", "host_unreachable"),
        ("rejected_admin", "host_unreachable"),
        ("rejected_admin_ipv6", "host_unreachable"),
        ("rejected_net", "host_unreachable"),
        ("rejected_protocol", "host_unreachable"),
        ("rejected_reset", "connection_refused"),
        ("rejected_port", "connection_refused"),
        ("dropped", "connect_timeout"),
    ],
)
def test_no_way_there(network: dict[str, Any], case: str, error_type: str) -> None:
    """Each way of having no way has its word, at connect_done."""
    told = network[case]

    assert told["error_type"] == error_type
    assert (told["phase"], told["event"]) == ("connect", "connect_done")
    assert told["events"] == ["connect_start"]


@pytest.mark.parametrize(
    ("case", "error_type", "phase"),
    [
        ("tcp_dropped", "connect_timeout", "connect"),
        ("tcp_reset", "connection_refused", "connect"),
        ("tcp_port", "connection_refused", "connect"),
        ("tcp_host", "host_unreachable", "connect"),
        ("dns_dropped", "response_timeout", "request"),
        ("dns_rejected", "connection_refused", "connect"),
        ("dns_rejected_ipv6", "connection_refused", "connect"),
        ("dns_admin", "host_unreachable", "connect"),
        ("dns_no_route", "network_unreachable", "connect"),
    ],
)
def test_no_way_there_for_tcp_and_dns(
    network: dict[str, Any], case: str, error_type: str, phase: str
) -> None:
    """A connection that asks nothing and a query of DNS meet the same walls, in the same words."""
    told = network[case]

    assert (told["error_type"], told["phase"]) == (error_type, phase)


def test_what_got_lost_is_loss_for_tcp_and_dns(network: dict[str, Any]) -> None:
    """A SYN, and a query: sent again after a second, which is in the figure and told apart."""
    syn, query = network["tcp_lost_syn"], network["dns_lost"]

    assert syn["error_type"] is None
    assert syn["loss"] >= 0.9
    assert syn["connect"] >= syn["loss"]
    assert query["error_type"] is None
    assert query["loss"] >= 0.9
    assert query["request"] >= query["loss"]


def test_without_a_free_local_port_nobody_else_is_blamed(network: dict[str, Any]) -> None:
    """It is told apart from a missing address, for which the kernel has the same word."""
    told = network["no_port"]

    assert (told["error_type"], told["phase"]) == ("no_local_port", "connect")
    assert "ip_local_port_range" in told["message"]
    assert "EADDRNOTAVAIL" in told["message"]
    assert network["port_again"]["error_type"] is None
    assert network["no_ipv6_address"]["error_type"] == "network_unreachable"
    assert "EADDRNOTAVAIL" in network["no_ipv6_address"]["message"]


@pytest.mark.parametrize("case", ["itself_tcp", "itself_tcp_ipv6", "itself_http"])
def test_a_connection_to_itself_is_none(network: dict[str, Any], case: str) -> None:
    """TCP meets itself where the kernel lends us the very port that we ask for: nobody listens."""
    told = network[case]

    assert (told["error_type"], told["phase"]) == ("connection_refused", "connect")


def test_a_link_local_address_is_reached_in_its_zone(network: dict[str, Any]) -> None:
    """As a look-up gives it; without the zone it leads nowhere."""
    assert network["zoned"]["error_type"] is None
    assert network["zoned"]["peer"] == "fe80::77"
    assert network["unzoned"]["error_type"] == "network_unreachable"


def test_a_lost_syn_is_loss_in_connect(network: dict[str, Any]) -> None:
    """The second that a lost SYN costs is loss, and neither network nor far end."""
    told = network["lost_syn"]

    assert told["error_type"] is None
    assert told["retransmits"] == 1
    assert 0.9 <= told["loss"] <= told["connect"] < 2
    assert told["network_round_trip"] < 0.5
    assert told["far_end"] < 0.5
    assert told["own_delay"] < 0.5


def test_an_address_that_was_tried_later_and_did_not_win_has_not_failed(
    network: dict[str, Any],
) -> None:
    """The first won by its second SYN: nothing tells whether the other one is dead or as slow."""
    told = network["first_wins_late"]

    assert told["error_type"] is None
    assert told["peer"] == "127.0.0.1"
    assert told["loss"] >= 0.9
    assert told["address_failures"] == []


def test_a_lost_request_is_loss_in_request(network: dict[str, Any]) -> None:
    """The retransmission timeout of a lost request is loss, and neither network nor far end."""
    told = network["lost_request"]

    assert told["error_type"] is None
    assert told["source"] == "kernel"
    assert told["retransmits"] == 1
    assert told["loss"] == told["request_loss"]
    assert 0.19 <= told["loss"] <= told["request"] < 0.5
    assert told["network_round_trip"] < 0.1
    assert told["far_end"] < 0.1
    assert told["connect"] < 0.1


def test_a_lost_first_segment_is_loss(network: dict[str, Any]) -> None:
    """No stamp tells of it: it is neither the network's round trip nor the far end's time."""
    told, after = network["first_segment_lost"], network["no_segment_lost"]

    assert told["error_type"] is None
    assert (told["source"], told["retransmits"]) == ("kernel", 2)
    assert told["round_trip_source"] == "min_rtt"
    assert told["loss"] == told["request_loss"]
    assert 0.19 <= told["loss"] < 0.5
    assert told["network_round_trip"] < 0.1
    # The server answers after 50 ms, which are not loss.
    assert told["far_end"] >= 0.049
    assert (after["loss"], after["retransmits"]) == (0, 0)
    assert after["round_trip_source"] == "request_ack"


def test_a_request_that_never_arrives_is_told_by_its_retransmissions(
    network: dict[str, Any],
) -> None:
    """The message does not blame the far end's process for packets that the network lost."""
    told = network["lost_for_good"]

    assert (told["error_type"], told["phase"]) == ("response_timeout", "request")
    assert told["retransmits"] >= 1
    assert "sent again" in told["message"]


def test_loss_is_over_when_it_is_over(network: dict[str, Any]) -> None:
    """The next check of the same target has no loss."""
    assert network["after_loss"]["loss"] == 0
    assert network["after_loss"]["retransmits"] == 0
