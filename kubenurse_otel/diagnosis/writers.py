"""Which agent writes the Event of a verdict that many agents raise: the first by ring order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.verdict import Kind
from kubenurse_otel.ring import RING_SIZE, node_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kubenurse_otel.diagnosis.verdict import Verdict

MOST_WRITERS: Final = 16
"""Of them all; the others leave it to these."""


def turn(verdict: Verdict, *, mine: str, zones: Mapping[str, str]) -> int | None:
    """Return how many are to tell it before the agent on ``mine``; None: it never does.

    ``zones`` are all nodes that discovery knows, ours among them; "" where it says no zone. Who
    names itself is the first. Of a node those that check it are next, the nearest before it on the
    ring first; of what all share, whoever comes first on the ring.
    """
    culprits = verdict.culprit.split("|")
    if mine in culprits:
        return sorted(culprits, key=node_hash).index(mine)
    first = _first_of(verdict, zones)
    before = _nodes(verdict, zones)
    here = first(mine), mine
    place = sum((first(node), node) < here for node in before if node != mine)
    return place if place < MOST_WRITERS else None


def _first_of(verdict: Verdict, zones: Mapping[str, str]) -> Callable[[str], int]:
    if verdict.culprit not in zones:
        return node_hash
    culprit = node_hash(verdict.culprit)
    return lambda node: (culprit - node_hash(node)) % RING_SIZE


def _nodes(verdict: Verdict, zones: Mapping[str, str]) -> Iterable[str]:
    """Who may tell it: a zone that nobody reaches does not, nor does a node of itself."""
    culprits = verdict.culprit.split("|")
    if verdict.kind is Kind.ZONE:
        return [node for node, zone in zones.items() if zone not in culprits]
    if verdict.kind is Kind.ZONE_PAIR:
        return [node for node, zone in zones.items() if zone in culprits]
    return [node for node in zones if node not in culprits]
