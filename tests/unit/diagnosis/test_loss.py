"""rules/loss.py: of ways that lose, the fewest nodes that explain them, or the way itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
from views import ME, everybody, found, named, view

from kubenurse_otel.diagnosis.case import LosingWay, LosingWays
from kubenurse_otel.diagnosis.verdict import Direction
from kubenurse_otel.diagnosis.view import Accused

MINE = ("node_loss", ME, "out", "loss")


def losing(*sums: float, seconds: float = 60.0) -> dict[Direction, LosingWays]:
    """What is lost on my ways to n2, n3, ... together."""
    nodes = {f"n{number}": each for number, each in enumerate(sums, 2)}
    return {Direction.OUT: LosingWays(sums=nodes, seconds=seconds, since=7.0)}


def own(size: int, words: dict[str, str], *sums: float, seconds: float = 60.0) -> list[object]:
    mine, *heard = everybody(size, words)
    return named(found(mine, heard, losses=losing(*sums, seconds=seconds)))


def lossy(*ways: str) -> dict[str, str]:
    """By both ends of each: "n1-n2"."""
    ends = [way.split("-") for way in ways]
    return {f"{one}>{other}": "o9~" for one, other in ends + [pair[::-1] for pair in ends]}


def test_our_own_loss_explains_what_else_fails_here() -> None:
    """And it began with the first loss, however long ago these checks were well."""
    mine = view(ME, {"n2": "s9", "n3": "o9", "n4": "o9"}, "D:s9")
    others = [view("n2", {"n3": "o"}), view("n3", {"n2": "o9"}, "D:o9")]
    findings = found(mine, others, losses=losing(0, 8, 8))
    assert named(findings) == [MINE]
    assert [one.since for one in findings] == [7.0]


@pytest.mark.parametrize(
    ("sums", "is_mine"),
    [
        ((4, 4, 4, 4, 4), True),
        ((8, 8, 0, 0, 0), False),
        ((30, 30, 0, 1.6, 0), False),  # a packet is lost anywhere now and then
        ((90, 1.6, 1.6, 1.6, 1.6), False),
        ((8, 4, 3, 3, 0), True),
        ((8, 4, 3, 2, 0), False),
        ((8, 8), True),
        ((16, 1.6), False),
        ((11, 4.8), False),
    ],
)
def test_it_is_our_node_where_the_better_half_of_its_ways_loses_as_well(
    sums: tuple[float, ...], is_mine: bool
) -> None:
    """Not the mean of them: one bad way is none of our node."""
    assert own(len(sums) + 1, {}, *sums) == ([MINE] if is_mine else [])


def test_where_large_segments_vanish_small_ones_tell_of_losses() -> None:
    """They are answered: a node that loses is named beside a cluster's MTU."""
    assert MINE in own(
        4, {f"n{one}>n{two}": "f9" for one in range(1, 5) for two in range(1, 5)}, 8, 8, 8
    )
    assert own(4, {">n2": "s9", ">n3": "s9", ">n4": "s9"}, 8, 8, 8) != [MINE]


def test_where_some_of_our_ways_are_well_it_waits_for_what_others_say() -> None:
    assert own(6, {}, 4, 4, 4, 4, 0, seconds=11.0) == []
    assert own(6, {}, 4, 4, 4, 4, 0, seconds=12.0) == [MINE]
    assert own(6, {}, 4, 4, 4, 4, 4, seconds=2.0) == []
    assert own(6, {}, 4, 4, 4, 4, 4, seconds=3.0) == [MINE]


def test_what_nodes_that_lose_on_more_ways_explain_is_not_ours() -> None:
    """Three of six lose and one is dead: three of our four living ways lose, and all of theirs."""
    dead = {f"n{number}>n6": "s9" for number in range(1, 6)}
    bad = ["n2-n3", "n2-n4", "n3-n4"]
    ours = lossy(*bad, *(f"n{number}-n{one}" for number in (2, 3, 4) for one in (1, 5)))
    assert MINE not in own(6, ours | dead, 20, 20, 20, 0, 0)
    as_many = lossy(*bad, *(f"n{number}-n1" for number in (2, 3, 4)))
    assert MINE not in own(6, as_many | dead, 20, 20, 20, 0, 0)  # which three it is nobody knows


