"""Full-size checks: what is told of them, when they are made at once, and whom their rules name."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_diagnosis import AROUND, bad, common, diagnosis, good, path
from views import ME, everybody, found, named, view

from kubenurse_otel.diagnosis.case import Vanishing
from kubenurse_otel.diagnosis.symptoms import Symptom
from kubenurse_otel.diagnosis.verdict import Direction, Kind
from kubenurse_otel.diagnosis.view import Said, View
from kubenurse_otel.errors import ErrorType
from kubenurse_otel.model import CheckResult, Measurement, Split, Target, TargetKind, Url

OUT, IN = Vanishing(Direction.OUT, 1448, 1500, 5), Vanishing(Direction.IN, 1448, 1500, 5)
LOST = ErrorType.FULL_SIZE_LOST


def full(node: str) -> Target:
    return replace(
        path(node),
        key=f"full_size_{node}",
        type="full_size",
        kind=TargetKind.FULL_SIZE,
        interval_seconds=60.0,
        full_size=True,
    )


def by_tls(target: Target) -> Target:
    return replace(target, url=Url.of("https", "10.0.0.2", 8443, "/alwayshappy"))


def lost(node: str, *, is_sent: bool = True, trace: str = "") -> CheckResult:
    measurement = Measurement(split=Split(), retransmits=5 if is_sent else 0)
    return replace(bad(full(node), LOST, trace), measurement=measurement)


def all_of(*nodes: str) -> list[Target]:
    return [*map(path, nodes), *map(full, nodes)]


# --- what is told -------------------------------------------------------------------------------


def test_full_size_is_the_word_while_small_checks_are_well() -> None:
    """And a good full-size check says no more than the small ones do."""
    one = diagnosis(*all_of("n2", "n3"))
    one.note(good(path("n2")), 0.0)
    one.note(good(full("n2")), 1.0)
    assert one.own_view(1.0).targets == {"n2": Said(Symptom.OK, 1)}
    one.note(lost("n2"), 2.0)
    assert one.own_view(2.0).targets == {"n2": Said(Symptom.FULL_SIZE, 1)}
    one.note(good(full("n2")), 3.0)
    assert one.own_view(3.0).targets == {"n2": Said(Symptom.OK, 1)}


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (ErrorType.TLS_HANDSHAKE_TIMEOUT, Symptom.FULL_SIZE),  # its hello is as large
        (ErrorType.CONNECT_TIMEOUT, Symptom.SILENT),  # nothing passes any more, whatever its size
        (ErrorType.CONNECTION_REFUSED, Symptom.REFUSED),
    ],
)
def test_which_word_is_told_where_small_checks_fail(error: ErrorType, word: Symptom) -> None:
    one = diagnosis(*all_of("n2"))
    one.note(lost("n2"), 0.0)
    one.note(bad(path("n2"), error), 1.0)
    assert one.own_view(1.0).targets["n2"].symptom is word


def test_a_full_size_check_that_fails_otherwise_is_no_word() -> None:
    """The small checks say it, and sooner; nor is what it lost counted as lost packets."""
    one = diagnosis(*all_of("n2"))
    one.note(good(path("n2")), 0.0)
    for error in (ErrorType.RESPONSE_TIMEOUT, ErrorType.CONNECT_TIMEOUT, ErrorType.HTTP_STATUS):
        one.note(bad(full("n2"), error), 1.0)
    assert one.own_view(1.0).targets == {"n2": Said(Symptom.OK, 1)}
    assert not one.wants_haste(1.0)


def test_an_interval_of_it_is_its_own() -> None:
    """It is checked each interval once it fails, and its run counts minutes all the same."""
    one = diagnosis(*all_of("n2"))
    for at in range(0, 121, 5):
        one.note(lost("n2"), float(at))
    assert one.own_view(120.0).targets["n2"] == Said(Symptom.FULL_SIZE, 3)


# --- when it is checked at once -----------------------------------------------------------------


def keys(targets: tuple[Target, ...]) -> list[str]:
    return [target.key for target in targets]


def test_nothing_is_checked_at_once_while_all_is_well() -> None:
    one = diagnosis(*all_of("n2", "n3"))
    one.note(good(path("n2")), 0.0)
    one.note(good(full("n2")), 0.0)
    assert one.sizes_wanted(30.0) == ()


@pytest.mark.parametrize("error", [ErrorType.RESPONSE_TIMEOUT, ErrorType.TLS_HANDSHAKE_TIMEOUT])
def test_a_stall_is_checked_once(error: ErrorType) -> None:
    """At once, and not for as long as it hangs: an agent that hangs is asked no more than that."""
    one = diagnosis(*all_of("n2", "n3"))
    one.note(good(full("n2")), 0.0)
    one.note(bad(path("n2"), error), 10.0)
    assert keys(one.sizes_wanted(10.0)) == ["full_size_n2"]
    one.note(bad(full("n2"), error), 20.0)
    one.note(bad(path("n2"), error), 25.0)
    assert one.sizes_wanted(40.0) == ()


def test_what_stalls_beyond_has_all_neighbours_checked_once() -> None:
    """Its TLS is large: an API server that hangs may be one to which large segments vanish."""
    beyond = common(TargetKind.API_SERVER_DIRECT)
    one = diagnosis(beyond, *all_of("n2", "n3"))
    one.note(good(full("n2")), 0.0)
    one.note(bad(beyond, ErrorType.TLS_HANDSHAKE_TIMEOUT), 20.0)
    assert keys(one.sizes_wanted(20.0)) == ["full_size_n2", "full_size_n3"]
    for node in ("n2", "n3"):
        one.note(good(full(node)), 21.0)
    one.note(bad(beyond, ErrorType.TLS_HANDSHAKE_TIMEOUT), 25.0)
    assert one.sizes_wanted(79.0) == ()


def test_once_segments_vanish_all_others_are_checked_and_it_each_interval() -> None:
    one = diagnosis(*all_of("n2", "n3"))
    one.note(good(full("n3")), 0.0)
    one.note(lost("n2"), 10.0)
    assert keys(one.sizes_wanted(11.0)) == ["full_size_n3"]
    one.note(good(full("n3")), 11.0)
    assert one.sizes_wanted(14.0) == ()
    assert keys(one.sizes_wanted(15.0)) == ["full_size_n2"]
    one.note(good(full("n2")), 16.0)
    assert one.sizes_wanted(70.0) == ()


def test_what_failed_is_checked_each_interval_until_it_is_good() -> None:
    """A node that was down for a moment is not called bad for a minute after it is up."""
    one = diagnosis(*all_of("n2"))
    one.note(bad(full("n2"), ErrorType.CONNECT_TIMEOUT), 10.0)
    one.note(good(path("n2")), 12.0)
    assert one.sizes_wanted(14.0) == ()
    assert keys(one.sizes_wanted(15.0)) == ["full_size_n2"]
    one.note(good(full("n2")), 15.0)
    assert one.sizes_wanted(30.0) == ()


def test_a_neighbours_word_is_looked_into() -> None:
    """At both ends of the way, at once and then now and then; only of whom we check ourselves."""
    one = diagnosis(*all_of("n2", "n3", "n4"))
    for node, at in (("n2", 2.0), ("n3", 0.0), ("n4", 0.0)):
        one.note(good(full(node)), at)
    one.hear(view("n2", {"n3": "f1", "n9": "f1"}), 5.0)
    assert keys(one.sizes_wanted(6.0)) == ["full_size_n3"]  # n2 was an interval ago at most
    one.note(good(full("n3")), 6.0)
    assert keys(one.sizes_wanted(7.0)) == ["full_size_n2"]
    one.note(good(full("n2")), 7.0)
    one.hear(view("n2", {"n3": "f1", "n9": "f1"}), 15.0)
    assert one.sizes_wanted(20.0) == ()
    assert keys(one.sizes_wanted(21.0)) == ["full_size_n3"]


def test_who_says_that_they_vanish_to_us_is_checked() -> None:
    """Its whole node may be behind the black hole: the sooner we know, the sooner it is named."""
    one = diagnosis(*all_of("n2", "n3"))
    for node in ("n2", "n3"):
        one.note(good(full(node)), 0.0)
    one.hear(view("n2", {ME: "f1"}), 20.0)
    assert keys(one.sizes_wanted(20.0)) == ["full_size_n2"]


# --- whom the rules name ------------------------------------------------------------------------


def of(size: int, words: dict[str, str], **more: object) -> list[tuple[str, str, str, str]]:
    mine, *heard = everybody(size, words)
    return named(found(mine, heard, **more))


@pytest.mark.parametrize(
    ("ours", "its"),
    [({"n3": OUT}, "in"), ({"n3": IN}, "out"), ({}, "")],
)
def test_a_node_to_which_full_segments_vanish(ours: dict[str, Vanishing], its: str) -> None:
    """What leaves us and does not arrive is its way in."""
    verdict = ("node_mtu", "n3", its, "full_size")
    assert of(5, {">n3": "f1"}, vanishing=ours) == [verdict]


def test_the_evidence_has_tcps_word() -> None:
    mine, *heard = everybody(5, {">n3": "f1"})
    (verdict,) = found(mine, heard, vanishing={"n3": OUT})
    assert [one.words for one in verdict.evidence][1] == (
        "segments of 1448 bytes to n3 vanish, and the kernel of n1 holds 1500 for the path MTU"
    )


def test_not_before_all_were_checked_anew() -> None:
    assert of(5, {">n3": "f1"}, sizes_are_settled=False) == []


def test_a_pair_waits_until_others_have_heard_of_it_and_looked() -> None:
    """Those that check me: they check it at once, and that hangs an interval, too.

    Of others it takes until their own next full-size check.
    """
    words = {f"{ME}>n3": "f1"}
    gone = {run: {"n3": replace(OUT, run=run)} for run in (4, 5, 10, 11)}
    pair = [("pair", f"{ME}|n3", "", "full_size")]
    assert of(5, words, vanishing=gone[4], run_alone=5) == []
    assert of(5, words, vanishing=gone[5], run_alone=5) == pair
    assert of(5, words, vanishing=gone[5], run_alone=5, sizes_are_settled=False) == []
    mine, *others = everybody(5, words)
    untold = [
        replace(one, targets={n: s for n, s in one.targets.items() if n != ME}) for one in others
    ]
    more = {"run_alone": 5, "run_of_everybody": 11}
    assert named(found(mine, untold, vanishing=gone[10], **more)) == []
    assert named(found(mine, untold, vanishing=gone[11], **more)) == pair


def test_a_pair_is_named_as_soon_as_others_have_found_that_full_segments_pass() -> None:
    """All but one of those that I tell: whose word is still to come may lose them, too."""
    words = {f"{ME}>n3": "f1"} | {f"n{other}>n3": "o9+" for other in (2, 4, 5)}
    gone = {"n3": replace(OUT, run=1)}
    pair = [("pair", f"{ME}|n3", "", "full_size")]
    assert of(5, words, vanishing=gone, run_alone=5) == pair
    assert of(5, words, vanishing=gone, run_alone=5, sizes_are_settled=False) == []
    for word in ("o9", "f1", "m2+"):
        assert of(5, words | {"n5>n3": word}, vanishing=gone, run_alone=5) == []
    many = {f"{ME}>n3": "f1"} | {f"n{other}>n3": "o9+" for other in range(4, 10)}
    (verdict,) = found(*_mine_and(everybody(9, many)), vanishing=gone, run_alone=5)
    assert verdict.culprit == f"{ME}|n3"  # n2 has said nothing yet
    assert not any("n2" in one.words for one in verdict.evidence)


def _mine_and(views: list[View]) -> tuple[View, list[View]]:
    return views[0], views[1:]


def test_who_is_told_says_that_full_segments_pass_once_they_were_checked_anew() -> None:
    """To both ends of the way that somebody loses them on; for two intervals."""
    one = diagnosis(*all_of("n2", "n3", "n4"))
    for node in ("n2", "n3", "n4"):
        one.note(good(path(node)), 1.0)
        one.note(good(full(node)), 1.0)
    one.hear(view("n2", {"n3": "f1"}), 5.0)
    assert not one.is_asked_about_sizes
    one.sizes_wanted(6.0)
    assert one.is_asked_about_sizes

    def proven(now: float) -> list[str]:
        return [node for node, said in one.own_view(now).targets.items() if said.proven]

    assert proven(6.0) == []
    one.note(good(full("n4")), 7.0)
    one.note(good(full("n2")), 7.0)
    one.note(bad(full("n3"), ErrorType.CONNECT_TIMEOUT), 7.0)
    assert proven(7.0) == ["n2"]  # nobody says anything of n4
    one.note(good(full("n3")), 12.0)
    assert proven(12.0) == ["n2", "n3"]
    assert proven(17.5) == ["n3"]


def test_where_tls_stalls_nobody_is_named_until_it_was_checked_in_full_size() -> None:
    """Its certificate may be too large for the way, and it would be its agent that hangs."""
    one = diagnosis(*map(by_tls, all_of("n2", "n3")))
    for at in (5.0, 10.0, 15.0):
        one.hear(view("n3", {"n2": "m3", ME: "o9"}), at)
        one.note(bad(by_tls(path("n2")), ErrorType.TLS_HANDSHAKE_TIMEOUT), at)
        assert one.judge(AROUND, at).verdicts == ()
    one.note(bad(by_tls(full("n2")), ErrorType.TLS_HANDSHAKE_TIMEOUT), 16.0)
    (verdict,) = one.judge(AROUND, 16.0).verdicts
    assert (verdict.kind, verdict.culprit) == (Kind.NODE, "n2")  # small segments pass no better


def test_whose_size_is_known_is_not_called_what_others_still_call_it() -> None:
    words = {f"n{other}>n3": "m2" for other in (2, 4, 5)} | {f"{ME}>n3": "f1"}
    assert of(5, words, vanishing={"n3": IN}) == [("node_mtu", "n3", "out", "full_size")]


def test_a_stranger_whose_tls_stalls_is_nothing() -> None:
    stranger = replace(by_tls(path("n3")), kind=TargetKind.EXPLORE, key="explore")
    one = diagnosis(by_tls(path("n2")), stranger)
    for at in (5.0, 10.0, 15.0):
        one.note(good(by_tls(path("n2"))), at)
        one.hear(view("n2", {"n3": "m3"}), at)
        one.note(bad(stranger, ErrorType.TLS_HANDSHAKE_TIMEOUT), at)
    assert one.judge(AROUND, 15.0).verdicts == ()


def test_on_most_of_our_ways_it_is_our_own() -> None:
    words = {f"{ME}>n{other}": "f1" for other in (2, 3, 4)}
    ours = dict.fromkeys(("n2", "n3", "n4"), IN)
    assert of(4, words, vanishing=ours, run_alone=5) == [("node_mtu", ME, "in", "full_size")]
    ours = dict.fromkeys(("n2", "n3", "n4"), replace(IN, run=4))
    early = of(4, words, vanishing=ours, run_alone=5)
    assert early == [("node_mtu", f"{ME}?", "in", "full_size")]  # others may see it, too
    alone = view(ME, {"n2": "f2", "n3": "f2"})
    assert named(found(alone, [])) == [("node_mtu", f"{ME}?", "", "full_size")]


def test_it_is_our_own_as_soon_as_others_have_found_that_theirs_pass() -> None:
    """More than half of them, to all that we lose them to and they check."""
    words = {f"{ME}>n{other}": "f1" for other in (2, 3, 4)}
    ours = dict.fromkeys(("n2", "n3", "n4"), replace(IN, run=1))
    pass_ = {"n2>n3": "o9+", "n2>n4": "o9+", "n3>n2": "o9+", "n3>n4": "o9+"}
    is_known = of(4, words | pass_, vanishing=ours, run_alone=5)
    assert is_known == [("node_mtu", ME, "in", "full_size")]
    is_half_known = of(4, words | pass_ | {"n3>n4": "o9"}, vanishing=ours, run_alone=5)
    assert is_half_known == [("node_mtu", f"{ME}?", "in", "full_size")]


def test_our_own_mtu_is_why_tls_stalls_beyond() -> None:
    mine = view(ME, dict.fromkeys(("n2", "n3", "n4"), "f2"), "D:m9 N:l9 S:o9")
    others = [view("n2", {"n3": "o9", "n4": "o9", ME: "f1"}, "D:o9 N:o9 S:o9")]
    assert named(found(mine, others, vanishing={"n3": IN})) == [("node_mtu", ME, "in", "full_size")]


def test_our_own_mtu_is_told_beside_a_dead_neighbour() -> None:
    """One way alone is left on which segments vanish: what stalls beyond tells that it is us."""
    mine = view(ME, {"n2": "f1", "n3": "r9"}, "D:m6 N:m6 I:m6")
    others = [view("n2", {ME: "f1", "n3": "r9"}, "D:o9 N:o9 I:o9")]
    mtu = ("node_mtu", ME, "in", "full_size")
    found_ = named(found(mine, others, vanishing={"n2": IN}, run_alone=5))
    assert found_ == [mtu, ("agent", "n3", "", "refused")]


@pytest.mark.parametrize(("run", "settled"), [(1, True), (9, False)])
def test_what_stalls_beyond_is_not_blamed_before_we_know(run: int, *, settled: bool) -> None:
    """Neither while our own MTU is a suspicion, nor before full-size checks were made."""
    vanish = view(ME, dict.fromkeys(("n2", "n3", "n4"), f"f{run}"), "D:m9 N:m9 I:l9 S:o9")
    others = [view(node, {ME: "o9"}, "D:o9 N:o9 I:o9 S:o9") for node in ("n2", "n3", "n4")]
    found_ = named(found(vanish, others, sizes_are_settled=settled))
    assert found_ == [("node_mtu", f"{ME}?", "", "full_size")]
    well = view(ME, dict.fromkeys(("n2", "n3", "n4"), "o9"), "D:m9 N:m9 I:o9 S:o9")
    found_ = named(found(well, others, sizes_are_settled=settled))
    assert found_ == [("api_server", ME, "", "mute")] * settled


def test_a_stall_beyond_is_settled_by_full_size_checks_that_began_after_it() -> None:
    beyond = common(TargetKind.API_SERVER_DIRECT)
    one = diagnosis(beyond, *all_of("n2", "n3"))
    one.hear(view("n2", {"n3": "o9"}, "D:m9"), 18.0)
    for node in ("n2", "n3"):
        one.note(good(path(node)), 0.0)
        one.note(good(full(node)), 0.0)
    for at in (8.0, 18.0):
        one.note(bad(beyond, ErrorType.TLS_HANDSHAKE_TIMEOUT), at)
    assert one.judge(AROUND, 18.0).verdicts == ()
    for node in ("n2", "n3"):
        one.note(good(full(node)), 19.0)
    (verdict,) = one.judge(AROUND, 19.0).verdicts
    assert (verdict.kind, verdict.culprit) == (Kind.API_SERVER, "cluster")


def test_on_everybodys_ways_it_is_the_network() -> None:
    words = {f">n{number}": "f1" for number in range(1, 6)}
    assert of(5, words) == [("node_mtu", "cluster", "", "full_size")]


def test_who_loses_them_everywhere_accuses_nobody() -> None:
    """A neighbour that loses full segments on all its ways is no witness against one of them."""
    words = {f"n2>n{other}": "f3" for other in (1, 3, 4)} | {f"{ME}>n3": "f1", "n4>n3": "f1"}
    assert of(4, words) == []


def test_what_does_not_answer_for_lost_packets_says_nothing_of_its_size() -> None:
    """An end of a pair with a small MTU that loses packets, too: at times silent to the third."""
    words = {f"{ME}>n3": "f3", "n2>n3": "s1~"}
    lossy = {"accused_lately": frozenset({"n3"}), "vanishing": {"n3": OUT}}
    assert ("node_mtu", "n3", "in", "full_size") not in of(3, words, **lossy)
    assert of(3, words, vanishing={"n3": OUT}) == [("node_mtu", "n3", "in", "full_size")]


def test_two_nodes_alone_suspect_it() -> None:
    assert of(2, {">n2": "f3"}) == [("node_mtu", "n2?", "", "full_size")]
