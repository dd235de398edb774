"""agent_headers.py: what an answering agent says of itself, within bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel import semconv
from kubenurse_otel.probe import agent_headers
from kubenurse_otel.probe.agent_headers import (
    ServerTiming,
    is_proxied,
    node_name,
    server_timing,
)

Headers = list[tuple[bytes, bytes]]


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (b"node-1.example.org", "node-1.example.org"),
        (b"n", "n"),
        (b"", ""),
        (b"Node", ""),
        (b"-node", ""),
        (b"node\xff", ""),
        (b"a" * 253, "a" * 253),
        (b"a" * 254, ""),
    ],
)
def test_only_a_valid_node_name_is_believed(value: bytes, name: str) -> None:
    """A DNS subdomain of at most 253 characters; anything else is as if it were not there."""
    assert node_name([(b"kubenurse-node-name", value)]) == name


@pytest.mark.parametrize(
    ("header", "proxied"),
    [
        ((b"via", b"1.1 squid"), True),
        ((b"x-envoy-upstream-service-time", b"3"), True),
        ((b"server", b"envoy"), True),
        ((b"server", b"nginx"), False),
        ((b"date", b"x"), False),
    ],
)
def test_a_proxys_mark_is_seen(header: tuple[bytes, bytes], proxied: bool) -> None:
    """Via, Envoy's and Linkerd's headers mean that somebody stood in between."""
    assert is_proxied([header]) is proxied


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"wait;dur=1.5, app;dur=0.25, synack;dur=2", ServerTiming(0.0015, 0.00025, 2)),
        (b"app;desc=x;dur=2", ServerTiming(None, 0.002, None)),
        (b"cache;dur=3", ServerTiming()),
        (b"app;dur=-1, wait;dur=nan, synack;dur=1e9", ServerTiming()),
        (b"app;dur=9999999", ServerTiming(None, 0.01, None)),
        (b"wait;dur=8, app;dur=5", ServerTiming(0.005, 0.005, None)),
        (b"app;dur=1, app;dur=2", ServerTiming(None, 0.001, None)),
        (b"x" * 300 + b", app;dur=1", ServerTiming()),
        (b"app;dur=2, port;dur=54321", ServerTiming(None, 0.002, None, 54_321)),
        (b"port;dur=1, port;dur=2", ServerTiming(asker_port=1)),
        (b"port;dur=65535", ServerTiming(asker_port=65_535)),
        (b"port;dur=65536", ServerTiming()),
        (b"port;dur=0", ServerTiming()),
        (b"port;dur=1.5", ServerTiming()),
    ],
)
def test_server_timing_is_cut_to_what_the_far_end_can_have_taken(
    value: bytes, expected: ServerTiming
) -> None:
    """far end = wait + app + rest, whatever the header claims."""
    found = server_timing([(b"server-timing", value)], far_end=0.010)
    assert found.synack_retransmits == expected.synack_retransmits
    assert found.asker_port == expected.asker_port
    for one, other in ((found.wait, expected.wait), (found.app, expected.app)):
        assert one == (None if other is None else pytest.approx(other))


@given(st.binary(max_size=400), st.floats(0, 10))
def test_any_server_timing_stays_within_the_far_end(value: bytes, far_end: float) -> None:
    """Never negative, never more than there was, never an error."""
    found = server_timing([(b"server-timing", value)], far_end=far_end)
    parts = (found.wait or 0.0, found.app or 0.0)
    assert min(parts) >= 0
    assert sum(parts) <= far_end + 1e-9


def test_without_a_far_end_wait_and_app_mean_nothing() -> None:
    """Only the count of SYN-ACKs and our port are left."""
    found = server_timing(
        [(b"server-timing", b"wait;dur=1, port;dur=9, synack;dur=1")], far_end=None
    )
    assert found == ServerTiming(None, None, 1, 9)


def test_a_view_is_read_as_it_came_within_its_bound() -> None:
    """One that is said twice, or is too long, has no view's form any more."""
    header = b"kubenurse-view"
    assert agent_headers.view([]) == ""
    assert agent_headers.view([(header, b"1 d=0"), (b"x", b"y")]) == "1 d=0"
    assert agent_headers.view([(header, b"a"), (header, b"b")]) == "a, b"
    assert len(agent_headers.view([(header, b"a" * 60_000)])) == semconv.VIEW_MAX_BYTES + 1


_NUMBERS = st.from_regex(r"[0-9]{1,10}(\.[0-9]{0,10})?", fullmatch=True)


@given(
    wait=st.none() | _NUMBERS,
    app=_NUMBERS,
    port=_NUMBERS,
    synack=st.none() | _NUMBERS,
    cut=st.booleans(),
)
def test_what_agents_write_is_read_as_anybody_elses_is(
    wait: str | None, app: str, port: str, synack: str | None, cut: bool
) -> None:
    """At a glance where it is in our own order; beside another line entry by entry."""
    told = {"wait": wait, "app": app, "port": port, "synack": synack}
    entries = [f"{name};dur={one}" for name, one in told.items() if one is not None]
    value = ", ".join(entries).encode()[: -1 if cut else None]

    assert agent_headers._entries([value]) == agent_headers._entries([value, b""])
