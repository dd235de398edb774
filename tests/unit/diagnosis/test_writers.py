"""Who tells a verdict first, of all that raise it."""

from __future__ import annotations

import pytest

from kubenurse_otel.diagnosis.verdict import Cause, Direction, Kind, Verdict
from kubenurse_otel.diagnosis.writers import MOST_WRITERS, turn
from kubenurse_otel.discovery.candidates import candidate, choose
from kubenurse_otel.model import Neighbour

NODES = [f"node-{number}" for number in range(40)]
ZONES = {node: f"zone-{number % 3}" for number, node in enumerate(NODES)}


def verdict(kind: Kind, culprit: str) -> Verdict:
    return Verdict(
        kind=kind,
        culprit=culprit,
        direction=Direction.NONE,
        cause=Cause.SILENT,
        confidence=0.9,
        since=0.0,
        last_seen=0.0,
    )


def turns(said: Verdict) -> dict[int, str]:
    """Which of those that may raise it has which turn: each turn is one node's."""
    found = [(turn(said, mine=node, zones=ZONES), node) for node in NODES if node != said.culprit]
    have = [(place, node) for place, node in found if place is not None]
    assert len(dict(have)) == len(have)
    return dict(sorted(have))


@pytest.mark.parametrize(
    ("kind", "culprit"),
    [(Kind.DNS, "cluster"), (Kind.CERTIFICATE, "agents"), (Kind.EXTRA, "shop")],
)
def test_what_all_share_has_sixteen_writers(kind: Kind, culprit: str) -> None:
    assert list(turns(verdict(kind, culprit))) == list(range(MOST_WRITERS))


def test_of_a_node_those_that_check_it_come_first() -> None:
    """The ring's choice: node n is checked by the ten before it, the nearest is the first."""
    culprit = NODES[7]
    found = turns(verdict(Kind.NODE, culprit))
    agents = [
        candidate(Neighbour(pod_name=node, node_name=node, pod_ip="10.0.0.1")) for node in NODES
    ]
    checkers = {
        node for node in NODES if culprit in {one.node_name for one in choose(agents, node, 10)}
    }
    assert {node for place, node in found.items() if place < 10} == checkers


def test_who_names_itself_has_the_first_turn() -> None:
    assert turn(verdict(Kind.NODE_LOSS, NODES[3]), mine=NODES[3], zones=ZONES) == 0


def test_both_ends_of_a_pair_have_a_turn_of_their_own() -> None:
    said = verdict(Kind.PAIR, f"{NODES[3]}|{NODES[5]}")
    assert {turn(said, mine=node, zones=ZONES) for node in (NODES[3], NODES[5])} == {0, 1}


def test_nobody_in_a_zone_that_is_gone_is_waited_for() -> None:
    said = verdict(Kind.ZONE, "zone-1")
    first = [
        node
        for node in NODES
        if turn(said, mine=node, zones=ZONES) == 0 and ZONES[node] != "zone-1"
    ]
    assert len(first) == 1
    between = verdict(Kind.ZONE_PAIR, "zone-0|zone-1")
    (one,) = [
        node
        for node in NODES
        if turn(between, mine=node, zones=ZONES) == 0 and ZONES[node] != "zone-2"
    ]
    assert ZONES[one] in ("zone-0", "zone-1")
