"""kubenurse_otel.discovery.pods and nodes: what we make of one object."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest
from apiserver.objects import node, pod
from hypothesis import given, settings
from hypothesis import strategies as st

from kubenurse_otel.config import IdentityConfig
from kubenurse_otel.discovery.nodes import CORDON, NodeView, decode_node
from kubenurse_otel.discovery.pods import AgentPod, decode_pod, find_own
from kubenurse_otel.discovery.timings import Timings
from kubenurse_otel.model import NodeState


def agent(content: dict[str, Any], uid: str = "u") -> AgentPod:
    content["metadata"]["uid"] = uid
    return decode_pod(json.dumps(content).encode(), 8080)[1]


def with_containers(*containers: tuple[str, int | None, bool | None]) -> dict[str, Any]:
    """A pod of (name, port, started)."""
    content = pod("a")
    content["spec"]["containers"] = [
        {"name": name, "ports": [{"containerPort": port}] if port else None}
        for name, port, _ in containers
    ]
    content["status"]["containerStatuses"] = [
        {"name": name, "started": started} for name, _, started in containers
    ]
    return content


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        ([("kubenurse", 8080, True)], True),
        ([("kubenurse", 8080, False)], False),
        ([("kubenurse", 8080, None)], False),
        ([("agent", 8080, True), ("kubenurse-sidecar", 9000, False)], True),
        ([("agent", 8080, False), ("kubenurse-sidecar", 9000, True)], False),
        ([("kubenurse-otel", None, True), ("istio-proxy", 15090, False)], True),
        ([("kubenurse-otel", None, False), ("istio-proxy", 15090, True)], False),
        ([("agent", None, True), ("sidecar", None, False)], True),
        ([("agent", None, False)], False),
        ([], False),
    ],
)
def test_which_container_is_the_agents(
    containers: list[tuple[str, int | None, bool | None]], expected: bool
) -> None:
    """The one with the checks' port, else the one named kubenurse..., else any that has started."""
    assert expected == agent(with_containers(*containers)).eligible


@pytest.mark.parametrize(
    ("ips", "expected"),
    [
        (("10.0.0.1",), ()),
        (("10.0.0.1", "fd00::1"), ("10.0.0.1", "fd00::1")),
        (("10.0.0.1", "nonsense"), ()),
    ],
)
def test_addresses(ips: tuple[str, ...], expected: tuple[str, ...]) -> None:
    """Every family's address is kept; what is no address is not."""
    assert expected == agent(pod("a", ips=ips)).candidate.neighbour.pod_ips


@pytest.mark.parametrize("name", ["A", "a_b", "x" * 254, "", "a\n"])
def test_names(name: str) -> None:
    """A pod whose node has no DNS name is no neighbour: the name would become a label."""
    assert not agent(pod(name, name="fine")).eligible
    assert not agent(pod("fine", name=name) | {"metadata": {"name": name}}).eligible


def test_nulls() -> None:
    """What Go writes for what is empty is read as empty."""
    content = pod("a")
    content["spec"]["containers"] = None
    content["status"] |= {"podIPs": None, "containerStatuses": None, "startTime": None}
    assert not agent(content).eligible


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
)
FIELDS = ("metadata", "spec", "status", "name", "podIP", "taints", "conditions", "containers")


@settings(max_examples=50)
@given(
    st.dictionaries(st.sampled_from(FIELDS), JSON | st.dictionaries(st.sampled_from(FIELDS), JSON))
)
def test_any_object(content: dict[str, Any]) -> None:
    """Whatever an object holds, it is decoded or it is a DecodeError."""
    text = json.dumps(content).encode()
    for decode in (lambda: decode_pod(text, 8080), lambda: decode_node(text, ())):
        with contextlib.suppress(msgspec.DecodeError):
            decode()


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        ({"pod_uid": "2", "pod_name": "kubenurse-a", "pod_ip": "10.0.0.3"}, "b"),
        ({"pod_name": "kubenurse-a", "pod_ip": "10.0.0.3"}, "a"),
        ({"pod_name": "other", "pod_ip": "10.0.0.3"}, "c.domain"),
        ({"pod_name": "other", "pod_ip": "10.0.0.9"}, None),
        ({"pod_name": "c.elsewhere"}, "c.domain"),
        ({"pod_name": "c"}, "c.domain"),
        ({"pod_name": "a"}, None),
        ({"pod_name": "d"}, None),
        ({"pod_name": ""}, None),
    ],
)
def test_find_own(identity: dict[str, str], expected: str | None) -> None:
    """By UID, by name, by address; under hostNetwork by the host's name, if it is only one."""
    pods = [
        agent(pod("a", "10.0.0.1"), "1"),
        agent(pod("b", "10.0.0.2"), "2"),
        agent(pod("c.domain", "10.0.0.3", host_network=True), "3"),
        agent(pod("d", "10.0.0.4", host_network=True), "4"),
        agent(pod("d", "10.0.0.4", name="second", host_network=True), "5"),
    ]
    own = find_own(pods, IdentityConfig(**identity))
    assert expected == (own.node_name if own is not None else None)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (node("a"), NodeView("", NodeState.READY, "zone-a")),
        (node("a", ready="False"), NodeView("", NodeState.NOT_READY, "zone-a")),
        (node("a", ready="Unknown"), NodeView("", NodeState.NOT_READY, "zone-a")),
        (node("a", ready="nonsense"), NodeView("", NodeState.UNKNOWN, "zone-a")),
        (node("a", zone="z" * 64), NodeView("", NodeState.READY, "")),
        (node("a", unschedulable=True), NodeView("cordoned", NodeState.READY, "zone-a")),
        (node("a", taints=("x", "leave")), NodeView("tainted leave", NodeState.READY, "zone-a")),
        (node("a", taints=("x",)), NodeView("", NodeState.READY, "zone-a")),
        (node("a", taints=(CORDON,)), NodeView("", NodeState.READY, "zone-a")),
        ({"metadata": {"name": "a"}}, NodeView("", NodeState.UNKNOWN, "")),
        (
            {"metadata": {"name": "a", "deletionTimestamp": "2026-11-01T00:00:00Z"}},
            NodeView("deleted", NodeState.UNKNOWN, ""),
        ),
    ],
)
def test_node_view(content: dict[str, Any], expected: NodeView) -> None:
    """What a node says of itself, and what leaving is."""
    assert ("a", expected) == decode_node(json.dumps(content).encode(), ("leave", CORDON))


@pytest.mark.parametrize(
    ("nodes", "expected"), [(0, 0.0), (3, 0.0), (50, 0.0), (275, 15.0), (500, 30.0), (5000, 30.0)]
)
def test_start_jitter(nodes: int, expected: float) -> None:
    """Small clusters start at once, large ones are spread over half a minute; re-lists always."""
    assert expected == Timings().start_jitter(nodes)
    assert max(1.0, expected) == Timings().relist_jitter(nodes)
