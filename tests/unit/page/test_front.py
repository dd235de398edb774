"""The first view in words: verdicts, slow now, the mesh, our own checks."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pages
import pytest
import yaml

from kubenurse_otel.diagnosis.symptoms import Symptom
from kubenurse_otel.diagnosis.verdict import Kind
from kubenurse_otel.page import front, links, verdicts
from kubenurse_otel.page.front import Now
from kubenurse_otel.report import slower, ways
from kubenurse_otel.report.seen import Sight, Way
from kubenurse_otel.report.verdicts import Told
from kubenurse_otel.server.pages import MOST_CHECKS

ROOT = Path(__file__).parents[3]
ALERTS = ROOT / "helm" / "kubenurse-otel" / "files" / "alerts"
KIB = 1024
INGRESS = replace(pages.DOWN, kind="ingress", culprit="cluster")


def shown(sight: Sight | None, count: int = 3) -> bytes:
    listed = pages.targets(min(count, MOST_CHECKS))
    return front.view(pages.FRAME, Now(sight=sight, checks=listed, known=count, interval_seconds=5))


def test_all_is_well_says_what_was_checked_and_how_fresh_it_is() -> None:
    """How many checks and ways, by how many agents, and how long ago."""
    sight = replace(pages.cluster(5), oldest_seconds=3.0)
    root = pages.tree(shown(sight))
    said = pages.words(pages.section(root, "verdicts"))
    assert pages.words(next(root.iter("h1"))) == "✓All is well"
    assert "Nothing is wrong, says each of 5 agents." in said
    assert "40 checks were good and 0 bad the last time; 20 ways from node to node" in said
    assert "the latest 2 s ago" in said
    assert "Heard 5 agents of 5, the oldest word 3 s old." in said


def test_a_verdict_has_its_evidence_since_against_and_links() -> None:
    """Everything that `diagnose` says of it, the traces, the runbook and the metric's query."""
    reporters = tuple(pages.agent(node, verdicts=(pages.DOWN,)) for node in ("node-1", "node-2"))
    root = pages.tree(shown(pages.cluster(3, seen=reporters)))
    part = pages.section(root, "verdicts")
    said = pages.words(part)
    assert pages.words(next(root.iter("h1"))).startswith("✗The agent on node node-4 refuses")
    assert "07:58:00 UTC, for 2 min" in said
    assert "2 of 2: node-1, node-2; confidence 0.9 of 1" in said
    for text in (*pages.DOWN.evidence, *pages.DOWN.against, pages.DOWN.second):
        assert text in said
    found = set(pages.hrefs(part))
    assert f"https://jaeger.example.com/trace/{pages.TRACE}" in found
    assert f"{links.RUNBOOKS}KubenurseVerdictNode.md" in found
    assert (
        "https://prometheus.example.com/graph?g0.expr="
        "kubenurse_verdict%7Bkind%3D%22agent%22%2Cculprit%3D%22node-4%22%7D"
    ) in found


@pytest.mark.parametrize(
    ("sight", "headline"),
    [
        (
            pages.cluster(2, seen=(pages.agent("node-1", suspicions=(pages.DOWN,)),)),
            "!Something may",
        ),
        (
            pages.cluster(2, seen=(pages.agent("node-1", bad=2),)),
            "!Nobody is named, and yet: 2 checks",
        ),
        (
            pages.cluster(2, seen=(pages.agent("node-1"),), silent=(("node-2", "refused"),)),
            "!Nobody is named, and yet: 1 agent does not answer",
        ),
        (
            pages.cluster(
                2,
                seen=(pages.agent("node-1", bad_ways=(Way("node-1", "node-2", Symptom.SLOW, 1),)),),
            ),
            "!Nobody is named, and yet: 1 way is slow or lossy",
        ),
        (
            pages.cluster(
                2, seen=(pages.agent("node-1", slower=(pages.slower("node-1", "x", "network"),)),)
            ),
            "✓Nothing is wrong; 1 thing takes longer than usual",
        ),
        (
            pages.cluster(2, seen=(pages.agent("node-1", verdicts=(pages.DOWN, INGRESS)),)),
            "✗2 things are wrong, the first: ",
        ),
    ],
)
def test_the_first_words_say_how_it_is(sight: Sight, headline: str) -> None:
    """Never that all is well while anything is amiss."""
    assert pages.words(next(pages.tree(shown(sight)).iter("h1"))).startswith(headline)


def test_who_has_not_judged_yet_says_so() -> None:
    """An agent that has just begun does not say that all is well."""
    new = replace(pages.agent("node-1"), report=replace(pages.agent("node-1").report, judged=False))
    root = pages.tree(shown(pages.cluster(1, seen=(new,))))
    assert pages.words(next(root.iter("h1"))) == "·Not checked enough yet to say"


