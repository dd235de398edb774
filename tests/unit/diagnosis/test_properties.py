"""Whatever neighbours say, and however many of them lie: what my own checks find well is well."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from views import ME, found, view

from kubenurse_otel.diagnosis.case import AGENTS, CLUSTER, Case, Facts, LongerWays
from kubenurse_otel.diagnosis.order import ORDER, diagnose
from kubenurse_otel.diagnosis.rules.shared import BAD
from kubenurse_otel.diagnosis.symptoms import DNS, Symptom
from kubenurse_otel.diagnosis.verdict import Kind
from kubenurse_otel.diagnosis.view import Accused, Said, Shared, View

NODES = [f"n{number}" for number in range(1, 9)]
STRANGERS = ["x1", "x2"]
"""Names that discovery does not know; no view has them in truth, and no verdict may."""

said = st.builds(Said, st.sampled_from(Symptom), st.integers(1, 9), st.booleans(), st.booleans())
views = st.builds(
    View,
    node=st.sampled_from(NODES[1:]),
    zone=st.sampled_from(["a", "b", "evil"]),
    doubt=st.integers(0, 7),
    accused=st.sampled_from(Accused),
    targets=st.dictionaries(st.sampled_from(NODES + STRANGERS), said),
    shared=st.dictionaries(st.sampled_from(Shared), said),
    half_open=st.lists(st.sampled_from(NODES + STRANGERS), max_size=8).map(tuple),
)
heards = st.lists(views, max_size=6).map(lambda all_: {one.node: one for one in all_})
mines = st.builds(
    View,
    node=st.just(ME),
    doubt=st.integers(0, 7),
    accused=st.sampled_from(Accused),
    targets=st.dictionaries(st.sampled_from(NODES[1:]), said),
    shared=st.dictionaries(st.sampled_from(Shared), said),
)
facts = st.builds(
    Facts,
    nodes=st.integers(1, 9),
    zones=st.dictionaries(st.sampled_from(NODES), st.sampled_from(["a", "b", "c"])),
    known=st.just(frozenset(NODES)),
    not_ready=st.frozensets(st.sampled_from(NODES)),
    discovery_is_well=st.booleans(),
    explored=st.frozensets(st.sampled_from(NODES)),
    sizes_are_settled=st.booleans(),
    is_settled=st.booleans(),
    longer=st.none() | st.just(LongerWays(factors=dict.fromkeys(NODES[1:], 4.0), run=9)),
    accused_lately=st.frozensets(st.sampled_from(NODES)),
    lost_lately=st.frozensets(st.sampled_from(NODES)),
    doubting=st.frozensets(st.sampled_from(NODES)),
    doubted_lately=st.frozensets(st.sampled_from(NODES)),
)


@settings(max_examples=60, deadline=None)
@given(mines, heards, facts)
def test_nothing_is_concluded_of_what_i_see_well(
    mine: View, heard: dict[str, View], known: Facts
) -> None:
    """A node that is named is bad for me; a name is one that discovery or configuration has."""
    for one in diagnose(mine, heard, known):
        parts = set(one.culprit.split("|"))
        zones = set(known.zones.values())
        assert parts <= {*NODES, *zones, AGENTS, CLUSTER, "ingress", "api_server", "service"}
        for node in parts & set(NODES[1:]):
            assert mine.targets[node].symptom is not Symptom.OK
        if one.kind in (Kind.ZONE, Kind.ZONE_PAIR):
            assert any(
                known.zones.get(node) in parts and said.symptom is not Symptom.OK
                for node, said in mine.targets.items()
            )


@settings(max_examples=60, deadline=None)
@given(mines, heards, facts)
def test_hearsay_starts_no_verdict(mine: View, heard: dict[str, View], known: Facts) -> None:
    """Where all is well for me, nobody is named, whatever the others say."""
    well = replace(
        mine,
        doubt=0,
        accused=Accused.NOTHING,
        targets={node: replace(one, symptom=Symptom.OK) for node, one in mine.targets.items()},
        shared={letter: replace(one, symptom=Symptom.OK) for letter, one in mine.shared.items()},
    )
    known = replace(known, longer=None)
    assert diagnose(well, heard, known) == ()
    case = Case(mine=well, heard=heard, facts=known)
    assert case.is_well
    assert [one for rule in ORDER for one in rule(case)] == []  # so none of them need be asked


@settings(max_examples=60, deadline=None)
@given(mines, heards, facts)
def test_who_was_heard_first_makes_no_difference(
    mine: View, heard: dict[str, View], known: Facts
) -> None:
    """Nor which of its neighbours a witness names first: headers have them in their own order."""
    backwards = {
        node: replace(view, targets=dict(reversed(view.targets.items())))
        for node, view in reversed(heard.items())
    }
    assert diagnose(mine, heard, known) == diagnose(mine, backwards, known)


def test_as_many_for_one_word_as_for_another_are_told_apart_whoever_was_heard_first() -> None:
    """Two say that it is silent, two that it refuses, and what I see is neither."""
    words = {"n3": "s2", "n4": "s2", "n5": "r2", "n6": "r2"}
    mine = view(ME, {"n2": "l2"})
    heard = [view(node, {"n2": word}) for node, word in words.items()]
    assert found(mine, heard) == found(mine, heard[::-1])


@settings(max_examples=40, deadline=None)
@given(mines, heards, facts)
def test_what_is_explained_was_bad(mine: View, heard: dict[str, View], known: Facts) -> None:
    """But for what my own node explains, which is all that goes out from it."""
    bad = BAD | DNS
    for one in diagnose(mine, heard, known):
        if one.culprit == ME and one.kind in (Kind.NODE, Kind.NODE_LOSS):
            continue
        for node, word in mine.targets.items():
            assert f"path_{node}" not in one.explains or word.symptom in bad
