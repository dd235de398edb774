"""findings.py: what an answer tells beside its times."""

from __future__ import annotations

from typing import Any

import pytest

from kubenurse_otel.config.urls import parse_url
from kubenurse_otel.model import Measurement, Neighbour, Target, TargetKind
from kubenurse_otel.probe.exchange import Reply
from kubenurse_otel.probe.findings import measurement
from kubenurse_otel.probe.kernel import ClockPair
from kubenurse_otel.probe.marks import Marks
from kubenurse_otel.probe.phases import measure

OURS = 54_321
NODE = (b"kubenurse-node-name", b"node-b")


VIEW = (b"kubenurse-view", b"1 d=0")
B = Neighbour(pod_name="kubenurse-b", node_name="node-b", pod_ip="10.0.0.2")


def measured(
    *headers: tuple[bytes, bytes],
    ours: int = OURS,
    kind: TargetKind = TargetKind.PATH,
    neighbour: Neighbour | None = B,
    status_code: int = 200,
) -> Measurement:
    target = Target(
        key="it",
        type="it",
        kind=kind,
        url=parse_url("http://10.0.0.2:8080/alwayshappy"),
        interval_seconds=5,
        timeout_seconds=5,
        answered_by_agent=True,
        detect_interception=kind is TargetKind.PATH,
        neighbour=neighbour,
    )
    marks = Marks(started=ClockPair(1_000, 0, 100), ended=ClockPair(2_000, 1_000, 100))
    marks.peer, marks.local_port = ("10.0.0.2", 8080), ours
    reply = Reply(status_code, b"HTTP/1.1", list(headers), reusable=True)
    return measurement(target, marks, measure(marks), reply)


def intercepted(*headers: tuple[bytes, bytes], **more: Any) -> bool:
    return measured(*headers, **more).intercepted


def timing(entries: bytes) -> tuple[bytes, bytes]:
    return (b"server-timing", entries)


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        (b"wait;dur=0, app;dur=0, port;dur=54321", False),
        (b"wait;dur=0, app;dur=0, port;dur=54322", True),
        (b"port;dur=1", True),
        (b"port;dur=65535", True),
        (b"wait;dur=0, app;dur=0", False),
        (b"port;dur=0", False),
        (b"port;dur=65536", False),
        (b"port;dur=54322.5", False),
        (b"port;dur=-1", False),
        (b"port;dur=1e3", False),
        (b"port;desc=54322", False),
        (b"x" * 256 + b", port;dur=54322", False),
    ],
)
def test_an_agent_that_was_asked_from_another_port_was_asked_by_another(
    entries: bytes, told: bool
) -> None:
    """A proxy's connection has a port of its own; what is no port says nothing."""
    assert intercepted(NODE, timing(entries)) is told


def test_without_a_port_the_other_signs_stay() -> None:
    """An older agent tells none: a name and no proxy's mark is no interception, and vice versa."""
    assert not intercepted(NODE)
    assert intercepted()
    assert intercepted(NODE, timing(b"port;dur=54321"), (b"via", b"1.1 proxy"))
    assert intercepted(timing(b"port;dur=54321"))


def test_a_port_of_ours_that_is_not_known_says_nothing() -> None:
    """Where the kernel did not say it, there is nothing to compare."""
    assert not intercepted(NODE, timing(b"port;dur=54322"), ours=0)


@pytest.mark.parametrize("kind", [TargetKind.ME_SERVICE, TargetKind.ME_INGRESS])
def test_a_service_and_an_ingress_may_change_the_port(kind: TargetKind) -> None:
    """NAT and proxies are what they are made of."""
    assert not intercepted(NODE, timing(b"port;dur=54322"), kind=kind)


def test_a_view_is_the_asked_neighbours_own() -> None:
    """Of a good answer to a path check, by the node that was asked: nobody else's is read."""
    assert measured(NODE, VIEW).view == "1 d=0"
    assert measured(NODE).view == ""
    assert measured(VIEW).view == ""
    assert measured((b"kubenurse-node-name", b"node-c"), VIEW).view == ""
    assert measured(NODE, VIEW, status_code=503).view == ""
    for kind in (TargetKind.ME_SERVICE, TargetKind.ME_INGRESS):
        assert measured(NODE, VIEW, kind=kind, neighbour=None).view == ""
