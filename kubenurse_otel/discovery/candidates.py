"""The ring: which neighbours we check. No I/O.

kubenurse's choice bit for bit, so that both can run side by side and every node is checked by
exactly as many others as it checks (internal/servicecheck/neighbours.go).
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from kubenurse_otel.record import record
from kubenurse_otel.ring import RING_SIZE, node_hash

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kubenurse_otel.model import Neighbour


@record(frozen=True, slots=True)
class Candidate:
    """A neighbour that may be chosen.

    ``started`` orders two pods of one node (RFC 3339 in UTC, or empty). ``hash`` is
    ``node_hash(neighbour.node_name)``, computed once, where the pod was decoded.
    """

    neighbour: Neighbour
    started: str
    hash: int


def candidate(neighbour: Neighbour, started: str = "") -> Candidate:
    return Candidate(neighbour, started, node_hash(neighbour.node_name))


def youngest(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return one candidate per node: the one that started last (then the greater pod name)."""
    of_node: dict[str, Candidate] = {}
    for one in candidates:
        other = of_node.get(one.neighbour.node_name)
        if other is None or _age(one) > _age(other):
            of_node[one.neighbour.node_name] = one
    return list(of_node.values())


def ring(candidates: Iterable[Candidate], own_node: str, limit: int) -> list[Candidate]:
    """Return the ``limit`` candidates (0: all) that follow our own node on the ring, nearest first.

    One per node, and none on our own node. An empty ``own_node`` has a place too, as in kubenurse.
    """
    own_hash = node_hash(own_node)
    others = [one for one in youngest(candidates) if one.neighbour.node_name != own_node]

    def distance(one: Candidate) -> tuple[int, str]:
        return (one.hash - own_hash) % RING_SIZE, one.neighbour.node_name

    if limit > 0:
        return heapq.nsmallest(limit, others, key=distance)
    return sorted(others, key=distance)


def choose(candidates: Iterable[Candidate], own_node: str, limit: int) -> tuple[Neighbour, ...]:
    """Return the neighbours to check, in ring order; see ``ring``."""
    return tuple(one.neighbour for one in ring(candidates, own_node, limit))


def _age(one: Candidate) -> tuple[str, str]:
    return one.started, one.neighbour.pod_name