def test_agents_that_lack_cpu_are_one_verdict_where_they_are_many() -> None:
    """A busy machine does not hide the culprit behind a card an agent."""
    starved = [
        Told(sentence=f"the agent on node {node} gets too little CPU", kind="prober", culprit=node,
             cause="starved")
        for node in ("node-1", "node-2", "node-3")
    ]  # fmt: skip
    sight = pages.cluster(3, seen=(pages.agent("node-1", verdicts=(*starved, pages.DOWN)),))
    root = pages.tree(shown(sight))
    assert pages.words(next(root.iter("h1"))).startswith("✗2 things are wrong, the first: ")
    cards = list(pages.section(root, "verdicts").iter("article"))
    assert len(cards) == 2
    assert "3 agents get too little CPU" in pages.words(cards[1])
    alone = pages.cluster(3, seen=(pages.agent("node-1", verdicts=tuple(starved)),))
    words = pages.words(next(pages.tree(shown(alone)).iter("h1")))
    assert words.startswith("✗3 agents get too little CPU")


def test_each_kind_of_verdict_leads_to_the_runbook_of_its_alert() -> None:
    """As the alerts have it."""
    text = "\n".join(path.read_text() for path in ALERTS.glob("*.yaml"))
    rules = [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    for rule in rules:
        if rule.get("alert", "").startswith("KubenurseVerdict"):
            kinds = re.findall(r'kind=~?"([a-z_|]+)"', rule["expr"])
            for kind in {one for listed in kinds for one in listed.split("|")}:
                assert links.runbook(kind).endswith(f"/{rule['alert']}.md"), kind
    runbooks = ROOT / "docs" / "runbooks"
    for kind in Kind:
        assert (runbooks / links.runbook(kind).rpartition("/")[2]).is_file()
    assert links.runbook("nonsense").endswith("/README.md")


def test_two_things_slow_at_once_are_two_rows() -> None:
    """The louder one hides none: the ingress for all, and the way to one node for two."""
    loud = [
        pages.agent(node, slower=(pages.slower(node, "me_ingress", "far_end", 2.0),))
        for node in ("node-1", "node-2", "node-3")
    ]
    quiet = [
        pages.agent(node, slower=(pages.slower(node, "path_node-5", "network", 0.02),))
        for node in ("node-4", "node-6")
    ]
    found, left = slower.rows(pages.cluster(6, seen=(*loud, *quiet)), 9)
    assert not left
    assert [(row.what, row.whose, len(row.sources)) for row in found] == [
        ("the ingress", "far_end", 3),
        ("node node-5", "network", 2),
    ]
    root = pages.tree(shown(pages.cluster(6, seen=(*loud, *quiet))))
    assert ["the ingress", "the far end", "2.00 s", "2.00 ms", "3: node-1, node-2, node-3"] in (
        pages.rows(pages.section(root, "slow"))
    )


def test_what_usually_takes_no_time_is_a_naught() -> None:
    """No packet was lost before: not "0 µs", as if it were measured."""
    lost = replace(pages.slower("node-1", "me_ingress", "loss"), usual_seconds=0.0)
    sight = pages.cluster(2, seen=(pages.agent("node-1", slower=(lost,)),))
    (row,) = pages.rows(pages.section(pages.tree(shown(sight)), "slow"))
    assert row == ["the ingress", "lost packets", "400 ms", "0", "1: node-1"]


def test_what_one_node_sees_of_all_is_that_node() -> None:
    """Its own network or process is a row, and not every node that it asks."""
    all_ = tuple(pages.slower("node-1", f"path_node-{n}", "network", 0.05) for n in range(2, 6))
    own = tuple(pages.slower("node-1", f"path_node-{n}", "own_delay", 0.2) for n in range(2, 4))
    other = pages.agent("node-2", slower=(pages.slower("node-2", "path_node-1", "network", 0.05),))
    sight = pages.cluster(6, seen=(pages.agent("node-1", slower=all_ + own), other))
    found, _ = slower.rows(sight, 9)
    assert {(row.what, row.whose, row.targets) for row in found} == {
        ("what node node-1 asks", "network", 4),
        ("what node node-1 asks", "own_delay", 2),
        ("node node-1", "network", 1),
    }


def test_the_mesh_draws_only_what_is_amiss() -> None:
    """A mark for each bad way, that leads to its pair; a band for who did not answer; none else."""
    root = pages.tree(shown(pages.with_dead(pages.cluster(12), "node-4")))
    part = pages.section(root, "mesh")
    drawn = next(one for one in part.iter() if str(one.tag).endswith("svg"))
    marks = [one for one in drawn.iter() if one.get("class") == "hard"]
    assert len(marks) == 10
    assert len([one for one in drawn.iter() if one.get("class") == "mute"]) == 1
    assert "pair?from=node-1&to=node-4" in set(pages.hrefs(drawn))
    assert "10 ways are amiss of 44 that are checked, between 12 nodes." in pages.words(part)
    (row,) = pages.rows(part)
    assert row[0].startswith("10 nodes: node-1, node-10, node-11, node-2 and 6 more")
    assert row[1:] == ["node-4", "no answer", "more than 45 s"]


@pytest.mark.parametrize(
    ("symptom", "sign"), [(Symptom.SILENT, "✗"), (Symptom.SLOW, "!"), (Symptom.OK, "!")]
)
def test_a_way_that_is_slow_or_lossy_is_no_broken_one(symptom: Symptom, sign: str) -> None:
    """The mesh's sentence begins with the sign of its worst way."""
    lossy = symptom is Symptom.OK
    slow_way = Way("node-1", "node-3", Symptom.SLOW, 2)
    amiss = (slow_way, Way("node-1", "node-2", symptom, 2, lossy=lossy))
    seen = (pages.agent("node-1", bad_ways=amiss),)
    said = pages.words(pages.section(pages.tree(shown(pages.cluster(3, seen=seen))), "mesh"))
    assert f"{sign}2 ways are amiss" in said


def test_what_is_checked_now_and_then_says_how_often() -> None:
    """Full size, every 30 s: it may have been mended since the check that its row tells of."""
    listed = [pages.target("full_size_node-2", interval_seconds=30.0, outcome="failed")]
    now = Now(sight=pages.cluster(3), checks=listed, known=1, interval_seconds=5)
    (row,) = pages.rows(pages.section(pages.tree(front.view(pages.FRAME, now)), "checks"))
    assert row[-1] == "2 s ago, each 30 s"


def test_checks_that_are_left_out_may_be_bad_as_well() -> None:
    """More are bad than the table has room for: it does not say that the others are good."""
    listed = [pages.target(outcome="failed") for _ in range(MOST_CHECKS)]
    now = Now(sight=pages.cluster(3), checks=listed, known=40, interval_seconds=5)
    said = pages.words(pages.section(pages.tree(front.view(pages.FRAME, now)), "checks"))
    assert "... and 15 more, none of them worse" in said


def test_what_a_way_shows_has_a_form_of_its_own() -> None:
    """Colour is never alone: a square, a full circle, an empty circle, and words."""
    found = (
        Way("node-1", "node-2", Symptom.SILENT, 3),
        Way("node-1", "node-3", Symptom.SLOW, 3),
        Way("node-3", "node-2", Symptom.OK, 3, lossy=True),
    )
    assert [ways.kind(way) for way in found] == ["hard", "soft", "lossy"]
    assert [ways.shown(way) for way in found] == ["no answer", "slow", "loses packets"]


def test_from_two_thousand_nodes_on_whole_nodes_are_drawn() -> None:
    """One mark a node, and every one leads to a pair."""
    root = pages.tree(shown(pages.with_dead(pages.cluster(2_000), "node-4")))
    drawn = next(one for one in root.iter() if str(one.get("class")) == "mesh")
    assert len([one for one in drawn.iter() if one.get("class") == "hard"]) == 1
    assert not [one for one in drawn.iter() if str(one.tag).endswith("text")]


def disaster(count: int) -> Sight:
    """Every agent misses all that it checks, and says whose fault that is."""
    sight = pages.cluster(count)
    return replace(
        sight,
        seen=tuple(
            replace(
                pages.agent(one.node, verdicts=(pages.DOWN,), good=4, bad=14, ways=10),
                bad_ways=tuple(
                    Way(one.node, f"node-{(index + back) % count + 1}", Symptom.SILENT, 9)
                    for back in range(1, 11)
                ),
                slower=tuple(
                    pages.slower(one.node, f"path_node-{(index + back) % count + 1}", "network")
                    for back in range(1, 3)
                ),
            )
            for index, one in enumerate(sight.seen)
        ),
    )


@pytest.mark.parametrize(
    ("sight", "most_kib"),
    [
        (pages.cluster(1_000), 50),
        (pages.with_dead(pages.cluster(1_000), "node-4"), 60),
        (disaster(1_000), 200),
        (disaster(5_000), 800),
        (Sight(zones={f"node-{n}": "" for n in range(5_000)}, seen=(pages.agent("node-1"),),
               silent=tuple((f"node-{n}", "no answer") for n in range(0, 5_000, 2))), 800),
    ],
    ids=["well", "dead", "disaster", "5000", "silent"],
)  # fmt: skip
def test_a_thousand_nodes_are_less_than_200_kib(sight: Sight, most_kib: int) -> None:
    """Whatever is amiss, the page stays small; five thousand load as well."""
    body = shown(sight, 1_000)
    assert len(body) < most_kib * KIB
    pages.tree(body)


def test_our_own_checks_lead_to_their_waterfalls() -> None:
    """Bad ones first is the caller's order; what is left out is counted."""
    root = pages.tree(shown(pages.cluster(3), 50))
    part = pages.section(root, "checks")
    assert "target?of=path_node-0" in set(pages.hrefs(part))
    assert pages.rows(part)[0] == [
        "path_node-0", "✓good", "1.30 ms", "200 µs", "0", "900 µs", "4.00 ms", "2 s ago",
    ]  # fmt: skip
    assert "... and 25 more" in pages.words(part)


def test_without_diagnosis_the_checks_are_shown() -> None:
    """KUBENURSE_DIAGNOSIS=false: nobody is named, and it says why."""
    said = pages.words(pages.tree(shown(None)))
    assert "KUBENURSE_DIAGNOSIS is false" in said
    assert "All is well" not in said
    assert "path_node-0" in said
    assert verdicts.FLAPPING not in said
