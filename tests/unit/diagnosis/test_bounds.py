"""Whatever is checked and heard for hours, an agent holds no more, and forgets what is gone."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from enum import Enum
from random import Random
from types import MappingProxyType

import pytest
from test_diagnosis import bad, common, diagnosis, good, neighbour, path

from kubenurse_otel.diagnosis.diagnosis import Diagnosis
from kubenurse_otel.diagnosis.dns import Ports
from kubenurse_otel.diagnosis.endpoints import OneAnswer
from kubenurse_otel.diagnosis.symptoms import Symptom
from kubenurse_otel.diagnosis.view import Accused, Said, Shared, View
from kubenurse_otel.errors import ErrorType
from kubenurse_otel.model import (
    DnsEndpoint,
    Measurement,
    Neighbourhood,
    Split,
    Target,
    TargetKind,
)
from kubenurse_otel.plan.targets import MOST_DNS_ENDPOINTS

ERRORS = [ErrorType.CONNECT_TIMEOUT, ErrorType.RESPONSE_TIMEOUT, ErrorType.DNS_TIMEOUT]
ERRORS += [ErrorType.FULL_SIZE_LOST, ErrorType.OWN_TIMEOUT, ErrorType.HTTP_STATUS]
ALL = [f"n{number}" for number in range(2, 202)]
PEERS = 5


def held(thing: object, seen: set[int] | None = None) -> int:
    """How many entries all containers in ``thing`` have together."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, (str, bytes, int, float, Enum, type, type(None))):
        return 0
    seen.add(id(thing))
    if isinstance(thing, (dict, MappingProxyType)):
        return len(thing) + sum(held(one, seen) for pair in thing.items() for one in pair)
    if isinstance(thing, (list, tuple, set, frozenset, deque)):
        return len(thing) + sum(held(one, seen) for one in thing)
    names = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    attributes = {name: getattr(thing, name) for name in names if hasattr(thing, name)}
    attributes |= getattr(thing, "__dict__", {})
    return sum(held(one, seen) for one in attributes.values())


def targets(random: Random) -> list[Target]:
    """A few neighbours of many, as after nodes came and went."""
    nodes = random.sample(ALL, PEERS)
    full = [
        replace(path(node), key=f"full {node}", kind=TargetKind.FULL_SIZE, full_size=True)
        for node in nodes
    ]
    explored = replace(path(random.choice(ALL)), key="explore", kind=TargetKind.EXPLORE)
    alike = [TargetKind.API_SERVER_DIRECT, TargetKind.API_SERVER_DNS, TargetKind.ME_INGRESS]
    return [*map(path, nodes), *full, explored, *map(common, alike), common(TargetKind.EXTRA)]


def live(one: Diagnosis, random: Random, *, since: float, intervals: int) -> float:
    """Each interval everything is checked, half of it fails, and each neighbour says anything."""
    now = since
    around = Neighbourhood(known=tuple(map(neighbour, ALL)), state="ok", own_node_name="n1")
    checked: list[Target] = []
    for number in range(intervals):
        if number % 10 == 0:
            checked = targets(random)
            one.retain(checked)
        for target in checked:
            now += 5.0 / len(checked)
            result = good(target, dns=0.001)
            if random.random() < 0.5:
                result = bad(target, random.choice(ERRORS), trace=f"{random.getrandbits(128):032x}")
            elif random.random() < 0.3:
                split = Split(loss=0.2, loss_out=0.2, network_round_trip=0.001, own_delay=0.2)
                result = replace(result, measurement=Measurement(split=split, retransmits=1))
            one.note(result, now)
            if target.neighbour is not None:
                one.hear(_anything(target.neighbour.node_name, random), now)
        one.probed_name_servers(Ports(4, random.randint(0, 4), 0), _answers(random), now)
        one.lagged(random.choice([0.0, 2.0]), now)
        one.wants_haste(now)
        one.sizes_wanted(now)
        one.explore_first(now)
        one.judge(around, now)
    return now


def _answers(random: Random) -> list[OneAnswer]:
    """Of servers behind DNS' Service, which come and go."""
    return [
        OneAnswer(
            DnsEndpoint(address=f"10.0.0.{number}", udp_port=53), "udp", random.random() < 0.5
        )
        for number in random.sample(range(256), MOST_DNS_ENDPOINTS)
    ]


def _anything(node: str, random: Random) -> View:
    def said() -> Said:
        return Said(random.choice(list(Symptom)), random.randint(1, 9), random.random() < 0.5)

    return View(
        node=node,
        doubt=random.randint(0, 7),
        accused=random.choice(list(Accused)),
        targets={other: said() for other in random.sample(ALL, PEERS)},
        shared={letter: said() for letter in Shared},
    )


@pytest.mark.parametrize("seed", range(2))
def test_what_is_held_does_not_grow_and_what_is_gone_is_forgotten(seed: int) -> None:
    """All nodes are replaced again and again: seven times as long holds no more."""
    random = Random(seed)
    one = diagnosis()
    now = live(one, random, since=0.0, intervals=30)
    held_before = max(held(one), 1)
    now = live(one, random, since=now, intervals=200)
    assert held(one) < 2 * held_before
    one.retain([])
    alone = Neighbourhood(state="ok", own_node_name="n1", listed_at=1.0)
    for later in (0.0, 700.0, 1400.0):
        one.explore_first(now + later)
        one.probed_name_servers(Ports(0, 0, 0), (), now + later)
        one.judge(alone, now + later)
    assert held(one._explored) == 1
    left = {name: count for name, each in vars(one).items() if (count := held(each))}
    fresh = diagnosis()
    fresh.judge(alone, 0.0)
    expected = {name: count for name, each in vars(fresh).items() if (count := held(each))}
    # The latest of these are kept, whosever they were: 256 at most, 64, and one.
    for kept in ("_doubt", "_look_ups", "_explored"):
        left.pop(kept, None)
        expected.pop(kept, None)
    assert left == expected
