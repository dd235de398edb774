"""Each rule on a case of its own: what it concludes, and from what it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from views import ME, everybody, found, named, said, view

from kubenurse_otel.diagnosis.case import Facts, LongerWays, Vanishing
from kubenurse_otel.diagnosis.order import diagnose
from kubenurse_otel.diagnosis.verdict import Direction
from kubenurse_otel.diagnosis.view import Accused, Shared


def of(size: int, words: dict[str, str], **more: object) -> list[tuple[str, str, str, str]]:
    mine, *heard = everybody(size, words)
    return named(found(mine, heard, **more))


# --- is it me? ----------------------------------------------------------------------------------


def test_an_agent_that_doubts_itself_says_nothing_of_others() -> None:
    mine = view(ME, {"n2": "s9", "n3": "s9"}, "D:s9", doubt=3)
    assert named(found(mine, [])) == [("prober", ME, "", "starved")]
    mine = view(ME, {"n2": "s9", "n3": "o9"}, doubt=2)
    assert named(found(mine, [view("n3", {"n2": "s9"})])) == [("node", "n2", "", "silent")]


def test_an_agent_that_delays_its_checks_says_the_rest_too() -> None:
    assert of(3, {">n3": "s1"}, is_sick=True) == [
        ("prober", ME, "", "starved"),
        ("node", "n3", "", "silent"),
    ]


@pytest.mark.parametrize(
    ("paths", "shared", "is_cut_off"),
    [
        ({"n2": "s1", "n3": "l1"}, "D:s1 N:d1 S:d1", True),
        ({"n2": "s1", "n3": "o9"}, "D:s1 N:d1 S:d1", False),  # a neighbour answers
        ({"n2": "s1", "n3": "s1"}, "D:o9 N:d1 S:d1 I:d1 Q:d1", False),  # the API server answers
        ({"n2": "r1", "n3": "r1"}, "D:s1 N:d1 S:d1", False),  # somebody refuses
        ({"n2": "s1", "n3": "s1"}, "D:s1", False),  # too little else is checked
    ],
)
def test_where_nothing_comes_back_our_node_is_cut_off(
    paths: dict[str, str], shared: str, *, is_cut_off: bool
) -> None:
    verdicts = named(found(view(ME, paths, shared), []))
    assert (verdicts == [("node", ME, "", "cut_off")]) is is_cut_off


def test_full_size_segments_that_die_on_all_our_ways_are_our_own_node() -> None:
    mtu = ("node_mtu", ME, "", "full_size")
    gone = {node: Vanishing(Direction.NONE, run=5) for node in ("n2", "n3")}
    assert of(3, {f"{ME}>n2": "f2", f"{ME}>n3": "f2"}, run_alone=5, vanishing=gone) == [mtu]
    early = of(3, {f"{ME}>n2": "f1", f"{ME}>n3": "f1"}, run_alone=5)  # others may not know yet
    assert mtu not in early
    everywhere = of(4, {f">n{number}": "f5" for number in range(1, 5)}, run_alone=5)
    assert everywhere == [("node_mtu", "cluster", "", "full_size")]
    mine = view(ME, {"n2": "f5", "n3": "f5"}, "D:m5 I:l5")
    words = "D:o9 I:o9"
    well = [view("n2", {"n3": "o9"}, words), view("n3", {"n2": "o9"}, words)]
    assert named(found(mine, well, vanishing=gone)) == [mtu]


def test_agents_that_are_dead_say_nothing_of_the_size_of_segments() -> None:
    """Of all ways that answer most lose large ones: it is the cluster's MTU, and no node's."""
    gone = {f">n{number}": "r2" for number in range(1, 5)}
    lost = {f">n{number}": "f2" for number in range(5, 13)}
    kinds = {(kind, culprit) for kind, culprit, *_ in of(12, gone | lost)}
    assert {culprit for kind, culprit in kinds if kind == "node_mtu"} == {"cluster"}
    assert {culprit for kind, culprit in kinds if kind == "agent"} == {"n2", "n3", "n4"}


@pytest.mark.parametrize(
    ("shared", "paths", "verdicts"),
    [
        # Two ends that have this node alone in common connect, and then say nothing.
        ("D:m5 N:m5 I:m4 S:o9", "o9", [("node_mtu", ME, "", "full_size")]),
        ("D:l5 N:l5 I:l2 S:o9", "o9", [("node_mtu", ME, "", "full_size")]),
        ("D:m5 N:m5 I:o9 S:o9", "o9", [("api_server", ME, "", "mute")]),
        (
            "D:s5 N:s5 I:m5 S:o9",
            "o9",
            [("api_server", ME, "", "silent"), ("ingress", ME, "", "mute")],
        ),
        ("D:m4 N:m4 I:m4 S:o9", "o9", []),  # what others say may be older
    ],
)
def test_far_ends_that_connect_and_are_mute_for_us_alone_are_our_mtu(
    shared: str, paths: str, verdicts: list[tuple[str, str, str, str]]
) -> None:
    mine = view(ME, {"n2": paths, "n3": paths}, shared)
    well = "D:o9 N:o9 I:o9 S:o9"
    heard = [view("n2", {ME: "o9", "n3": "o9"}, well), view("n3", {ME: "o9", "n2": "o9"}, well)]
    assert named(found(mine, heard, run_alone=5)) == verdicts


@pytest.mark.parametrize(
    ("mine", "others", "expected"),
    [
        ("D:s5 N:s5 I:m5", "D:s5 N:s5 I:o9", {("node_mtu", ME), ("api_server", "cluster")}),
        ("D:m5 N:m5 I:s5", "D:o9 N:o9 I:s5", {("node_mtu", ME), ("ingress", "cluster")}),
        ("D:m5 N:d5 I:d5 Q:d5", "D:o9 N:d5 I:d5 Q:d5", {("node_mtu", ME), ("dns", "cluster")}),
        ("D:o9 N:d5 I:m5", "D:o9 N:o9 I:o9", {("ingress", ME)}),
    ],
)
def test_where_the_other_far_end_is_bad_for_all_one_is_enough_for_our_mtu(
    mine: str, others: str, expected: set[tuple[str, str]]
) -> None:
    """It was this node's API server, or its ingress, beside the cluster's DNS or API server."""
    heard = [view("n2", {ME: "o9", "n3": "o9"}, others), view("n3", {ME: "o9"}, others)]
    seen = found(view(ME, {"n2": "o9", "n3": "o9"}, mine), heard, run_alone=5)
    assert {(one.kind.value, one.culprit) for one in seen} == expected


@pytest.mark.parametrize(("dead", "is_ours"), [(("n3",), True), (("n2", "n3"), False)])
def test_neighbours_that_are_dead_do_not_hide_our_mtu(
    dead: tuple[str, ...], *, is_ours: bool
) -> None:
    """While half of them answer; the API server and the ingress are not named for it as well."""
    targets = dict.fromkeys(("n2", "n3"), "o9") | dict.fromkeys(dead, "s9")
    mine = view(ME, targets, "D:m6 N:m6 I:m6")
    heard = [view("n4", {ME: "o9", **targets}, "D:o9 N:o9 I:o9")]
    kinds = {(kind, culprit) for kind, culprit, *_ in named(found(mine, heard, run_alone=5))}
    assert (("node_mtu", ME) in kinds) is is_ours
    assert (("api_server", ME) in kinds) is not is_ours


def slow(
    long: str,
    *,
    also_slow: int = 0,
    new: int = 0,
    run: int = 5,
    zones: dict[str, str] | None = None,
    were_everybodys: bool = False,
) -> list[tuple[str, str, str, str]]:
    """Of nine nodes, the round trips from n1 to those in ``long`` are; ``also_slow`` say so, and
    the last ``new`` do not know yet.
    """
    mine, *heard = everybody(9, {})
    heard = [
        replace(
            one,
            accused=Accused.SLOW if number < also_slow else Accused.NOTHING,
            compares=number < len(heard) - new,
        )
        for number, one in enumerate(heard)
    ]
    factors = {node: 4.2 * (node in long.split()) for node in mine.targets}
    longer = LongerWays(factors=factors, run=run, were_everybodys=were_everybodys)
    return named(found(mine, heard, longer=longer, zones=zones or {}, run_alone=5))


ALL_OTHERS = " ".join(f"n{number}" for number in range(2, 10))


def test_longer_round_trips_to_most_are_our_own_node_unless_others_say_so_of_theirs() -> None:
    assert slow(ALL_OTHERS) == [("node_slow", ME, "", "slow")]
    assert slow(ALL_OTHERS, also_slow=3) == [("node_slow", ME, "", "slow")]
    assert slow(ALL_OTHERS, also_slow=4, run=1) == [("node_slow", "cluster", "", "slow")]
    # Others are to have had the time to find it, and to say it.
    assert slow(ALL_OTHERS, run=4) == [("node_slow", f"{ME}?", "", "slow")]


def test_who_knows_no_usual_round_trips_is_no_witness_that_its_own_are_usual() -> None:
    """It was started lately; or so late that it takes for usual what all have now."""
    assert slow(ALL_OTHERS, also_slow=3, new=2) == [("node_slow", "cluster", "", "slow")]
    assert slow(ALL_OTHERS, new=8) == [("node_slow", f"{ME}?", "", "slow")]
    assert slow(ALL_OTHERS, were_everybodys=True) == [("node_slow", "cluster", "", "slow")]


def test_longer_round_trips_between_zones_are_not_our_own_node() -> None:
    """Zone a, ours, has n1, n4 and n7."""
    assert slow(ALL_OTHERS, zones=ZONES) == [("node_slow", ME, "", "slow")]
    assert slow("n2 n3 n5 n6 n8 n9", zones=ZONES) == []
    assert slow("n2 n4 n5 n6 n7 n8", zones=ZONES) == []  # and not those to n3 and n9
    alone = ZONES | dict.fromkeys(("n4", "n7"), "b")
    assert slow(ALL_OTHERS, zones=alone) == [("node_slow", ME, "", "slow")]


def test_a_node_that_is_leaving_is_not_named() -> None:
    mine = view(ME, {"n2": "o9", "n3": "o9"})
    assert named(found(mine, [], is_sick=True)) == [("prober", ME, "", "starved")]
    leaving = Facts(nodes=3, known=frozenset({"n2", "n3"}), is_sick=True)
    assert diagnose(mine, {}, leaving) == ()
    dead = view(ME, {"n2": "o9", "n3": "s9"})
    known = frozenset({ME, "n2"})  # n3 is leaving
    heard = {"n2": view("n2", {"n3": "s9"})}
    assert diagnose(dead, heard, Facts(nodes=3, known=known)) == ()


# --- is it more than one node? ------------------------------------------------------------------

ZONES = {f"n{number}": "abc"[(number - 1) % 3] for number in range(1, 10)}
"""n1, n4, n7 are in a; n2, n5, n8 in b; n3, n6, n9 in c."""
IN_B = ("n2", "n5", "n8")


def test_a_zone_that_all_others_miss_is_the_zone() -> None:
    assert of(9, {f">{node}": "s1" for node in IN_B}, zones=ZONES) == [("zone", "b", "", "silent")]


def test_a_zone_does_not_stand_out_where_as_many_fail_elsewhere_or_its_agents_refuse() -> None:
    """Of 16 nodes both of b are dead, and two others: nobody knows that it is the zone."""
    zones = {f"n{number}": "acd"[number % 3] for number in range(1, 17)} | {"n2": "b", "n6": "b"}
    dead = {">n2": "s1", ">n6": "s1", ">n3": "s1"}
    assert of(16, dead, zones=zones)[0] == ("zone", "b", "", "silent")
    assert {kind for kind, *_ in of(16, dead | {">n4": "s1"}, zones=zones)} == {"node"}
    assert {kind for kind, *_ in of(16, {">n2": "r2", ">n6": "r2"}, zones=zones)} == {"agent"}
    mixed = of(16, {">n2": "s2", ">n6": "m2"}, zones=zones)
    assert {kind for kind, *_ in mixed} == {"node", "agent"}
    both = of(16, {">n2": "r2", ">n6": "f2"}, zones=zones)  # somebody is there: it is not gone
    assert {kind for kind, *_ in both} == {"agent", "node_mtu"}


def test_a_zone_that_third_zones_reach_is_cut_from_ours() -> None:
    words = {f"{one}>{other}": "s3" for one in ("n1", "n4", "n7") for other in IN_B}
    assert of(9, words, zones=ZONES) == [("zone_pair", "a|b", "", "silent")]
    for letter, cause in (("s", "silent"), ("r", "refused")):
        for run, is_named in ((4, False), (5, True)):  # what third zones say may be older
            verdicts = of(9, dict.fromkeys(words, f"{letter}{run}"), zones=ZONES, run_alone=5)
            assert (("zone_pair", "a|b", "", cause) in verdicts) is is_named


def test_a_zone_of_dead_agents_that_is_cut_from_ours_is_not_called_silent() -> None:
    """They refuse others, so it is there: what we miss are its agents."""
    words = {f">{node}": "r3" for node in IN_B}
    words |= {f"{one}>{other}": "s3" for one in ("n1", "n4", "n7") for other in IN_B}
    mine, *heard = everybody(9, words)
    heard = [one for one in heard if one.node not in IN_B]
    agents = [("agent", node, "", "refused") for node in IN_B]
    assert named(found(mine, heard, zones=ZONES)) == agents


def test_dead_agents_elsewhere_do_not_hide_that_a_zone_is_cut_from_ours() -> None:
    words = {f"{one}>{other}": "s3" for one in ("n1", "n4", "n7") for other in IN_B}
    words |= {">n4": "r3", ">n7": "r3"}
    mine, *heard = everybody(9, words)
    heard = [one for one in heard if one.node not in ("n4", "n7")]
    agents = [("agent", node, "", "refused") for node in ("n4", "n7")]
    zones = ("zone_pair", "a|b", "", "silent")
    assert named(found(mine, heard, zones=ZONES)) == [zones, *agents]


def test_who_sees_small_segments_answered_does_not_say_that_a_node_is_silent() -> None:
    """A zone is cut from ours in a cluster whose MTU is a lie: third zones reach it, in part."""
    zones = {ME: "a", "n2": "a", "n3": "b", "n4": "c", "n5": "c"}
    mine = view(ME, {"n3": "s2"})
    for third, verdicts in (("f2", []), ("s2", [("node", "n3", "", "silent")])):
        heard = [view("n2", {"n3": "s2"}), *(view(one, {"n3": third}) for one in ("n4", "n5"))]
        assert named(found(mine, heard, zones=zones, nodes=9)) == verdicts


def test_one_node_of_a_zone_is_no_zone() -> None:
    assert of(9, {">n2": "s3"}, zones=ZONES) == [("node", "n2", "", "silent")]


def test_virtual_ips_that_are_silent_everywhere_are_the_service_path() -> None:
    words = "D:s2 S:d2 Q:d2"
    mine = view(ME, {"n2": "o9", "n3": "o9"}, words)
    others = [view("n2", {ME: "o9"}, words), view("n3", {ME: "o9"}, words)]
    assert named(found(mine, others)) == [("service_path", "cluster", "", "silent")]


def test_virtual_ips_that_are_silent_here_alone_are_this_node() -> None:
    mine = view(ME, {"n2": "o9", "n3": "o9"}, "D:s3 S:d3 Q:d3")
    well = "D:o9 S:o9 Q:o9"
    others = [view("n2", {ME: "o9"}, well), view("n3", {ME: "o9"}, well)]
    assert named(found(mine, others)) == [("service_path", ME, "", "silent")]
    assert named(found(mine, [])) == [("service_path", ME, "", "silent")]
    mine = view(ME, {}, "D:s3 S:d3 Q:d3")
    assert named(found(mine, [], nodes=2)) == [("service_path", ME + "?", "", "silent")]


# --- is it one node? ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "verdict"),
    [
        ("s1", ("node", "n3", "", "silent")),
        ("l2", ("node", "n3", "", "stalled")),
        ("r2", ("agent", "n3", "", "refused")),
        ("m2", ("agent", "n3", "", "mute")),
        ("c2", ("agent", "n3", "", "cut")),
        ("f2", ("node_mtu", "n3", "", "full_size")),
    ],
)
def test_what_all_miss_is_named(word: str, verdict: tuple[str, str, str, str]) -> None:
    assert of(3, {">n3": word}) == [verdict]
    assert of(5, {">n3": word}) == [verdict]


def test_a_node_that_refuses_somebody_is_not_silent() -> None:
    """Its agent is dead, and the way to it from some of the others."""
    agent = [("agent", "n5", "", "refused")]
    assert of(5, {">n5": "s2", "n4>n5": "r2"}) == agent
    assert of(5, {">n5": "s2", f"{ME}>n5": "r2"}) == agent
    assert of(5, {">n5": "s1", "n4>n5": "r1"}) == []  # it may only be restarted


def test_only_silence_is_enough_at_once() -> None:
    assert of(3, {">n3": "r1"}) == []


def test_an_agent_on_a_node_that_is_not_ready_is_a_frozen_node() -> None:
    verdict = ("node", "n3", "", "frozen")
    assert of(4, {">n3": "m3"}, not_ready=frozenset({"n3"})) == [verdict]


def test_three_of_four_are_enough_and_two_are_not() -> None:
    words = {">n5": "s3", "n2>n5": "o9"}
    assert of(5, words) == [("node", "n5", "", "silent")]
    assert of(5, words | {"n3>n5": "o9"}) == [("node", "n5?", "", "silent")]


def test_in_a_large_cluster_it_takes_two_zones_or_its_own() -> None:
    """From one zone alone it may be the way from there."""
    nodes = {f"n{number}": "b" if number == 9 else "a" for number in range(1, 10)}
    assert of(9, {">n9": "s2"}, zones=nodes) == []
    assert of(9, {">n9": "s2"}, zones=nodes | {"n2": "c"}) == [("node", "n9", "", "silent")]


def test_half_open_connections_tell_that_it_is_reached_by_nobody_and_reaches_others() -> None:
    mine = view(ME, {"n2": "o9", "n3": "s2"}, half_open=("n3",))
    other = view("n2", {ME: "o9", "n3": "s2"}, half_open=("n3",))
    assert named(found(mine, [other])) == [("node", "n3", "in", "silent")]


def test_a_pod_that_may_have_moved_is_a_suspicion() -> None:
    """Discovery fails, and the API server answers: the address may be an old one."""
    mine = view(ME, {"n2": "o9", "n3": "s3"}, "D:o9")
    other = [view("n2", {"n3": "s3"})]
    assert named(found(mine, other, discovery_is_well=False)) == [("node", "n3?", "", "silent")]


def test_a_neighbour_that_doubted_itself_is_starved_and_not_hung() -> None:
    assert of(3, {">n3": "m3"}, doubting=frozenset({"n3"})) == [("prober", "n3", "", "starved")]


def test_a_neighbour_that_named_itself_is_not_named_again() -> None:
    assert of(3, {">n3": "s3"}, lost_lately=frozenset({"n3"})) == []


def test_what_i_alone_miss_is_the_pair() -> None:
    assert of(4, {"n1>n3": "s3"}) == [("pair", "n1|n3", "", "silent")]
    assert of(4, {"n1>n3": "s2"}) == []  # the others' word may be older than the fault
    suspected = [("node", "n3?", "", "silent")]  # as old as views may be where they count long
    assert of(4, {"n1>n3": "s4"}, run_alone=5) == suspected
    assert of(4, {"n1>n3": "s5"}, run_alone=5) == [("pair", "n1|n3", "", "silent")]
    assert of(4, {"n1>n3": "m3"}) == [("agent", "n3?", "", "mute")]  # both ways are good


def test_a_mute_agent_of_whom_nobody_else_speaks_is_the_agent() -> None:
    mine = view(ME, {"n2": "m3"})
    assert named(found(mine, [])) == [("agent", "n2", "", "mute")]


def test_of_two_nodes_a_silent_one_is_a_suspicion() -> None:
    mine = view(ME, {"n2": "s9"}, "D:o9 Q:o9")
    assert named(found(mine, [])) == [("node", "n2?", "", "silent")]


# --- is it what all share? ----------------------------------------------------------------------


def shared(mine: str, *others: str, **more: object) -> list[tuple[str, str, str, str]]:
    """What n1 concludes; all neighbours are well."""
    heard = [view(f"n{number}", {ME: "o9"}, words) for number, words in enumerate(others, 2)]
    paths = {one.node: "o9" for one in heard}
    return named(found(view(ME, paths, mine), heard, **more))


@pytest.mark.parametrize(
    ("letter", "kind", "cause"),
    [("d", "dns", "silent"), ("e", "dns", "failing"), ("n", "dns", "unknown")],
)
def test_dns_is_everybodys_or_mine(letter: str, kind: str, cause: str) -> None:
    word = f"Q:{letter}2"
    assert shared(word, word, word) == [(kind, "cluster", "", cause)]
    assert shared(f"Q:{letter}5", "Q:o9", "Q:o9", run_alone=5) == [(kind, ME, "", cause)]
    assert shared(f"Q:{letter}4", "Q:o9", "Q:o9", run_alone=5) == []  # theirs may be older
    assert shared(f"Q:{letter}2", nodes=1) == [(kind, "cluster", "", cause)]


def test_one_replica_that_is_silent_is_not_dns_that_is_silent() -> None:
    assert shared("Q:p3", "Q:p3", "Q:d1", "Q:o2") == [("dns_replica", "cluster", "", "part")]
    assert shared("Q:q3", "Q:q3", "Q:q1") == [("dns_loss", "cluster", "", "lossy")]
    assert shared("Q:q3", "Q:p3", "Q:p1", "Q:q1") == [("dns_replica", "cluster", "", "part")]
    assert shared("Q:p2", "Q:p3", "Q:p3") == []
    assert shared("Q:p5", "Q:o1", "Q:o1") == []  # they may not have met it yet
    assert shared("Q:p9", "Q:o1") == [("dns_replica", ME + "?", "", "part")]
    assert shared("Q:p6", "Q:o1", "Q:o1") == [("dns_replica", ME, "", "part")]


def test_names_that_are_found_late_are_the_search_path() -> None:
    """Each agent's pod has the path: no node is named for it."""
    path = ("search_path", "cluster", "", "detour")
    assert shared("Q:o9", "Q:o9", detour_seconds=0.08) == [path]
    assert shared("Q:o9", "Q:o9", detour_seconds=0.04) == []


