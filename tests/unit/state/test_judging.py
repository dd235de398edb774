"""state/judging.py: when it is judged, and what is kept of it for those who tell it."""

from __future__ import annotations

from dataclasses import replace
from math import inf

from judges import DEAD, LABELS, NEIGHBOURS, Agent, good, refused, silent, target, witness

from kubenurse_otel import semconv
from kubenurse_otel.diagnosis import wire
from kubenurse_otel.diagnosis.diagnosis import Judgement
from kubenurse_otel.diagnosis.heard import MOST_VIEWS
from kubenurse_otel.diagnosis.symptoms import Symptom
from kubenurse_otel.diagnosis.verdict import Cause, Kind, State, Verdict
from kubenurse_otel.diagnosis.view import Said, View
from kubenurse_otel.model import Neighbour
from kubenurse_otel.ring import short_hash
from kubenurse_otel.state.judging import MOST_SHOWN


def test_a_verdict_is_kept_for_those_who_tell_it() -> None:
    """Gauge, spans, header and log have the same; it is shown as 0 when it is over."""
    agent = Agent()
    judging = agent.judging
    agent.is_well()
    assert [] == judging.shown()
    for _ in range(3):
        agent.sees_dead()
    assert [(1.0, LABELS)] == judging.shown()
    assert {
        semconv.VERDICT_KIND: "agent",
        semconv.VERDICT_CULPRIT: DEAD,
        semconv.VERDICT_DIRECTION: "",
    } == judging.explanation(refused(DEAD))
    assert {} == judging.explanation(refused("node-c"))
    assert f"p={short_hash(DEAD)}!r3," in judging.encoded_view().decode()
    assert [1] == [len(one.raised) for one in agent.told if one.raised]
    for _ in range(5):
        agent.is_well()
    assert [(0.0, LABELS)] == judging.shown()
    assert () == judging.verdicts
    assert [1] == [len(one.cleared) for one in agent.told if one.cleared]


def test_it_is_judged_once_a_second_at_most_and_rarely_while_all_is_well() -> None:
    """While something is amiss a second is soon enough; else an interval is."""
    agent = Agent()
    agent.is_well()
    agent.now += 1.5
    agent.judging.judge()
    assert 1 == agent.judging.changes
    agent.judging.note(refused(DEAD))
    agent.judging.judge()
    agent.judging.judge()
    assert 2 == agent.judging.changes
    agent.judging.note(refused(DEAD))
    agent.now += 1.5
    agent.judging.judge(late_seconds=2.0)
    assert 2 == agent.judging.changes
    agent.judging.judge()
    assert 3 == agent.judging.changes


def test_it_is_judged_soon_while_others_wait_for_our_word_on_sizes() -> None:
    """Somebody says that large segments vanish to whom we check: our own view is to tell soon."""
    agent = Agent()
    agent.is_well()
    told = View(node="node-c", targets={DEAD: Said(Symptom.FULL_SIZE)})
    agent.judging.note(good("node-c", wire.encode(told)))
    agent.judging.sizes_wanted()
    before = agent.judging.changes
    for _ in range(2):
        agent.now += 1.5
        agent.judging.judge()
    assert before + 2 == agent.judging.changes


def test_a_starved_agent_judges_once_an_interval() -> None:
    """It has named itself: each second more would be of the CPU that it lacks."""
    agent = Agent()
    agent.judging.missed(20.0)
    judged = []
    for _ in range(11):
        agent.now += 1.0
        agent.judging.note(refused(DEAD))
        agent.judging.judge()
        judged.append(agent.judging.changes)
    assert [Kind.PROBER] == [one.kind for one in agent.judging.verdicts]
    assert [1, 1, 1, 1, 1, 2, 2, 2, 2, 2] == judged[:10]


def test_half_open_connections_are_looked_for_while_a_neighbour_is_silent() -> None:
    """Once per interval; what is told is of those that are silent."""
    agent = Agent()
    agent.half_open = dict.fromkeys((DEAD, "node-c", "node-x"), agent.now + 60.0)
    agent.is_well()
    agent.interval(refused(DEAD))
    assert 0 == agent.looks
    agent.now += 10.0
    agent.judging.note(silent(DEAD))
    for _ in range(5):
        agent.now += 1.0
        agent.judging.judge()
    assert 1 == agent.looks
    view = agent.judging.view()
    assert view is not None
    assert (DEAD,) == view.half_open
    assert agent.judging.encoded_view().decode().endswith(f" h={short_hash(DEAD)}")
    agent.is_well()
    view = agent.judging.view()
    assert view is not None
    assert () == view.half_open
    agent.interval(silent("node-d"))
    assert 2 == agent.looks
    view = agent.judging.view()
    assert view is not None
    assert () == view.half_open