def test_one_that_loses_beside_others_that_do_is_named_as_well() -> None:
    """For its ways to those that are well nobody else is to blame."""
    words = lossy(*(f"n{one}-n{number}" for one in (1, 2) for number in range(3, 7)), "n1-n2")
    assert own(6, words, 20, 20, 20, 20, 20) == [MINE]
    assert own(3, lossy("n1-n2", "n1-n3", "n2-n3"), 20, 20) == []  # which two it is nobody knows


def of_way(size: int, words: dict[str, str], *nodes: str, **facts: object) -> list[object]:
    ways = {node: LosingWay(Direction.OUT, 7.0) for node in nodes}
    mine, *heard = everybody(size, words)
    return named(found(mine, heard, loss=ways, **facts))


def pair(*nodes: str) -> list[object]:
    return [("pair_loss", f"{ME}|{node}", "", "loss") for node in nodes]


def test_a_way_that_loses_between_sound_ends_is_the_pair() -> None:
    assert of_way(4, lossy("n1-n3"), "n3") == pair("n3")
    assert of_way(4, {">n3": "o9~"}, "n3") == []  # others lose to it as well
    assert of_way(4, lossy("n1-n3"), "n3", accused_lately=frozenset({"n3"})) == []
    assert of_way(4, lossy("n1-n3", "n3-n4"), "n3") == []  # it loses on another of three
    assert of_way(2, lossy("n1-n2"), "n2") == []  # nobody else reaches it


def test_it_is_no_pair_where_an_end_accused_itself_since_the_way_began_to_lose() -> None:
    """Of three nodes: what it said is a minute old and more, and the way's own sum stands."""
    for end in (ME, "n3"):
        assert of_way(3, lossy("n1-n3"), "n3", accused_at={end: 7.0}) == []
        assert of_way(3, lossy("n1-n3"), "n3", accused_at={end: 6.9}) == pair("n3")


def test_who_doubted_itself_lately_does_not_tell_that_other_ways_are_well() -> None:
    """It made fewer checks than it seems: 1 % of loss was a pair's beside a starved agent."""
    assert of_way(3, lossy("n1-n3"), "n3") == pair("n3")
    assert of_way(3, lossy("n1-n3"), "n3", doubted_lately=frozenset({"n2"})) == []
    assert of_way(4, lossy("n1-n3"), "n3", doubted_lately=frozenset({"n2", "n4"})) == []
    assert of_way(5, lossy("n1-n3"), "n3", doubted_lately=frozenset({"n2"})) == pair("n3")


def test_beside_one_that_doubts_itself_four_nodes_are_as_good_as_three() -> None:
    """One witness is enough, if it is the only other one there is."""
    doubts = {"doubted_lately": frozenset({"n2"})}
    assert of_way(4, lossy("n1-n3"), "n3", **doubts) == pair("n3")
    assert of_way(4, lossy("n1-n3", "n3-n4"), "n3", **doubts) == []


def test_two_bad_pairs_are_two_pairs() -> None:
    """Of four nodes, and of three; a single loss on another way is no sign of anything."""
    assert of_way(6, lossy("n1-n3", "n4-n5"), "n3") == pair("n3")
    assert of_way(6, lossy("n1-n3", "n1-n4"), "n3", "n4") == pair("n3", "n4")
    assert of_way(4, lossy("n1-n3", "n1-n4"), "n3", "n4") == []  # of three ways: rather the node


def test_a_way_that_loses_to_a_node_that_says_so_of_all_of_its_ways_is_the_node() -> None:
    """So that the pair, which was named before it said so, is absorbed by it."""
    mine, *others = everybody(4, {})
    heard = [replace(one, accused=Accused.LOSS_OUT) if one.node == "n3" else one for one in others]
    facts = {"accused_lately": frozenset({"n3"})}
    loses = found(mine, heard, loss={"n3": LosingWay(Direction.IN, 7.0)}, **facts)
    assert named(loses) == [("node_loss", "n3", "out", "loss")]
    assert (loses[0].explains, loses[0].since) == ({"path_n3"}, 7.0)
    assert found(mine, heard, **facts) == ()  # hearsay alone names nobody
