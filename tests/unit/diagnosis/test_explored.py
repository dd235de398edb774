"""Explored agents: a failure is a witness, alone it names nobody, and whom to ask first."""

from __future__ import annotations

from dataclasses import replace

from test_diagnosis import bad, diagnosis, good, neighbour, path
from views import found, named, view

from kubenurse_otel.diagnosis.diagnosis import Diagnosis
from kubenurse_otel.diagnosis.explored import Wanted
from kubenurse_otel.diagnosis.symptoms import Symptom
from kubenurse_otel.diagnosis.view import Said
from kubenurse_otel.errors import ErrorType
from kubenurse_otel.model import Neighbourhood, Target, TargetKind
from kubenurse_otel.ring import node_hash

NODES = sorted((f"n{number}" for number in range(1, 21)), key=node_hash)
"""As the ring has them: each checks the four after it."""
ME, *REST = NODES
CHOSEN, OTHER = REST[:4], REST[9]
AROUND = Neighbourhood(
    chosen=tuple(map(neighbour, CHOSEN)),
    known=tuple(map(neighbour, REST)),
    state="ok",
    own_node_name=ME,
)


def explored(node: str) -> Target:
    return replace(path(node), key="explore", type="explore", kind=TargetKind.EXPLORE)


def ours() -> Diagnosis:
    one = diagnosis(*map(path, CHOSEN), explored(REST[-1]))
    one.judge(AROUND, 0.0)
    return one


def test_what_fails_is_told_and_what_is_well_is_not() -> None:
    one = ours()
    one.note(good(explored(REST[10])), 0.0)
    one.note(bad(explored(OTHER)), 5.0)
    assert one.own_view(5.0).targets == {OTHER: Said(Symptom.SILENT, 1)}
    assert one.own_view(30.0).targets == {}


def test_it_counts_no_lost_packets_and_no_round_trips() -> None:
    one = ours()
    for at in range(100):
        one.note(bad(explored(OTHER), ErrorType.RESPONSE_TIMEOUT), float(at))
    assert not one.wants_haste(100.0)


def test_alone_it_names_nobody() -> None:
    """Not even as a suspicion: discovery reads less of those that are no neighbours."""
    one = ours()
    for at in range(0, 60, 10):
        one.note(bad(explored(OTHER)), float(at))
        assert one.judge(AROUND, float(at)).verdicts == ()


def test_with_witnesses_it_names_the_node_or_the_pair() -> None:
    mine, more = view("n1", {"n9": "s5"}), {"explored": frozenset({"n9"})}
    others = [view(f"n{number}", {"n9": "s2"}) for number in (2, 3)]
    assert named(found(mine, others, **more)) == [("node", "n9", "", "silent")]
    others = [view(f"n{number}", {"n9": "o9"}) for number in (2, 3)]
    assert named(found(mine, others, **more)) == [("pair", "n1|n9", "", "silent")]
    assert named(found(mine, [], **more)) == []


def test_nothing_is_wanted_first_while_all_is_well() -> None:
    one = ours()
    one.note(good(path(CHOSEN[0])), 0.0)
    one.note(good(explored(OTHER)), 0.0)
    assert one.explore_first(1.0) == Wanted()


def test_a_suspects_other_checkers_are_wanted() -> None:
    """The next one on the ring is checked by us and by those before us: we hear none of them."""
    one = ours()
    one.note(bad(path(CHOSEN[0])), 0.0)
    assert set(one.explore_first(1.0).witnesses) == set(REST[-3:])
    one.note(good(path(CHOSEN[0])), 5.0)
    assert one.explore_first(5.0) == Wanted()


def test_enough_of_our_own_neighbours_check_the_fourth() -> None:
    """They answer us anyway."""
    one = ours()
    one.note(bad(path(CHOSEN[3])), 0.0)
    assert one.explore_first(1.0).witnesses == ()


def test_of_large_segments_those_are_wanted_who_were_told() -> None:
    """Our neighbours do not check us: they do not hear what we see, and check no sooner for it."""
    six, node = REST[:6], REST[3]
    size = replace(path(node), key="size", kind=TargetKind.FULL_SIZE, full_size=True)
    one = diagnosis(*map(path, six), size)
    one.judge(replace(AROUND, chosen=tuple(map(neighbour, six))), 0.0)
    one.note(good(path(node)), 0.0)
    one.note(bad(size, ErrorType.FULL_SIZE_LOST), 0.0)
    assert set(one.explore_first(1.0).witnesses) == set(REST[-2:])
    one.note(bad(path(node)), 5.0)
    assert one.explore_first(5.0).witnesses == ()  # it is silent: three of ours check it, too


def test_what_failed_is_asked_again_and_so_are_its_checkers() -> None:
    one, node = ours(), REST[9]
    one.note(bad(explored(node)), 0.0)
    wanted = one.explore_first(1.0)
    assert wanted.again == (node,)
    assert set(wanted.witnesses) == set(REST[5:9])
    one.note(good(explored(node)), 5.0)
    assert one.explore_first(5.0) == Wanted()


def test_what_a_stranger_said_is_forgotten_when_it_is_old() -> None:
    """It is not asked again for hours: nobody waits for it, as for a neighbour that is silent."""
    one = ours()
    one.hear(view(CHOSEN[0]), 0.0)
    one.hear(view(OTHER), 0.0)
    assert one.judge(AROUND, 5.0).fresh_views == 2
    judged = one.judge(AROUND, 60.0)
    assert (judged.fresh_views, judged.stale_views) == (0, 1)
