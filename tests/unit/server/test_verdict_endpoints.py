"""/api/v1/verdicts and /api/v1/view: the documents that docs/diagnosis.md describes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from judges import DEAD, NEIGHBOURS, Agent

from kubenurse_otel.model import Neighbour
from kubenurse_otel.server.message import Peer, Request
from kubenurse_otel.server.verdicts import MAX_AGENTS, Documents, off
from kubenurse_otel.state.history import History
from kubenurse_otel.state.results import Results

REQUEST = Request(peer=Peer("", 0, lambda: ("", 0), secure=False))


def documents(agent: Agent, *, has_admin_port: bool = False) -> Documents:
    return Documents(
        agent.judging,
        results=Results(),
        history=History(),
        neighbourhood=lambda: agent.neighbourhood,
        node_name=lambda: "node-a",
        has_admin_port=has_admin_port,
    )


def verdicts(of: Documents) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(of.verdicts(REQUEST).tail)
    return found


def view(of: Documents) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(of.view(REQUEST).tail)
    return found


def test_before_the_first_judgement_nothing_is_said() -> None:
    """Who asks sees that it has not judged, rather than that all is well."""
    empty = verdicts(documents(Agent()))
    assert (None, [], []) == (empty["judged_at"], empty["verdicts"], empty["suspicions"])


def test_times_are_by_the_wall_clock_as_it_is_now() -> None:
    """An agent that started before its node's clock was set tells the right time since."""
    agent = Agent()
    for _ in range(3):
        agent.sees_dead()
    agent.set_forward = 3600.0
    found = verdicts(documents(agent))
    assert "1970-01-12T14:46:55.000Z" == found["judged_at"] == found["verdicts"][0]["last_seen"]


def test_verdicts_with_their_evidence() -> None:
    """What is at fault in a sentence and in words of closed sets, who says so, since when."""
    agent = Agent()
    made = documents(agent)
    for _ in range(3):
        agent.sees_dead()
    found = verdicts(made)
    assert "1970-01-12T13:46:55.000Z" == found["judged_at"]
    (one,) = found["verdicts"]
    assert f"the agent on node {DEAD} refuses connections: nothing listens there" == one["sentence"]
    assert ("agent", DEAD, "", "refused", "raised") == tuple(
        one[name] for name in ("kind", "culprit", "direction", "cause", "state")
    )
    assert one["since"] <= one["last_seen"] == found["judged_at"]
    assert one["evidence"][0]["words"].startswith("from node-a, path_node-b: ")
    assert [f"path_{DEAD}"] == one["explains"]
    assert {"fresh": 3, "stale": 0} == found["views"]


def test_the_view_in_words_and_whom_we_know() -> None:
    """What the header says in letters; and the agents that `diagnose --all` asks."""
    agent = Agent()
    agent.neighbourhood = replace(agent.neighbourhood, agents=tuple(NEIGHBOURS.values()))
    made = documents(agent)
    agent.sees_dead()
    found = view(made)
    assert {"symptom": "refused", "run": 1, "lossy": False} == found["neighbours"][DEAD]
    assert "nothing" == found["accused"]
    assert 4 == found["agents_known"]
    assert {"node": DEAD, "pod": "kubenurse-node-b", "address": "10.0.0.2", "port": None} == found[
        "agents"
    ][0]


def test_a_static_lists_port_is_that_of_checks() -> None:
    """Which serves no documents where there is an admin port: the asked one's is others', too."""
    agent = Agent()
    one = Neighbour(pod_name="p", node_name="node-b", pod_ip="10.0.0.2", port=8081)
    agent.neighbourhood = replace(agent.neighbourhood, agents=(one,))
    assert view(documents(agent))["agents"][0]["port"] == 8081
    assert view(documents(agent, has_admin_port=True))["agents"][0]["port"] is None


def test_both_are_bounded() -> None:
    """A cluster of any size makes a document of some size."""
    agent = Agent()
    many = tuple(
        Neighbour(pod_name="p", node_name=f"node-{number}", pod_ip="10.0.0.1")
        for number in range(MAX_AGENTS + 10)
    )
    agent.neighbourhood = replace(agent.neighbourhood, agents=many)
    found = view(documents(agent))
    assert (MAX_AGENTS, MAX_AGENTS + 10) == (len(found["agents"]), found["agents_known"])
    assert 404 == off(REQUEST).status
