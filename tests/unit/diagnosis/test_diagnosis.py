"""The seam: what is told, what is heard, and that nothing grows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_symptoms import TARGET, failed

from kubenurse_otel.diagnosis.diagnosis import Diagnosis
from kubenurse_otel.diagnosis.heard import MOST_VIEWS
from kubenurse_otel.diagnosis.symptoms import Symptom
from kubenurse_otel.diagnosis.verdict import Kind, State
from kubenurse_otel.diagnosis.view import Accused, Said, Shared, View
from kubenurse_otel.errors import ErrorType
from kubenurse_otel.model import (
    CheckResult,
    Measurement,
    Neighbour,
    Neighbourhood,
    Outcome,
    Phase,
    Split,
    Target,
    TargetKind,
)


def neighbour(node: str) -> Neighbour:
    return Neighbour(pod_name=f"agent-{node}", node_name=node, pod_ip="10.0.0.1")


def path(node: str, suffix: str = "") -> Target:
    key = f"path_{node}{suffix}"
    return replace(TARGET, key=key, type=f"path_{node}", neighbour=neighbour(node))


def common(kind: TargetKind, key: str = "") -> Target:
    name = key or kind.value
    return replace(TARGET, key=name, type=name, kind=kind)


AROUND = Neighbourhood(known=(neighbour("n2"), neighbour("n3")), state="ok", own_node_name="n1")


def good(
    target: Target, *, dns: float | None = None, round_trip: float | None = None
) -> CheckResult:
    measurement = Measurement(split=Split(dns=dns, network_round_trip=round_trip))
    return CheckResult(target=target, outcome=Outcome.OK, started_at=0.0, measurement=measurement)


def bad(
    target: Target, error: ErrorType = ErrorType.CONNECT_TIMEOUT, trace: str = ""
) -> CheckResult:
    return replace(failed(error), target=target, trace_id=trace)


def diagnosis(*targets: Target) -> Diagnosis:
    one = Diagnosis(node="n1", interval_seconds=5.0, timeout_seconds=5.0, slow_seconds=1.0)
    one.retain(targets)
    return one


def test_our_view_is_what_our_checks_show() -> None:
    """Of a node's two address families the worse one; DNS through what goes by name."""
    one = diagnosis(path("n2"), path("n2", "/ipv6"), path("n3"), common(TargetKind.API_SERVER_DNS))
    for at in (0.0, 5.0):
        one.note(good(path("n2")), at)
        one.note(bad(path("n2", "/ipv6")), at)
        one.note(good(path("n3")), at)
        one.note(good(common(TargetKind.API_SERVER_DNS), dns=0.001), at)
    view = one.own_view(5.0)
    assert view.targets == {"n2": Said(Symptom.SILENT, 2), "n3": Said(Symptom.OK, 2)}
    assert view.shared == {
        Shared.API_SERVER_DNS: Said(Symptom.OK, 2),
        Shared.DNS: Said(Symptom.OK, 2),
    }
    failed_look_up = bad(common(TargetKind.API_SERVER_DNS), ErrorType.HOST_NOT_FOUND)
    one.note(failed_look_up, 10.0)
    assert one.own_view(10.0).shared[Shared.DNS] == Said(Symptom.DNS_UNKNOWN, 1)


def test_what_tells_nothing_of_its_target_leaves_its_word_and_raises_doubt() -> None:
    one = diagnosis(path("n2"))
    one.note(good(path("n2")), 0.0)
    one.note(bad(path("n2"), ErrorType.OWN_TIMEOUT), 5.0)
    view = one.own_view(5.0)
    assert (view.targets["n2"].symptom, view.doubt) == (Symptom.OK, 2)


def test_a_target_that_is_gone_is_forgotten_and_its_late_check_ignored() -> None:
    one = diagnosis(path("n2"), path("n3"))
    one.note(bad(path("n2")), 0.0)
    one.hear(View(node="n2", accused=Accused.LOSS_IN), 0.0)
    one.retain([path("n3")])
    one.note(bad(path("n2")), 1.0)
    assert one.own_view(1.0).targets == {}
    assert one.judge(AROUND, 1.0).fresh_views == 0


