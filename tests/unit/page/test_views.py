"""Every view: HTML, without script and without a request to anywhere, whatever names there are."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import html5lib
import pages
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubenurse_otel.config import Setting, Source
from kubenurse_otel.diagnosis.symptoms import Symptom
from kubenurse_otel.page import agent, front, links, pair, target
from kubenurse_otel.page.front import Now
from kubenurse_otel.page.style import CSS, POLICY
from kubenurse_otel.report.seen import Way
from kubenurse_otel.report.verdicts import Told

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

GENERATED = Path(__file__).parents[3] / "helm" / "kubenurse-otel" / "files" / "dashboards"
SETTINGS = [
    Setting(name="KUBENURSE_PORT", value="8080", source=Source.DEFAULT),
    Setting(name="HTTPS_PROXY", value="***@proxy:3128", source=Source.ENVIRONMENT, note="masked"),
]
GROUPS = [
    agent.Group("discovery", "Its neighbours", [agent.Figure("state", "ok", "good")]),
    agent.Group("exports", "Exports", [], nothing="Nothing is exported."),
]
WELL = Now(sight=pages.cluster(5), checks=pages.targets(3), known=3, interval_seconds=5.0)
ILL = Now(
    sight=pages.with_dead(
        pages.cluster(
            5,
            seen=(
                pages.agent("node-1", verdicts=(pages.DOWN,)),
                pages.agent("node-2", doubt=5, suspicions=(pages.DOWN,)),
                pages.agent("node-3", slower=(pages.slower("node-3", "me_ingress", "far_end"),)),
            ),
        ),
        "node-4",
    ),
    checks=[pages.target(outcome="failed", error_type="connection_refused", message="refused")],
    known=50,
    interval_seconds=5.0,
)
OFF = Now(sight=None, checks=pages.targets(1), known=1, interval_seconds=5.0)
THERE = pair.Direction("node-1", "node-2", "kubenurse-1", pages.target())
ASKED = pair.Direction("node-2", "node-1", "kubenurse-2")
SILENT = pair.Direction("node-2", "node-1", "kubenurse-2", problem="no answer within 2 s")
VIEWS = {
    "well": front.view(pages.FRAME, WELL),
    "ill": front.view(pages.FRAME, ILL),
    "off": front.view(pages.FRAME, OFF),
    "target": target.view(pages.FRAME, pages.target()),
    "unchecked": target.view(pages.FRAME, pages.target(outcome=None, phases={}, offsets={})),
    "missing": target.missing(pages.FRAME, "path_gone"),
    "pair": pair.view(pages.FRAME, THERE, SILENT),
    "asked": pair.view(pages.FRAME, THERE, ASKED),
    "agent": agent.view(pages.FRAME, GROUPS, SETTINGS),
}
OUTSIDE = (
    links.RUNBOOKS,
    "https://jaeger.example.com/",
    "https://prometheus.example.com/",
    "https://grafana.example.com/",
)
ROUTES = {"./", "target", "pair", "agent", "alive", "api/v1/target"}


@pytest.fixture(params=VIEWS, name="root")
def _root(request: pytest.FixtureRequest) -> Element:
    return pages.tree(VIEWS[request.param])


def test_a_view_asks_nobody_and_runs_nothing(root: Element) -> None:
    """No script, no handler, no style but the one whose hash the policy has; links are relative."""
    tags = {element.tag for element in root.iter()}
    assert tags.isdisjoint({"script", "iframe", "object", "embed", "form", "img", "base"})
    for element in root.iter():
        assert not [name for name in element.attrib if name == "style" or name.startswith("on")]
    (style,) = root.iter("style")
    assert style.text == CSS
    digest = base64.b64encode(hashlib.sha256((style.text or "").encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in POLICY
    assert "unsafe" not in POLICY
    assert "url(" not in CSS
    assert "@import" not in CSS
    for href in pages.hrefs(root):
        path = href.partition("?")[0].partition("#")[0]
        known = path in ROUTES or path in ("", "data:,")
        assert known or href.startswith(OUTSIDE)


def test_a_view_can_be_read_without_eyes(root: Element) -> None:
    """A language, landmarks, one h1 and no heading left out; tables with captions and scopes."""
    assert root.get("lang") == "en"
    for landmark in ("header", "nav", "main", "footer"):
        assert len(list(root.iter(landmark))) == 1
    levels = [int(one.tag[1]) for one in root.iter() if re.fullmatch("h[1-6]", str(one.tag))]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for table in root.iter("table"):
        assert pages.words(table[0])
        assert table[0].tag == "caption"
        assert all(cell.get("scope") in ("col", "row") for cell in table.iter("th"))
    identities = [one.get("id") for one in root.iter() if one.get("id")]
    assert len(identities) == len(set(identities))
    for named in (one.get("aria-labelledby") for one in root.iter("section")):
        assert named in identities
    for drawn in (one for one in root.iter() if str(one.tag).endswith("svg")):
        assert drawn.get("aria-hidden") == "true" or (
            drawn.get("role"),
            bool(drawn.get("aria-label")),
        ) == ("img", True)


def test_a_view_is_refreshed_unless_it_stands_still() -> None:
    """A refresh of five seconds, and a link that stops it, in every view."""
    root = pages.tree(VIEWS["target"])
    (refresh,) = [one for one in root.iter("meta") if one.get("http-equiv") == "refresh"]
    assert refresh.get("content") == "5"
    assert "./?still=1" in set(pages.hrefs(root))
    still = pages.tree(front.view(replace(pages.FRAME, refresh_seconds=None), WELL))
    assert not [one for one in still.iter("meta") if one.get("http-equiv")]
    assert "Refresh it by itself" in pages.words(still)


def test_a_target_leads_to_its_dashboard() -> None:
    """Grafana opens it with this target of this node; a name ends no field."""
    (href,) = (
        href
        for href in pages.hrefs(
            pages.tree(target.view(pages.FRAME, pages.target("a&b", type="a&b")))
        )
        if "/d/kubenurse-otel-target" in href
    )
    assert href == (
        "https://grafana.example.com/d/kubenurse-otel-target?var-type=a%26b&var-node=node-1"
    )
    for name in ("target", "overview"):
        generated = GENERATED / f"kubenurse-otel-{name}.json"
        assert json.loads(generated.read_text())["uid"] == f"kubenurse-otel-{name}"


def test_what_is_set_is_seen_and_what_is_not_is_folded() -> None:
    """133 variables are no reading matter: a browser unfolds the others without a script."""
    root = pages.tree(VIEWS["agent"])
    (folded,) = root.iter("details")
    assert "1 variable by default" in pages.words(folded)
    assert "KUBENURSE_PORT" in pages.words(folded)
    assert "HTTPS_PROXY" not in pages.words(folded)
    assert ["HTTPS_PROXY", "***@proxy:3128", "environment", "masked"] in pages.rows(root)


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='x",
    "</style><script>",
    "javascript:alert(1)",
    "]]><!--",
    "{trace_id}",
    "\u202eevil",
    "\x00\x1b[31m",
    "\ud800",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_hostile_name_breaks_out(text: str) -> None:
    """Nodes, zones, checks and whatever agents say: the same elements as with harmless names."""
    assert shape(text, text, text) == shape("a", "z", "t")


@settings(max_examples=10, deadline=None)
@given(*[st.text(min_size=1, max_size=20)] * 3)
def test_no_name_breaks_out(name: str, zone: str, text: str) -> None:
    """The same of any text."""
    assert shape(name, zone, text) == shape("a", "z", "t")


def shape(name: str, zone: str, text: str) -> list[tuple[str, tuple[str, ...]]]:
    """Elements and names of attributes, in order, of the views with these texts in them."""
    told = Told(
        sentence=text, kind=text, culprit=name, evidence=(text,), traces=(text,), since=text
    )
    ill = pages.agent(
        name,
        verdicts=(told,),
        bad=1,
        bad_ways=(Way(name, "b", Symptom.SILENT, 3),),
        slower=(pages.slower(name, text, "network"),),
        checked_at=text,
    )
    sight = pages.cluster(2, seen=(ill,), zones={name: zone, "b": zone}, silent=(("b", text),))
    one = pages.target(name, type=text, url=text, peer=text, error_type=text, message=text)
    frame = replace(pages.FRAME, node=name, zone=zone, cluster=text, pod=name)
    made = (
        front.view(frame, Now(sight=sight, checks=[one], known=1, interval_seconds=5)),
        target.view(frame, one),
        target.missing(frame, text),
        pair.view(frame, pair.Direction(name, zone, text, one), SILENT),
    )
    return [
        (str(element.tag), tuple(sorted(map(str, element.attrib))))
        for body in made
        for element in _lenient(body).iter()
    ]


def _lenient(body: bytes) -> Element:
    """As a browser: a control character is a parse error, and is shown as it may."""
    root: Element = html5lib.parse(body, transport_encoding="utf-8", namespaceHTMLElements=False)
    return root
