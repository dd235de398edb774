"""report/verdicts.py: many agents' verdicts become one, in words (report/written.py)."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel.report import verdicts, written
from kubenurse_otel.report.overview import Overview, overview
from kubenurse_otel.report.seen import Sight
from kubenurse_otel.report.verdicts import Report, merge, read


def told(culprit: str = "node-e", confidence: float = 0.9, **more: Any) -> dict[str, Any]:
    return {
        "sentence": f"the agent on node {culprit} refuses connections: nothing listens there",
        "kind": "agent",
        "culprit": culprit,
        "direction": "",
        "cause": "refused",
        "state": "raised",
        "confidence": confidence,
        "since": "2026-11-28T19:52:03Z",
        "last_seen": "2026-11-28T19:52:09Z",
        "evidence": [{"words": "from node-a: refused", "trace_id": "1" * 32}],
        "against": [],
        "second": f"node {culprit}",
        "explains": [f"path_{culprit}"],
    } | more


def report(node: str, *named: dict[str, Any], **more: Any) -> Report:
    document = {
        "node": node,
        "judged_at": "2026-11-28T19:52:09Z",
        "verdicts": list(named),
        "suspicions": [],
        "doubt": 0,
    } | more
    found = read(json.loads(json.dumps(document)))
    assert found is not None
    return found


def lines(summary: verdicts.Summary) -> list[str]:
    return written.lines(seen_of(summary), 0.0)


def seen_of(summary: verdicts.Summary) -> Overview:
    """Whatever the agents see beside it."""
    sight = Sight(seen=(), silent=summary.silent, zones={})
    return replace(overview(sight), summary=summary)


def test_the_same_verdict_of_several_is_one_by_all_of_them() -> None:
    """The surest agent's words, the earliest time; what most report comes first."""
    summary = merge(
        [
            report("node-c", told("node-z", 0.95)),
            report("node-b", told(confidence=0.8, since="2026-11-28T19:52:01Z", against=["x"])),
            report("node-a", told()),
        ],
        [("node-e", "connection refused")],
    )
    first, second = summary.named
    assert ("node-e", ("node-a", "node-b")) == (first.verdict.culprit, first.reporters)
    assert (0.9, "2026-11-28T19:52:01Z") == (first.verdict.confidence, first.verdict.since)
    assert ("node-z", ("node-c",)) == (second.verdict.culprit, second.reporters)
    assert [
        "The agent on node node-e refuses connections: nothing listens there",
        "    since 2026-11-28T19:52:01Z; confidence 0.9; said by 2 of 3: node-a, node-b",
        "    seen: from node-a: refused",
        "    against: x",
        "    ruled out: node node-e",
        f"    trace: {'1' * 32}",
        "",
    ] == lines(summary)[:7]
    assert ["No answer from 1 agent:", "    node-e: connection refused"] == lines(summary)[-2:]


def test_who_reports_it_by_now_speaks_not_against_it() -> None:
    """Each agent says who saw it well when it judged; a moment later they name it, too."""
    against = [
        ["node-b sees it well"],
        ["node-a, node-c and 3 more see it well", "node-a, node-c, node-d see it well"],
        ["its pod may have another address by now", "node-a, node-d see it well"],
    ]
    nodes = ("node-a", "node-b", "node-x")
    summary = merge(
        [report(node, told(against=some)) for node, some in zip(nodes, against, strict=True)], []
    )
    (one,) = summary.named
    assert one.verdict.against == (
        "node-c and 3 more see it well",
        "node-c, node-d see it well",
        "its pod may have another address by now",
        "node-d sees it well",
    )


def test_what_does_not_work_comes_before_what_is_slow() -> None:
    """Though more agents name what is slow: on a busy machine that is everything."""
    slow = told("node-z", kind="agent", cause="slow")
    expired = told("ingress", kind="certificate", cause="certificate")
    summary = merge([report("node-a", slow, expired), report("node-b", slow)])
    assert ["certificate", "slow"] == [one.verdict.cause for one in summary.named]


