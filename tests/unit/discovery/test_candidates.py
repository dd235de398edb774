"""kubenurse_otel.discovery.candidates: kubenurse's ring, bit for bit."""

from __future__ import annotations

import hashlib
import heapq
import struct
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel.discovery.candidates import Candidate, candidate, choose, youngest
from kubenurse_otel.model import Neighbour
from kubenurse_otel.ring import node_hash

NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)


def pod(node: str, *, name: str = "", started: str = "") -> Candidate:
    return candidate(
        Neighbour(pod_name=name or f"kubenurse-{node}", node_name=node, pod_ip="10.0.0.1"), started
    )


def nodes_of(neighbours: tuple[Neighbour, ...]) -> list[str]:
    return [neighbour.node_name for neighbour in neighbours]


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        # `printf %s NAME | sha256sum | cut -c1-16`
        ("", 0xE3B0C44298FC1C14),
        ("abc", 0xBA7816BF8F01CFEA),
        ("a1-k8s-abcd000.domain.tld", 0x0215A3E2E70BA0F2),
        ("node-1", 0x35971BE6E9BB024A),
    ],
)
def test_hash_of_a_node(node: str, expected: int) -> None:
    """A node's place is the first 8 bytes, big-endian, of sha256 of its name."""
    assert expected == node_hash(node)


def kubenurse_filter(names: list[str], own: str, limit: int) -> set[str]:
    """What filterNeighbours of kubenurse 1.15 does, with its uint64 arithmetic and its heap."""

    def sha256_uint64(name: str) -> int:
        return int(struct.unpack(">Q", hashlib.sha256(name.encode()).digest()[:8])[0])

    by_distance: dict[int, str] = {}
    heap: list[int] = []  # Of negated distances: Go's is a max-heap.
    for name in names:
        distance = (sha256_uint64(name) - sha256_uint64(own)) & 0xFFFF_FFFF_FFFF_FFFF
        by_distance[distance] = name
        heapq.heappush(heap, -distance)
        if len(heap) > limit:
            del by_distance[-heapq.heappop(heap)]
    return set(by_distance.values())


@given(st.sets(NAMES, min_size=2, max_size=40), st.integers(1, 12))
def test_choice_is_kubenurses(names: set[str], limit: int) -> None:
    """Whatever the nodes are called, we choose those that kubenurse chooses."""
    own, *others = sorted(names)
    chosen = choose([pod(name) for name in others], own, limit)
    assert kubenurse_filter(others, own, limit) == set(nodes_of(chosen))


@given(st.sets(NAMES, min_size=1, max_size=40), NAMES)
def test_no_limit_is_all_in_ring_order(names: set[str], own: str) -> None:
    """A limit of 0 is every other node, and a smaller limit is the start of the same order."""
    candidates = [pod(name) for name in names]
    every = nodes_of(choose(candidates, own, 0))
    assert sorted(every) == sorted(names - {own})
    for limit in (1, 3, 100):
        assert every[:limit] == nodes_of(choose(candidates, own, limit))


def test_every_node_is_checked_as_often_as_it_checks() -> None:
    """In a cluster of 300, limit 10, each node is the neighbour of exactly 10."""
    names = [f"a1-k8s-abcd{number:03d}.domain.tld" for number in range(300)]
    candidates = [pod(name) for name in names]
    counts = Counter(name for own in names for name in nodes_of(choose(candidates, own, 10)))
    assert {10} == set(counts.values())
    assert set(names) == set(counts)


def test_own_node_is_never_chosen() -> None:
    """A second pod on our own node is no neighbour."""
    assert ["b"] == nodes_of(choose([pod("a", name="other"), pod("b")], "a", 0))


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        ([("old", "2026-11-01T00:00:00Z"), ("new", "2026-11-01T00:00:01Z")], "new"),
        ([("new", "2026-11-01T00:00:01Z"), ("old", "2026-11-01T00:00:00Z")], "new"),
        ([("a", "2026-11-01T00:00:00Z"), ("b", "2026-11-01T00:00:00Z")], "b"),
        ([("b", ""), ("a", "")], "b"),
    ],
)
def test_of_two_pods_on_a_node_the_youngest(pods: list[tuple[str, str]], expected: str) -> None:
    """The pod that started last stands for its node; the order of the list plays no part."""
    (one,) = youngest(pod("n", name=name, started=started) for name, started in pods)
    assert expected == one.neighbour.pod_name