@pytest.mark.parametrize(
    ("letter", "kind"), [("D", "api_server"), ("N", "api_server"), ("I", "ingress")]
)
def test_what_all_check_is_bad_for_all_or_for_me(letter: str, kind: str) -> None:
    for word, cause in {"s": "silent", "b": "broken", "w": "slow", "r": "refused"}.items():
        bad, good = f"{letter}:{word}", f"{letter}:o9"
        assert shared(f"{bad}2", f"{bad}1", f"{bad}2") == [(kind, "cluster", "", cause)]
        assert shared(f"{bad}3", good, good) == [(kind, ME, "", cause)]
        assert shared(f"{bad}2", good, good) == []
        assert shared(f"{bad}5", good) == []  # one witness alone has to be heard for longer
        assert shared(f"{bad}6", good) == [(kind, ME, "", cause)]
        assert shared(f"{bad}3", nodes=1) == [(kind, "cluster", "", cause)]


def test_both_ways_to_the_api_server_are_one_finding() -> None:
    both = "D:r2 N:r2"
    assert shared(both, both, both) == [("api_server", "cluster", "", "refused")]


def test_a_certificate_and_a_token_have_words_of_their_own() -> None:
    assert shared("I:x2", "I:x2", "I:x1") == [("certificate", "ingress", "", "certificate")]
    assert shared("D:t2", "D:t2", "D:t1") == [("prober", "cluster", "", "token")]
    assert shared("D:t3", "D:o9", "D:o9") == [("prober", ME, "", "token")]