def test_many_agents_that_lack_cpu_are_one_thing() -> None:
    """They are counted, as on the page, and two of them are written out."""
    starved = [told(f"node-{n}", kind="prober", cause="starved") for n in range(3)]
    assert [
        "3 agents get too little CPU: what they measure is not to be believed.",
        "    on nodes node-0, node-1, node-2",
        "",
    ] == lines(merge([report("node-a", *starved)]))[:3]
    assert 2 == lines(merge([report("node-a", *starved[:2])])).count("")


@pytest.mark.parametrize(
    ("second", "shown"),
    [
        ("node node-e", "node node-e"),
        ("pair_loss node-1|node-2", "pair loss node-1 and node-2"),
        ("dns", "dns"),
        ("", ""),
    ],
)
def test_what_was_ruled_out_is_said_for_people(second: str, shown: str) -> None:
    """Not as the verdict's kind is spelled in metrics."""
    (one,) = report("node-a", told(second=second)).verdicts
    assert shown == verdicts.ruled_out(one)


def test_a_suspicion_that_another_confirms_is_none() -> None:
    """One agent's doubt is answered by the other's verdict."""
    suspicious = report("node-a", suspicions=[told(confidence=0.4)])
    assert () == merge([suspicious, report("node-b", told())]).suspected
    alone = merge([suspicious])
    assert () == alone.named
    assert "Suspected, and too few others confirm it:" == lines(alone)[0]


def test_all_is_well() -> None:
    """And who has not judged, or doubts itself, is said."""
    summary = merge([report("node-a"), report("node-b", judged_at=None), report("node-c", doubt=4)])
    shown = lines(summary)
    assert "Nothing is wrong, says each of 3 agents." == shown[0]
    assert [
        "node-b: has not checked enough yet.",
        "node-c: doubts itself: it gets too little CPU, and accuses nobody.",
    ] == shown[-2:]


def test_what_comes_of_the_network_is_cut_and_cleaned() -> None:
    """An agent may say anything: no control character, no flood."""
    bad = told(
        sentence="\x1b[2J" + "a" * 10_000,
        evidence=[{"words": "w" * 1000, "trace_id": None}] * 100,
        against=["x"] * 100,
        confidence=10**400,
    )
    drawn = lines(merge([report("node-a", *[bad] * 1000)]))
    assert all(line.isprintable() for line in drawn)
    assert len(drawn) < 100


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=20,
)
KEYS = ("node", "verdicts", "suspicions", "doubt", "judged_at")
FIELDS = tuple(told())


@given(
    st.dictionaries(
        st.sampled_from(KEYS),
        JSON | st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON), max_size=3),
    )
    | JSON
)
def test_any_document_is_read_or_is_none(document: object) -> None:
    """Never an exception, whatever an agent answers."""
    found = read(document)
    if found is not None:
        summary = merge([found])
        assert all(line.isprintable() for line in lines(summary))
        json.dumps(written.to_json(seen_of(summary)))


@pytest.mark.parametrize("document", [None, [], {}, {"verdicts": None}, {"node": "a"}, "x", 1])
def test_another_document_is_none_of_an_agents(document: object) -> None:
    """Some other server may stand at that address."""
    assert read(document) is None


def test_thousands_of_starved_agents_are_told_apart_one_by_one() -> None:
    """None is compared with all others: a page of 5,000 would hold the event loop for long."""
    nodes = [f"node-{number:03}" for number in range(200)]
    reports = [report(one, told(one, kind="prober", cause="starved")) for one in nodes]
    summary = merge([*reports, report("well", told())])
    calls: Counter[str] = Counter()
    sys.setprofile(lambda frame, event, _: calls.update([frame.f_code.co_name] * (event == "call")))
    try:
        named, starved = verdicts.apart(summary.named)
    finally:
        sys.setprofile(None)
    assert ([one.verdict.culprit for one in named], len(starved)) == (["node-e"], len(nodes))
    assert calls["__eq__"] == 0


def test_who_speaks_against_is_looked_up_and_not_looked_for() -> None:
    """Else 1,000 agents that name one culprit cost 80 ms, and one that says all it can a second."""
    compared = 0

    class Name(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

    nodes = [Name(f"node-{number:03}") for number in range(200)]
    said = told(against=["node-x sees it well"])
    (one,) = merge([replace(report(node, said), node=node) for node in nodes]).named
    assert (len(one.reporters), one.verdict.against) == (len(nodes), ("node-x sees it well",))
    assert compared < len(nodes) * 3