def test_a_verdict_says_what_was_seen_with_its_trace() -> None:
    """And since when, who agrees, and which checks it explains."""
    one = diagnosis(path("n2"), path("n3"))
    for at in (0.0, 5.0):
        one.note(good(path("n2")), at)
        one.note(bad(path("n3"), trace="ab" * 16), at)
    one.hear(View(node="n2", targets={"n3": Said(Symptom.SILENT, 2)}), 5.0)
    judged = one.judge(AROUND, 6.0)
    (verdict,) = judged.raised
    assert (verdict.kind, verdict.culprit, verdict.since) == (Kind.NODE, "n3", 0.0)
    assert verdict.explains == {"path_n3"}
    assert [(one.words, one.trace_id) for one in verdict.evidence] == [
        ("from n1, path_n3: no answer to a connection attempt, for 2 intervals", "ab" * 16),
        ("n2 sees the same", ""),
    ]
    assert one.judge(AROUND, 7.0).raised == ()


@pytest.mark.parametrize(
    ("accused", "named"), [(Accused.SLOW, ["n3"]), (Accused.LOSS_IN, []), (Accused.CUT_OFF, ["n3"])]
)
def test_who_lost_packets_by_its_own_word_is_silent_for_that_and_who_was_cut_off_is_not(
    accused: Accused, named: list[str]
) -> None:
    one = diagnosis(path("n2"), path("n3"))
    one.hear(View(node="n3", accused=accused), 0.0)
    for at in (0.0, 5.0):
        one.note(good(path("n2")), at)
        one.note(bad(path("n3")), at)
    one.hear(View(node="n2", targets={"n3": Said(Symptom.SILENT, 2)}), 5.0)
    assert [verdict.culprit for verdict in one.judge(AROUND, 6.0).raised] == named


def test_an_agent_says_that_its_ways_became_slow_before_it_is_sure() -> None:
    nodes = ("n2", "n3", "n4")
    one = diagnosis(*map(path, nodes))
    said = []
    for number, seconds in enumerate([0.001] * 60 + [0.02] * 3):
        for node in nodes:
            one.note(good(path(node), round_trip=seconds), number * 5.0)
        judged = one.judge(AROUND, number * 5.0)
        assert judged.raised == ()
        assert judged.view is not None
        said.append((judged.view.accused, judged.view.compares))
    new, known = (Accused.NOTHING, False), (Accused.NOTHING, True)
    assert said == [new] * 59 + [known] * 3 + [(Accused.SLOW, True)]


def test_what_was_slow_for_all_is_no_nodes_fault_while_it_lasts() -> None:
    """The others are started anew, and take it for usual."""
    nodes = ("n2", "n3", "n4")
    one = diagnosis(*map(path, nodes))
    named = []
    for number, seconds in enumerate([0.001] * 60 + [0.02] * 20 + [0.001] * 20 + [0.02] * 20):
        for node in nodes:
            one.note(good(path(node), round_trip=seconds), number * 5.0)
            is_new = number >= 66
            said = Accused.NOTHING if is_new else Accused.SLOW
            one.hear(View(node=node, accused=said), number * 5.0)
        named += [verdict.culprit for verdict in one.judge(AROUND, number * 5.0).raised]
    assert named == ["cluster", "n1"]


def test_views_grow_stale_and_are_bounded() -> None:
    """A hundred neighbours may speak: 64 are kept, the latest."""
    nodes = [f"n{number}" for number in range(2, 102)]
    one = diagnosis(*map(path, nodes))
    for node in nodes:
        one.hear(View(node=node, doubt=7, accused=Accused.LOSS_IN), 0.0)
    judged = one.judge(AROUND, 12.0)
    assert (judged.fresh_views, judged.stale_views) == (MOST_VIEWS, 0)
    judged = one.judge(AROUND, 12.1)
    assert (judged.fresh_views, judged.stale_views) == (0, MOST_VIEWS)
    assert {len(kept) for kept in one._heard._by_node} == {MOST_VIEWS}