def test_whose_token_is_refused_alone_is_not_everybody_beside_an_api_server_that_is_slow() -> None:
    """Those that it is slow for were answered well: nor is it slow for me alone."""
    assert shared("D:t3", "D:w9", "D:w9") == [("prober", ME, "", "token")]
    assert shared("I:x3", "I:b9", "I:b9") == [("ingress", ME, "", "certificate")]


@pytest.mark.parametrize(
    ("mine", "others", "cause"),
    [
        ("I:x9", "I:s9", "certificate"),
        ("D:t9", "D:r9", "token"),
        ("D:t9", "D:x9", "token"),
        ("I:b9", "I:x9", "broken"),
    ],
)
def test_who_did_not_get_as_far_as_i_has_not_seen_that_it_is_well(
    mine: str, others: str, cause: str
) -> None:
    """An ingress of two replicas, both bad: whoever met the other one was taken for well."""
    kind = "ingress" if mine.startswith("I") else "prober" if cause == "token" else "api_server"
    assert shared(mine, others, others) == [(kind, ME + "?", "", cause)]


def test_who_found_no_name_has_not_seen_what_it_is_of() -> None:
    """A silent ingress, while others fail by DNS, was said to be silent from here alone."""
    assert shared("I:s9", "I:d3", "I:d3") == [("ingress", ME + "?", "", "silent")]
    assert shared("I:s9", "I:s3", "I:d3", "I:d3") == [("ingress", "cluster", "", "silent")]


