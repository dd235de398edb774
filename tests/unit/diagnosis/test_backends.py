"""rules/backends.py: dead agents are bad backends of the Service and of the ingress."""

from __future__ import annotations

import pytest
from views import ME, found, named, view


def kinds(mine: str, others: str, *, dead: int = 1, well: int = 1) -> list[tuple[str, str]]:
    """Of so many that are dead and ``well`` ones, who say ``others`` of what all check."""
    living = [f"n{number}" for number in range(2, 2 + well)]
    gone = {f"n{number}": "r3" for number in range(2 + well, 2 + well + dead)}
    paths = dict.fromkeys([ME, *living], "o9") | gone
    heard = [view(one, {n: w for n, w in paths.items() if n != one}, others) for one in living]
    here = view(ME, {node: word for node, word in paths.items() if node != ME}, mine)
    return [
        (kind, culprit) for kind, culprit, *_ in named(found(here, heard)) if culprit not in gone
    ]


@pytest.mark.parametrize(
    ("mine", "others", "expected"),
    [
        ("D:o9 S:r3", "D:o9 S:r3", []),
        ("D:o9 S:r5", "D:o9 S:r5", [("service", "cluster")]),
        ("D:o9 S:r9", "D:o9 S:o9", []),
        ("D:o9 S:x3", "D:o9 S:x3", [("certificate", "service")]),
    ],
)
def test_what_a_third_of_dead_backends_explains_once_in_10_000_times_is_not_the_service(
    mine: str, others: str, expected: list[tuple[str, str]]
) -> None:
    """Each agent's checks in a row count: they meet bad backends each by themselves."""
    assert kinds(mine, others) == expected


@pytest.mark.parametrize(
    ("mine", "others", "expected"),
    [
        ("I:b4", "I:b4", []),
        ("I:b5", "I:b5", [("ingress", "cluster")]),
        ("I:r2", "I:r2", [("ingress", "cluster")]),  # it is there before any backend
        ("I:b9", "I:o9", []),
    ],
)
def test_nor_is_it_the_ingress(mine: str, others: str, expected: list[tuple[str, str]]) -> None:
    assert kinds(mine, others) == expected


def test_who_is_answered_for_a_dead_backend_does_not_say_that_the_ingress_is_silent() -> None:
    """To me it is, and to nobody else: it was called everybody's."""
    assert kinds("I:s9", "I:b1") == [("ingress", ME + "?")]
    assert kinds("I:s9", "I:s9") == [("ingress", "cluster")]


def test_where_most_agents_are_dead_it_takes_long_to_say_more() -> None:
    assert kinds("I:b5", "I:b5", dead=4, well=2) == []
    assert kinds("I:b2", "I:b2", dead=1, well=5) == [("ingress", "cluster")]


def test_from_here_alone_both_are_named_where_a_quarter_is_dead() -> None:
    for letter, word, kind in (("S", "r", "service"), ("I", "b", "ingress")):
        for run, expected in ((7, []), (8, [(kind, ME)])):
            assert kinds(f"D:o9 {letter}:{word}{run}", f"D:o9 {letter}:o9", well=2) == expected


def test_dead_agents_hide_no_service_path() -> None:
    """Who refuses is there, and whom all others miss is no reason to doubt our own ways."""
    words = "D:s3 S:d3 Q:d3"
    assert kinds(words, words) == [("service_path", "cluster")]
    mine = view(ME, {"n2": "o9", "n3": "s3", "n4": "s3"}, words)
    everybody_misses = [view("n2", {ME: "o9", "n3": "s3", "n4": "s3"}, words)]
    assert ("service_path", "cluster", "", "silent") in named(found(mine, everybody_misses))
    i_miss = [view("n2", {ME: "o9", "n3": "o9", "n4": "o9"}, words)]
    assert ("service_path", "cluster", "", "silent") not in named(found(mine, i_miss))
