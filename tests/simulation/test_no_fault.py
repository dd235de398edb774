"""No verdict without a fault, none after it, and none because somebody lies."""

from __future__ import annotations

from functools import partial
from random import Random

import pytest

from simulation import trial
from simulation.cluster import Cluster
from simulation.controls import CONTROLS, LIES, with_liars
from simulation.faults import FAULTS, Fault, Truth

BY_NAME = {fault.name: fault for fault in FAULTS} | {
    "none": Fault(name="none", inject=lambda _: Truth())
}


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_nobody_is_named_where_nothing_is_wrong(size: int, control: str) -> None:
    """Roll-outs, drained and new nodes, and what is lost in any network are no faults."""
    cluster = Cluster(size, Random(f"{control} {size}"))
    cluster.network.background_loss = 1e-4
    cluster.run(30.0)
    CONTROLS[control](cluster)
    cluster.run(30.0 + max(60.0, 10.0 * size))
    assert cluster.named == []


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
@pytest.mark.parametrize("fault", ["none", "node dead", "agent hung", "pair cut", "ingress 503"])
@pytest.mark.parametrize(("size", "number"), [(3, 1), (4, 2), (6, 2)])
def test_liars_have_no_healthy_node_named(size: int, number: int, fault: str, lie: object) -> None:
    """They may hide a fault, or make it look wider: what my checks find well is well."""
    prepare = partial(with_liars, number=number, lie=lie)
    assert trial.run(BY_NAME[fault], size, 7, prepare=prepare).healthy == ()


@pytest.mark.parametrize(
    "fault", ["node dead", "link down", "agent hung", "pair cut", "service path", "DNS silent"]
)
def test_what_is_healed_is_cleared_and_nothing_is_raised_by_it(fault: str) -> None:
    """While some see it well already and others not yet, no new culprit is made up."""
    outcome = trial.run(BY_NAME[fault], 6, 1, healed_seconds=60.0)
    assert (outcome.wrong, outcome.standing) == ((), ())


def test_one_and_two_nodes_say_suspicions_of_each_other() -> None:
    """Of two nodes nobody can tell which one it is."""
    outcome = trial.run(BY_NAME["node dead"], 2, 1)
    assert (outcome.seconds, outcome.wrong) == (None, ())
