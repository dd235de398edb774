"""Which origins count, for how long, and how many are held."""

from __future__ import annotations

import pytest
from clock import Clock
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel.model import Neighbour, Neighbourhood
from kubenurse_otel.state.incoming import MAX_NAME_LENGTH, MAX_ORIGINS, Incoming
from kubenurse_otel.state.known_agents import KnownAgents

FROM = "10.0.0.9"


def test_origins_are_counted_once_and_forgotten_after_a_minute() -> None:
    """An origin counts once however often it asks, and until 60 seconds after it last did."""
    clock = Clock()
    incoming = Incoming(clock=clock)
    for _ in range(3):
        incoming.seen("kubenurse-a", FROM)
    clock.now += 40
    incoming.seen("kubenurse-b", FROM)
    assert incoming.count() == 2
    clock.now += 21
    assert incoming.count() == 1
    incoming.seen("kubenurse-b", FROM)
    clock.now += 59
    assert incoming.count() == 1
    clock.now += 2
    assert incoming.count() == 0
    assert incoming.invalid == 0


@pytest.mark.parametrize(
    ("origin", "valid"),
    [
        ("kubenurse-x7k2p", True),
        ("node-1.example.com", True),
        ("NODE-1", True),  # a host name of kubenurse's under hostNetwork
        ("a", True),
        ("a" * MAX_NAME_LENGTH, True),
        ("a" * (MAX_NAME_LENGTH + 1), False),
        ("a" * 100_000, False),
        ("", False),
        ("-a", False),
        ("a-", False),
        ("a..b", False),
        ("a_b", False),
        ("a b", False),
        ("a\n", False),
        ('a"} 1', False),
        ("é", False),
        ("K\u212a", False),  # the Kelvin sign is k in lower case
    ],
)
def test_only_dns_names_count(origin: str, *, valid: bool) -> None:
    """A header that is no DNS name of at most 253 characters is ignored and counted."""
    incoming = Incoming()
    incoming.seen(origin, FROM)
    assert (incoming.count(), incoming.invalid) == ((1, 0) if valid else (0, 1))


def test_names_are_the_same_in_any_case() -> None:
    """Upper and lower case are one origin, as in DNS."""
    incoming = Incoming()
    incoming.seen("Node-1", FROM)
    incoming.seen("node-1", FROM)
    assert incoming.count() == 1


def test_at_most_10_000_are_held() -> None:
    """New origins beyond 10,000 are counted as invalid until old ones expire."""
    clock = Clock()
    incoming = Incoming(clock=clock)
    for number in range(MAX_ORIGINS + 5):
        incoming.seen(f"pod-{number}", FROM)
    assert (incoming.count(), incoming.invalid) == (MAX_ORIGINS, 5)
    incoming.seen("pod-0", FROM)
    assert incoming.invalid == 5
    clock.now += 61
    incoming.seen("pod-late", FROM)
    assert (incoming.count(), incoming.invalid) == (1, 5)


@given(st.lists(st.text()))
def test_whatever_a_header_says_is_either_held_or_counted(origins: list[str]) -> None:
    """No header raises; each is one origin or one invalid."""
    incoming = Incoming(clock=lambda: 0.0)
    for origin in origins:
        incoming.seen(origin, FROM)
    assert incoming.count() + incoming.invalid <= len(origins)
    assert incoming.count() <= len({origin.lower() for origin in origins})


AGENTS = (
    Neighbour(pod_name="kubenurse-b", node_name="b", pod_ip="10.0.0.2", host_ip="192.0.2.2"),
    Neighbour(
        pod_name="kubenurse-c", node_name="c", pod_ip="10.0.0.3", pod_ips=("10.0.0.3", "fd00::3")
    ),
)


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("10.0.0.2", True),
        ("192.0.2.2", True),
        ("fd00::3", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("10.0.0.9", False),
        ("fe80::1%eth0", False),
    ],
)
def test_where_agents_are_known_only_they_count(address: str, *, counted: bool) -> None:
    """By pod's and node's address; who asks from this host is believed."""
    incoming = Incoming(KnownAgents(lambda: KNOWN))
    incoming.seen("kubenurse-x", address)
    assert (incoming.count(), incoming.invalid) == ((1, 0) if counted else (0, 1))


KNOWN = Neighbourhood(agents=AGENTS)


def test_an_agent_counts_once_whatever_it_calls_itself() -> None:
    """Its address says which one it is, so that one pod cannot pass for five hundred."""
    incoming = Incoming(KnownAgents(lambda: KNOWN))
    for number in range(500):
        incoming.seen(f"kubenurse-{number}", "10.0.0.2")
        incoming.seen("not a name", "10.0.0.3")
    assert (incoming.count(), incoming.invalid) == (2, 0)


def test_agents_are_those_of_now() -> None:
    """What discovery finds later is known at once, and nothing is known before its first word."""
    found = [Neighbourhood()]
    incoming = Incoming(KnownAgents(lambda: found[0]))
    incoming.seen("kubenurse-x", "10.0.0.2")
    assert incoming.count() == 1
    found[0] = KNOWN
    incoming.seen("kubenurse-y", "10.0.0.9")
    assert (incoming.count(), incoming.invalid) == (1, 1)
    incoming.seen("kubenurse-b", "10.0.0.2")
    assert incoming.count() == 2