def test_who_met_a_bad_backend_a_minute_ago_has_seen_the_same() -> None:
    """One of three backends is silent. Who met it five times in a row was said to be alone."""
    lately = {Shared.ME_INGRESS: frozenset({"n2", "n3"})}
    everybody = [("ingress", "cluster", "", "silent")]
    assert shared("I:s2", "I:o1", "I:o1", bad_lately=lately) == everybody
    assert shared("I:s9", "I:o1", "I:o9", "I:o9", "I:o9", bad_lately=lately) == everybody
    few = {Shared.ME_INGRESS: frozenset({"n2"})}
    assert shared("I:s9", "I:o1", "I:o9", "I:o9", bad_lately=few) == []
    assert shared("I:x9", "I:o1", "I:o1", bad_lately=lately) == [("ingress", ME, "", "certificate")]


def test_an_extra_check_is_a_suspicion_unless_there_is_nobody_else() -> None:
    extras = {"shop": said("s3")}
    assert shared("", "", extras=extras) == [("extra", "shop?", "", "silent")]
    assert shared("", nodes=1, extras=extras) == [("extra", "shop", "", "silent")]
    assert shared("", "", extras={"shop": said("x3")}) == [
        ("certificate", "shop?", "", "certificate")
    ]


def test_our_service_fails_more_often_than_its_bad_backends_explain() -> None:
    assert shared("D:o9 S:s3", "S:s3", "S:o9") == [("service", "cluster", "", "silent")]
    assert shared("D:o9 S:s3", "S:o9", "S:o9") == [("service", ME, "", "silent")]