def test_who_doubted_itself_is_no_sure_witness_for_a_minute() -> None:
    """Though its last word is that it trusts itself again, and so it is heard."""
    one = diagnosis(path("n2"), path("n3"))
    one.hear(View(node="n2", doubt=3), 0.0)
    assert one._facts(1.0, []).doubting == {"n2"}
    one.hear(View(node="n2"), 5.0)
    facts = one._facts(60.0, [])
    assert (facts.doubting, facts.doubted_lately) == (frozenset(), {"n2"})
    assert one._facts(60.1, []).doubted_lately == frozenset()


def test_after_our_node_was_cut_off_dns_is_not_to_blame() -> None:
    """Look-ups that began while nothing came back fail for two intervals more."""
    names = common(TargetKind.ME_SERVICE), common(TargetKind.API_SERVER_DNS)
    targets = (path("n2"), path("n3"), common(TargetKind.API_SERVER_DIRECT), *names)
    one = diagnosis(*targets)
    for at in (0.0, 5.0):
        for target in targets:
            error = ErrorType.DNS_TIMEOUT if target in names else ErrorType.CONNECT_TIMEOUT
            one.note(
                replace(
                    bad(target, error),
                    failure=replace(failed(error).failure, phase=Phase.DNS),
                ),
                at,
            )
        judged = one.judge(AROUND, at)
        assert [(each.kind, each.culprit) for each in judged.verdicts] == [(Kind.NODE, "n1")]
    assert one.own_view(5.0).accused is Accused.CUT_OFF
    for node in ("n2", "n3"):
        one.note(good(path(node)), 8.0)
    for name in names:
        one.note(bad(name, ErrorType.DNS_TIMEOUT), 9.0)
    judged = one.judge(AROUND, 10.0)
    assert [each.kind for each in judged.verdicts] == [Kind.NODE]
    assert Shared.DNS not in one.own_view(10.0).shared


def test_hasty_checks_tell_of_lost_segments_alone() -> None:
    one = diagnosis(path("n2"))
    one.note(bad(path("n2")), 0.0, is_hasty=True)
    assert one.own_view(0.0).targets == {}


def test_before_the_first_list_no_node_is_the_only_one() -> None:
    """Discovery may fail for the same reason: what is bad from here is no verdict on everybody's.

    A cluster of one node that was listed is one.
    """
    direct = common(TargetKind.API_SERVER_DIRECT)
    unheard = Neighbourhood(state="the API server cannot be reached", own_node_name="n1")
    listed = replace(unheard, state="no neighbour", listed_at=1.0)
    states = []
    for around in (unheard, listed):
        one = diagnosis(direct)
        for at in range(0, 60, 5):
            one.note(bad(direct, ErrorType.CONNECTION_REFUSED), float(at))
        states += [verdict.state for verdict in one.judge(around, 55.0).verdicts]
    assert [State.SUSPECTED, State.RAISED] == states


def test_who_is_told_of_a_loss_on_a_way_to_whom_it_checks_looks_and_names_nobody() -> None:
    """A neighbour's word makes our checks more, for a while; what they show is what counts."""
    one = diagnosis(path("n2"), path("n3"))
    one.hear(View(node="n2", targets={"n9": Said(Symptom.OK, 1, lossy=True)}), 0.0)
    assert not one.wants_haste(1.0)  # we do not check n9
    for of in ("n3", "n1"):
        one = diagnosis(path("n2"), path("n3"))
        one.hear(View(node="n2", targets={of: Said(Symptom.OK, 1, lossy=True)}), 0.0)
        assert one.wants_haste(1.0)
        assert one.judge(AROUND, 1.0).verdicts == ()
        assert not one.wants_haste(60.0)  # that word is old
