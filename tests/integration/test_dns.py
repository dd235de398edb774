"""Names, through glibc and our own resolver, and a real name server (dnsmasq) in a namespace."""

from __future__ import annotations

from typing import Any

import pytest
from servers.nameserver import SLOW_SECONDS

CASES = [
    ("nxdomain", "host_not_found"),
    ("too_long", "host_not_found"),
    ("empty_label", "host_not_found"),
    ("servfail", "dns_server_failure"),
    ("refused", "dns_server_failure"),
    ("no_server", "dns_server_failure"),
    ("silent", "dns_timeout"),  # glibc gave up (timeout:1 attempts:1)
    ("silent_short", "dns_timeout"),  # the check's time was up before
]


@pytest.fixture(params=["system", "own"])
def dns(request: pytest.FixtureRequest, namespace_checks: dict[str, Any]) -> dict[str, Any]:
    found = namespace_checks["dns"][request.param]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(("case", "error_type"), CASES)
def test_a_look_up_that_fails(dns: dict[str, Any], case: str, error_type: str) -> None:
    """NXDOMAIN, SERVFAIL, REFUSED, silence and a missing server are told apart, at dns_done."""
    told = dns[case]

    assert told["error_type"] == error_type
    assert (told["phase"], told["event"]) == ("dns", "dns_done")
    assert told["events"] == ["dns_start"]


def test_silence_meets_the_total_timeout(dns: dict[str, Any]) -> None:
    """A resolver that never answers costs the check's time and not glibc's."""
    assert 0.4 <= dns["silent_short"]["elapsed"] < 0.9
    assert 1.0 <= dns["silent"]["elapsed"] < 5.0


def test_a_silent_upstream_is_named(dns: dict[str, Any]) -> None:
    """The server that was asked is well, and what it asks says nothing: the advice leads there."""
    for case in ("silent", "silent_short"):
        assert "for a name outside of the cluster, at their upstream" in dns[case]["message"]
    assert "upstream" not in dns["nxdomain"]["message"]


@pytest.mark.parametrize("case", ["good", "absolute", "both"])
def test_a_name_is_found(dns: dict[str, Any], case: str) -> None:
    """A name, with or without the root's dot, leads to the server, and its look-up is timed."""
    told = dns[case]

    assert told["error_type"] is None
    assert told["peer"] == "127.0.0.1"
    assert told["dns"] > 0
    assert told["events"][:2] == ["dns_start", "dns_done"]


def test_a_family_that_fails_is_counted(dns: dict[str, Any]) -> None:
    """A name with an AAAA record where nobody listens is good over IPv4, and says so."""
    assert dns["both"]["address_failures"] == ["ipv6"]
    assert dns["good"]["address_failures"] == []


@pytest.mark.parametrize("case", ["slow", "slow_blocked"])
def test_a_look_ups_time_is_its_own(dns: dict[str, Any], case: str) -> None:
    """150 ms of DNS are 150 ms, also when our loop stood still for 400 ms meanwhile."""
    told = dns[case]

    assert told["error_type"] is None
    assert SLOW_SECONDS <= told["dns"] < SLOW_SECONDS + 0.1
    assert told["connect"] + told["request"] < 0.1
    if case == "slow_blocked":
        assert told["own_delay"] >= 0.2


def test_a_stuck_name_does_not_hold_up_another(dns: dict[str, Any]) -> None:
    """With twenty look-ups hanging, another name is found at once; the hanging ones time out."""
    assert dns["beside_stuck"]["error_type"] is None
    assert dns["beside_stuck"]["elapsed"] < 0.9
    assert {dns[f"stuck_{n}"]["error_type"] for n in range(20)} == {"dns_timeout"}


def test_checks_of_one_slow_name_at_once_are_all_good(dns: dict[str, Any]) -> None:
    """Several targets may have one host: that its look-up is slow fails none of them."""
    assert [dns[f"slow_together_{n}"]["error_type"] for n in range(5)] == [None] * 5


def test_our_own_slowness_makes_no_dns_timeout(dns: dict[str, Any]) -> None:
    """A SERVFAIL that came at once is one, though our loop noticed it a second later."""
    assert dns["servfail_blocked"]["error_type"] == "dns_server_failure"