def test_an_agent_that_doubted_itself_may_be_why_our_service_fails() -> None:
    """It answers some: the Service was named, from the node that met it three times in a row."""
    lately = {"doubted_lately": frozenset({"n3"})}
    assert shared("D:o9 S:m3", "S:o9", "S:o9", **lately) == []
    assert shared("D:o9 S:m9", "S:m9", "S:m9", **lately) == [("service", "cluster", "", "mute")]


def test_first_look_ups_that_meet_a_silent_replica_are_not_everybodys_dns() -> None:
    """Half of them do: in a large cluster some agent hears of nothing else for a moment."""
    just_now, well = ["Q:d1"] * 6, ["Q:o1"] * 3 + ["Q:p1"] * 3
    assert shared("Q:d2", *just_now, *well) == []
    assert shared("Q:d2", *just_now, *just_now, *well[:4]) == [("dns", "cluster", "", "silent")]
    assert shared("Q:d2", *["Q:d2"] * 6, *well) == [("dns", "cluster", "", "silent")]


def test_while_a_virtual_ip_was_not_asked_yet_nobody_says_dns_or_api_server() -> None:
    """It may be the service path: what was well before says nothing now."""
    words = "D:s2 S:o9 Q:d2 N:d2"
    assert shared(words, words, words, is_settled=False) == []


