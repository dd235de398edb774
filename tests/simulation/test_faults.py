"""The diagnosis against clusters of which all is known: three, six, twelve and sixty nodes.

A minute at most; `make simulation` runs more of them, and larger ones.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from kubenurse_otel.diagnosis.case import CLUSTER
from kubenurse_otel.diagnosis.verdict import Direction, Kind
from kubenurse_otel.model import TargetKind
from simulation import trial
from simulation.cluster import Cluster
from simulation.faults import (
    FAULTS,
    HISTORY_SECONDS,
    LONGER_SECONDS,
    ONE_PERCENT,
    Fault,
    Named,
    Truth,
    both,
    loss,
)

SEEDS = {3: range(2), 6: range(1), 12: range(1), 60: range(1)}
AT = {
    12: {
        "node dead",
        "node cut inwards, its direction",
        "pair cut",
        "zones cut",
        "zone dead",
        "DNS replica silent",
        "prober starved",
        "node slow",
        "way to a zone slow",
        "all ways slow",
        "loss 5 % in",
        "loss of a pair",
        "MTU in",
        "MTU of all",
        "MTU of a pair, agents by TLS",
        "DNS silent, replicas in turn",
        "agents dead, service path",
        "loss of two pairs of a node",
        "loss of three nodes, one dead",
    },
    60: {"node dead", "agents dead", "loss of two nodes", "loss of a pair"},
}
"""Of larger clusters what has most to do with their size: a trial takes seconds."""
LEAST_RIGHT = 0.97


@pytest.mark.parametrize("size", SEEDS)
def test_the_culprit_is_named(size: int) -> None:
    """Right in 97 of 100 (loss of 1 % apart), and a node that is well is never named."""
    outcomes = [
        trial.run(fault, size, seed)
        for fault in FAULTS
        if trial.fits(fault, size)
        and fault.name not in ONE_PERCENT
        and (size not in AT or fault.name in AT[size])
        for seed in SEEDS[size]
    ]
    assert [one for one in outcomes if one.healthy] == []
    missed = [(one.fault, one.seed, one.seconds, one.wrong) for one in outcomes if not one.is_right]
    assert len(missed) <= (1 - LEAST_RIGHT) * len(outcomes), missed


@pytest.mark.parametrize(
    ("name", "seed"), [("MTU in", 0), ("MTU of all", 0), ("MTU in", 3), ("MTU out", 4)]
)
def test_a_black_hole_is_not_called_what_stalls_for_it(name: str, seed: int) -> None:
    """TLS to the API server and to the ingress hangs at once, full-size checks a little later.

    And those of one neighbour after those of the other: meanwhile it is no pair.
    """
    (fault,) = (one for one in FAULTS if one.name == name)
    assert trial.run(fault, 3, seed).wrong == ()


@pytest.mark.parametrize(
    ("name", "share", "direction", "seed"),
    [
        ("L2in", 0.02, Direction.IN, 37),
        ("L2in", 0.02, Direction.IN, 77),
        ("L3out", 0.03, Direction.OUT, 17),
        ("L1out", 0.01, Direction.OUT, 44),
    ],
)
def test_a_node_that_loses_a_little_among_three_is_no_pair(
    name: str, share: float, direction: Direction, seed: int
) -> None:
    """The names choose what is lost: by chance one of its two ways loses more for a minute."""
    fault = Fault(name=name, inject=loss(share, direction), seconds=180.0)
    outcome = trial.run(fault, 3, seed)
    assert (outcome.is_right, outcome.wrong) == (True, ())


@pytest.mark.parametrize("seed", [336, 4, 6])
def test_the_third_node_that_loses_confirms_no_mtu_of_the_others(seed: int) -> None:
    """Its own full-size checks fail for what it loses: an end of the pair was named for it."""
    (fault,) = (one for one in FAULTS if one.name == "MTU of a pair + loss 30 % out")
    outcome = trial.run(fault, 3, seed)
    assert (outcome.is_right, outcome.wrong) == (True, ())


def test_what_an_outage_left_half_open_does_not_tell_the_direction_of_the_next_one() -> None:
    """What four of five send to a node is lost for a while; then its link goes down."""
    cluster = Cluster(6, Random(1))
    node, *others = cluster.present
    directions = []
    for seconds, then in (
        (30.0, lambda: None),
        (30.0, lambda: cluster.network.drops.update((one, node) for one in others[:4])),
        (35.0, cluster.network.drops.clear),
        (25.0, lambda: cluster.network.unplugged.add(node)),
    ):
        then()
        cluster.named.clear()
        cluster.run(cluster.now + seconds)
        verdicts = [one.verdict for one in cluster.named if one.by in others]
        directions.append({one.direction for one in verdicts if one.culprit == node})
    assert directions[1::2] == [{Direction.NONE, Direction.IN}, {Direction.NONE}]


def test_a_link_that_goes_down_again_is_named_again_by_others() -> None:
    """They heard that the node was cut off: that is over, and no reason for what is silent now."""
    cluster = Cluster(6, Random(1))
    node = cluster.present[0]
    for seconds, then in (
        (40.0, lambda: None),
        (25.0, lambda: cluster.network.unplugged.add(node)),
        (30.0, cluster.network.unplugged.clear),
        (25.0, lambda: cluster.network.unplugged.add(node)),
    ):
        then()
        cluster.named.clear()
        cluster.run(cluster.now + seconds)
    assert {one.by for one in cluster.named} == set(cluster.present)
    assert {(one.verdict.kind, one.verdict.culprit) for one in cluster.named} == {(Kind.NODE, node)}


def _a_backend_is_silent(cluster: Cluster) -> Truth:
    """One of three, behind the ingress."""
    cluster.network.backends[TargetKind.ME_INGRESS] = (1 / 3, "mute")
    return Truth(also=(Named((Kind.INGRESS,), CLUSTER),))


@pytest.mark.parametrize("seed", [1, 3])
def test_a_silent_backend_is_nobodys_own_ingress(seed: int) -> None:
    """Each agent meets it now and then, and some time one meets it while nobody else does."""
    fault = Fault(name="a backend is silent", inject=_a_backend_is_silent, seconds=300.0)
    assert trial.run(fault, 6, seed).wrong == ()


@pytest.mark.parametrize("is_before", [True, False])
def test_who_restarts_knows_no_usual_round_trips_and_is_no_witness_that_they_are_usual(
    *, is_before: bool
) -> None:
    """The network of all becomes slow, and a new version of the agent is rolled out."""
    cluster = Cluster(6, Random(1))
    cluster.run(HISTORY_SECONDS)

    def restart() -> None:
        for node in cluster.present[:4]:
            cluster.stop(node)
            cluster.add(node)
        cluster.changed()

    if is_before:
        restart()
    cluster.network.longer |= dict.fromkeys(cluster.present, LONGER_SECONDS)
    cluster.run(cluster.now + 60.0)
    if not is_before:
        restart()
        cluster.run(cluster.now + 60.0)
    named = {(one.verdict.kind, one.verdict.culprit) for one in cluster.named}
    assert named == {(Kind.NODE_SLOW, "cluster")}


@pytest.mark.parametrize(("size", "seed"), [(12, 3182), (6, 1)])
def test_dead_agents_are_no_witnesses_of_usual_round_trips(size: int, seed: int) -> None:
    """To a dead peer there is no round trip that could be long; and an agent whose zone has no
    other one left says nothing of its own. Healthy nodes were named for either.
    """
    by_name = {fault.name: fault for fault in FAULTS}
    slow, dead = by_name["all ways slow"], by_name["agents dead"]
    fault = replace(slow, name="all ways slow & agents dead", inject=both(slow.inject, dead.inject))
    outcome = trial.run(fault, size, seed)
    assert (outcome.is_right, outcome.wrong) == (True, ())


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_comes_beside_another_one(fault: Fault) -> None:
    """It is of nodes that are alive: half of them are dead already."""
    cluster = Cluster(24, Random(fault.name), zones=fault.zones)
    cluster.run(1.0)
    dead = cluster.present[::2]
    for node in dead:
        cluster.stop(node)
    assert fault.inject(cluster).touched.isdisjoint(dead)
