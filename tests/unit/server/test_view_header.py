"""server/alwayshappy.py: what we see is for agents that ask us ourselves, and for nobody else."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from opentelemetry.trace import NoOpTracer

from kubenurse_otel import semconv
from kubenurse_otel.model import Neighbour, Neighbourhood
from kubenurse_otel.server.alwayshappy import AlwaysHappy
from kubenurse_otel.server.arrival import Arrival
from kubenurse_otel.server.message import Peer, Request, encode
from kubenurse_otel.state.incoming import Incoming
from kubenurse_otel.state.known_agents import KnownAgents

VIEW = b"1 d=0 z= a=- p= t= h="
POD_B, POD_C = (
    Neighbour(
        pod_name=f"kubenurse-{letter}",
        node_name=f"node-{letter}",
        pod_ip=f"10.1.{number}.2",
        pod_ips=(f"10.1.{number}.2", f"fd00:{number}::2"),
        host_ip=f"192.0.2.{number}",
    )
    for number, letter in enumerate("bc", start=1)
)
AGENTS = KnownAgents(lambda: Neighbourhood(agents=(POD_B, POD_C)))
ON_ONE_HOST = KnownAgents(
    lambda: Neighbourhood(
        agents=(Neighbour(pod_name="kubenurse-b", node_name="node-b", pod_ip="127.0.1.2"),)
    )
)


def answered(
    peer: str,
    *,
    origin: str = "kubenurse-b",
    host: str = "10.1.9.2:8080",
    to: str = "10.1.9.2",
    agents: KnownAgents = AGENTS,
    view: bytes = VIEW,
    padding: int = 0,
) -> Any:
    handler = AlwaysHappy(
        node_name=lambda: "node-a",
        incoming=Incoming(),
        tracer=NoOpTracer(),
        refusals=Counter(),
        agents=agents,
        view=lambda: view,
    )
    headers = [(b"host", host.encode()), (b"kubenurse-neighbour-origin", origin.encode())]
    headers.append((b"kubenurse-pad", b"x" * padding))
    return handler(
        Request(
            peer=Peer(peer, 40_000, lambda: (to, 8080), secure=False),
            target=b"/alwayshappy",
            headers=[one for one in headers if one[1]],
            arrival=Arrival(0.001, 0, 0.0, 0),
        )
    )


def is_told(peer: str, **more: Any) -> bool:
    return semconv.HEADER_VIEW.encode() in dict(answered(peer, **more).headers)


@pytest.mark.parametrize("peer", ["10.1.1.2", "fd00:1::2", "192.0.2.1"])
def test_an_agent_is_told(peer: str) -> None:
    """By any of its pod's addresses, or its node's, which some networks put before it."""
    assert is_told(peer)
    assert is_told(peer, to="fd00:9::2", host="[fd00:9::2]:8080")


@pytest.mark.parametrize(
    ("peer", "more"),
    [
        pytest.param("10.9.9.9", {}, id="a stranger with an agent's name"),
        pytest.param("10.1.1.2", {"origin": ""}, id="an agent's address, and no name"),
        pytest.param("10.1.1.2", {"origin": "kubenurse-c"}, id="another agent's name"),
        pytest.param("192.0.2.1", {"host": "kubenurse.example.com"}, id="an ingress on a node"),
        pytest.param("192.0.2.1", {"host": "10.96.0.7:8080"}, id="a Service's address, hairpin"),
        pytest.param("10.1.1.2", {"host": "kubenurse.monitoring.svc:8080"}, id="a Service's name"),
        pytest.param("127.0.0.1", {}, id="a port-forward"),
        pytest.param("127.0.0.6", {}, id="a mesh's sidecar, for anyone"),
        pytest.param("10.1.1.2", {"agents": KnownAgents(Neighbourhood)}, id="nobody is known"),
        pytest.param("10.1.1.2", {"view": b""}, id="KUBENURSE_DIAGNOSIS is false"),
        pytest.param("10.1.1.2", {"agents": ON_ONE_HOST}, id="a stranger on one host"),
        pytest.param(
            "127.0.0.1", {"agents": ON_ONE_HOST, "origin": "x"}, id="no agent on one host"
        ),
    ],
)
def test_nobody_else_is(peer: str, more: dict[str, Any]) -> None:
    """Neither strangers, nor whoever is behind a Service, an ingress or a sidecar."""
    assert not is_told(peer, **more)


@pytest.mark.parametrize(
    ("asked", "given"), [(0, 0), (1, 1), (1548, 1548), (9_100, 9_100), (9_101, 9_100)]
)
@pytest.mark.parametrize("view", [VIEW, b""])
def test_as_much_padding_as_came(asked: int, given: int, view: bytes) -> None:
    """And no more, up to a jumbo frame; also where there is nothing to tell."""
    headers = dict(answered("10.1.1.2", padding=asked, view=view).headers)
    assert len(headers.get(semconv.HEADER_PAD.encode(), b"")) == given


@pytest.mark.parametrize(
    "more",
    [
        {"peer": "10.9.9.9"},
        {"peer": "10.1.1.2", "origin": "kubenurse-c"},
        {"peer": "192.0.2.1", "host": "kubenurse.example.com"},
    ],
)
def test_no_padding_for_strangers(more: dict[str, Any]) -> None:
    """Whoever it is that would get it: nobody can have us send what he did not send."""
    headers = dict(answered(**more, padding=1548).headers)
    assert semconv.HEADER_PAD.encode() not in headers


def test_a_cluster_on_one_host_talks_by_names() -> None:
    """There all ask from 127.0.0.1: which address an agent has, its neighbours do not see."""
    assert is_told("127.0.0.1", agents=ON_ONE_HOST)


def test_the_answer_stays_one_segment() -> None:
    """The longest view in the longest answer, within what IPv6 lets through everywhere."""
    response = answered("10.1.1.2", view=b"x" * semconv.VIEW_MAX_BYTES)
    head = encode(response, connection=b"keep-alive")
    assert 1 == len(head)
    assert len(head[0]) < 1280 - 40 - 32