# --- agents that answer, and not well -----------------------------------------------------------


@pytest.mark.parametrize(("letter", "cause"), [("b", "broken"), ("w", "slow")])
def test_an_agent_that_answers_most_of_them_badly_is_named(letter: str, cause: str) -> None:
    assert of(4, {">n3": f"{letter}2"}) == [("agent", "n3", "", cause)]
    assert of(4, {"n1>n3": f"{letter}9"}) == []
    assert of(4, {">n3": f"{letter}1"}) == []


def test_one_certificate_is_its_agents_and_that_of_most_is_all_agents() -> None:
    assert of(4, {">n3": "x2"}) == [("certificate", "n3", "", "certificate")]
    shared_one = {">n2": "x2", ">n3": "x2", ">n4": "x2"}
    assert of(4, shared_one) == [("certificate", "agents", "", "certificate")]


def test_a_way_into_a_zone_that_others_of_mine_miss_as_well_is_no_pair() -> None:
    """I check one node of it only, and too few ways are known to say that the zones are cut."""
    mine = view(ME, {"n4": "o9", "n2": "s3", "n3": "o9"})
    heard = [view("n4", {"n5": "s1"}), view("n3", {"n2": "o9"}), view("n6", {"n2": "o9"})]
    zones = {node: ZONES[node] for node in ("n1", "n2", "n3", "n4", "n5", "n6")}
    assert named(found(mine, heard, zones=zones)) == [("node", "n2?", "", "silent")]