def test_a_half_open_connection_that_is_older_than_the_silence_tells_nothing() -> None:
    """It came over a way that was good, or in the outage before: the kernel keeps it a minute."""
    agent = Agent()
    agent.is_well()
    agent.interval(silent(DEAD))
    began = agent.now
    said = []
    for came_after in (-inf, began - 1.0, began, began + 1.0):
        agent.half_open = {DEAD: came_after}
        agent.interval(silent(DEAD))
        view = agent.judging.view()
        assert view is not None
        said.append(view.half_open)
    assert [(), (), (DEAD,), (DEAD,)] == said


def test_a_header_that_is_no_view_is_dropped_and_counted() -> None:
    """And what the neighbour said before stays, until it is stale."""
    agent = Agent()
    agent.interval(good("node-c", witness("node-c")))
    agent.interval(good("node-c", "1 d=0 z= a=- p=<script> t= h="))
    assert 1 == agent.judging.invalid_views
    assert 1 == agent.judging.judgement.fresh_views


def test_names_are_discoverys_of_now() -> None:
    """A node that has come since can be named by a text that was heard before."""
    agent = Agent()
    says = wire.encode(View(node="node-c", targets={"node-z": Said(Symptom.REFUSED)}))
    hearing = agent.judging._hearing
    first = hearing.view(good("node-c", says))
    assert first is not None
    assert first is hearing.view(good("node-c", says))
    assert {} == first.targets
    new = Neighbour(pod_name="z", node_name="node-z", pod_ip="10.0.0.9")
    known = (*agent.neighbourhood.known, new)
    agent.neighbourhood = replace(agent.neighbourhood, known=known)
    again = hearing.view(good("node-c", says))
    assert again is not None
    assert {"node-z"} == set(again.targets)


def test_at_most_eight_are_shown_those_that_stand_first() -> None:
    """However many there were: series are bounded."""
    agent = Agent()
    verdicts = [
        Verdict(
            kind=Kind.PAIR,
            culprit=f"node-a|node-{number:02}",
            cause=Cause.SILENT,
            confidence=0.8,
            since=0.0,
            last_seen=float(number),
            state=State.CLEARED if number % 2 else State.RAISED,
        )
        for number in range(12)
    ]
    agent.judging.judgement = Judgement(verdicts=tuple(verdicts))
    shown = agent.judging.shown()
    assert MOST_SHOWN == len(shown)
    assert [1.0] * 6 + [0.0] * 2 == [value for value, _ in shown]
    assert ["node-a|node-11", "node-a|node-09"] == [labels[1] for _, labels in shown[6:]]


def test_what_neighbours_said_is_forgotten_with_them() -> None:
    """64 voices at most, of current targets alone."""
    agent = Agent()
    agent.interval(*(good(node, witness(node)) for node in NEIGHBOURS))
    assert len(NEIGHBOURS) == agent.judging.judgement.fresh_views
    agent.judging.retain([target("node-c")])
    agent.interval(good("node-c", witness("node-c")))
    assert 1 == agent.judging.judgement.fresh_views + agent.judging.judgement.stale_views


def test_our_own_name_may_be_discoverys() -> None:
    """Without KUBENURSE_NODE_NAME it is judged under the name that discovery has, from then on."""
    agent = Agent(node="")
    agent.is_well()
    agent.neighbourhood = replace(agent.neighbourhood, own_node_name="node-a")
    agent.is_well()
    for _ in range(3):
        agent.sees_dead()
    (verdict,) = agent.judging.verdicts
    assert verdict.evidence[0].words.startswith("from node-a, ")
    view = agent.judging.view()
    assert view is not None
    assert "node-a" == view.node


def test_64_views_are_kept_however_many_neighbours_there_are() -> None:
    """KUBENURSE_NEIGHBOUR_LIMIT=0 in a large cluster: memory does not grow with it."""
    agent = Agent()
    hearing = agent.judging._hearing
    for number in range(200):
        node = f"node-{number}"
        neighbour = Neighbour(pod_name="p", node_name=node, pod_ip="10.0.0.9")
        result = good("node-c", witness("node-c"))
        hearing.view(replace(result, target=replace(result.target, neighbour=neighbour)))
    assert MOST_VIEWS == len(hearing._latest)
