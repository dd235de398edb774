"""plan/explore.py: each agent that is no neighbour has its turn, once a round."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel.config import Config, IdentityConfig
from kubenurse_otel.discovery.candidates import candidate, choose
from kubenurse_otel.model import Neighbour, Neighbourhood, TargetKind
from kubenurse_otel.plan.explore import Explore, outside
from kubenurse_otel.plan.targets import explored, keys_told, plan

NAMES = st.integers(0, 60).map(lambda number: f"node-{number}")


def neighbour(node: str) -> Neighbour:
    return Neighbour(pod_name=f"agent-{node}", node_name=node, pod_ip="10.1.0.2")


def around(known: set[str], chosen: set[str] = frozenset(), own: str = "own") -> Neighbourhood:  # type: ignore[assignment]
    return Neighbourhood(
        chosen=tuple(map(neighbour, sorted(chosen & known))),
        known=tuple(map(neighbour, known | {own})),
        own_node_name=own,
    )


def asked(explore: Explore, here: Neighbourhood, times: int, **first: tuple[str, ...]) -> list[str]:
    found = [explore.next(here, **first) for _ in range(times)]
    return [one.node_name for one in found if one is not None]


@given(known=st.sets(NAMES, max_size=40), chosen=st.sets(NAMES, max_size=10), seed=st.text())
def test_a_round_has_each_of_the_others_once(known: set[str], chosen: set[str], seed: str) -> None:
    """Neither our own node nor a neighbour; and the next round has the same order."""
    others = known - chosen
    explore, here = Explore(seed), around(known, chosen)
    first = asked(explore, here, len(others))
    assert Counter(first) == Counter(others)
    assert asked(explore, here, len(others)) == first


@given(
    stay=st.sets(NAMES, min_size=1, max_size=20),
    come_and_go=st.lists(st.sets(NAMES, max_size=20), min_size=1, max_size=200),
    seed=st.text(max_size=8),
)
def test_whoever_stays_has_a_turn_in_each_round(
    stay: set[str], come_and_go: list[set[str]], seed: str
) -> None:
    """And only one, whoever comes and goes meanwhile: between two turns of one of them all others
    had theirs.
    """
    explore = Explore(seed)
    turns = [one for more in come_and_go for one in asked(explore, around(stay | more), 1)]
    of_those = [one for one in turns if one in stay]
    for node in stay:
        at = [index for index, one in enumerate(of_those) if one == node]
        for begin, end in pairwise(at):
            assert Counter(of_those[begin:end]) == Counter(stay)


def test_agents_begin_at_different_places() -> None:
    """Else all of a cluster would ask the same one at a time."""
    known = {f"node-{number}" for number in range(100)}
    begins = Counter(asked(Explore(f"node-{n}/pod"), around(known), 1)[0] for n in range(100))
    assert max(begins.values()) <= 6
    again = Counter(asked(Explore(f"node-{n}/pod"), around(known), 1)[0] for n in range(100))
    assert begins == again


def test_nothing_where_all_are_neighbours() -> None:
    """A small cluster has no such check, and nothing in /alive of it."""
    here = around({"n1", "n2"}, {"n1", "n2"})
    assert Explore("").next(here) is None
    targets = plan(Config(), here).targets
    assert TargetKind.EXPLORE not in {one.kind for one in targets}


def test_there_is_one_target_for_all() -> None:
    """Its type and its key are nobody's: no label a node."""
    config = Config(identity=IdentityConfig(node_name="own", pod_name="agent-own"))
    found = {one.key: one for one in plan(config, around({"n1", "n2", "n3"}, {"n1"})).targets}
    assert (found["explore"].type, found["explore"].interval_seconds) == ("explore", 5.0)
    two = explored(config, neighbour("n2"))
    assert two == found["explore"]
    assert two.headers == found["path_n1"].headers


def test_what_is_wanted_goes_first_and_the_others_still_have_turns() -> None:
    known = {f"n{number}" for number in range(10)}
    explore, here = Explore(""), around(known)
    turns = asked(explore, here, 24, again=("n3",), witnesses=("n5", "n6", "n7", "gone"))
    assert turns.count("n3") >= 8
    assert all(turns.count(node) >= 4 for node in ("n5", "n6", "n7"))
    assert len(set(turns) - {"n3", "n5", "n6", "n7"}) >= 1
    assert Counter(asked(explore, here, 10)) == Counter(known)


@pytest.mark.parametrize("wanted", ["again", "witnesses"])
def test_wanted_of_one_kind_alone(wanted: str) -> None:
    known = {f"n{number}" for number in range(10)}
    turns = asked(Explore(""), around(known), 12, **{wanted: ("n3",)})
    assert 10 <= turns.count("n3") < 12


@pytest.mark.parametrize("nodes", [12, 50])
def test_every_pair_is_seen_within_a_round(nodes: int) -> None:
    """docs/scale.md: n - 11 intervals."""
    names = [f"node-{number}" for number in range(nodes)]
    seen: set[tuple[str, str]] = set()
    for own in names:
        others = [neighbour(name) for name in names if name != own]
        chosen = choose(map(candidate, others), own, 10)
        here = Neighbourhood(chosen=chosen, known=tuple(others), own_node_name=own)
        assert len(outside(here)) == nodes - 11
        explore = Explore(own)
        seen |= {(own, one.node_name) for one in chosen}
        seen |= {(own, name) for name in asked(explore, here, nodes - 11)}
    assert len(seen) == nodes * (nodes - 1)


def test_people_are_told_of_nodes_that_are_there() -> None:
    """A node that is explored stays told when the plan changes; one that left does not."""
    config = Config(identity=IdentityConfig(node_name="own"))
    here = around({"node-1", "node-2", "node-3"}, {"node-1"})
    told = keys_told(plan(config, here), here)
    assert {"explore", "explore_node-2", "explore_node-3", "path_node-1"} <= told
    assert "explore_node-1" not in told
    gone = around({"node-1", "node-2"}, {"node-1"})
    assert "explore_node-3" not in keys_told(plan(config, gone), gone)
    near = around({"node-1"}, {"node-1"})
    assert not [key for key in keys_told(plan(config, near), near) if key.startswith("explore")]
