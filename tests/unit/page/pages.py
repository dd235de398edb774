"""What the page's tests show, and how they read it: html5lib refuses what is no HTML."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element

import html5lib

from kubenurse_otel.config import PageConfig
from kubenurse_otel.diagnosis.symptoms import Symptom
from kubenurse_otel.page.frame import Frame
from kubenurse_otel.report import checked
from kubenurse_otel.report.checked import Checked
from kubenurse_otel.report.seen import Seen, Sight, Slower, Way
from kubenurse_otel.report.verdicts import Report, Told

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NOW = 1_800_000_000.0
CHECKED_AT = "2027-01-15T07:59:58.000Z"
TRACE = "0123456789abcdef0123456789abcdef"
LINKS = PageConfig(
    trace_url="https://jaeger.example.com/trace/{trace_id}",
    query_url="https://prometheus.example.com/graph?g0.expr={query}",
    grafana_url="https://grafana.example.com",
)
FRAME = Frame(
    node="node-1",
    zone="zone-a",
    cluster="test",
    pod="kubenurse-1",
    namespace="monitoring",
    version="1.2.3",
    now=NOW,
    config=LINKS,
    refresh_seconds=5,
)
DOWN = Told(
    sentence="the agent on node node-4 refuses connections: nothing listens there",
    kind="agent",
    culprit="node-4",
    cause="refused",
    state="raised",
    confidence=0.9,
    since="2027-01-15T07:58:00.000Z",
    evidence=("from node-1, path_node-4: the connection was refused", "node-2 sees the same"),
    traces=(TRACE,),
    against=("node-5 reaches it",),
    second="node node-4",
)


def tree(body: bytes) -> Element:
    """Parse a whole document; raises at the first thing that is no HTML."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    root: Element = parser.parse(body, transport_encoding="utf-8")
    return root


def words(element: Element) -> str:
    return " ".join("".join(element.itertext()).split())


def section(root: Element, identity: str) -> Element:
    found = next(one for one in root.iter("section") if one.get("aria-labelledby") == identity)
    assert isinstance(found, Element)
    return found


def rows(root: Element) -> list[list[str]]:
    """The cells of each row of each table's body."""
    return [[words(cell) for cell in row] for body in root.iter("tbody") for row in body]


def hrefs(root: Element) -> Iterator[str]:
    """Every address that a document names."""
    for element in root.iter():
        for name, value in element.attrib.items():
            if str(name).rpartition("}")[2] in ("href", "src", "action", "data", "xlink:href"):
                yield value


def agent(node: str, **about: Any) -> Seen:
    report = Report(
        node=node,
        judged=True,
        verdicts=about.pop("verdicts", ()),
        suspicions=about.pop("suspicions", ()),
        doubt=about.pop("doubt", 0),
    )
    known = {"good": 8, "ways": 4, "checked_at": CHECKED_AT} | about
    return Seen(report=report, **known)


def cluster(count: int, **about: Any) -> Sight:
    """Nodes node-1 ... in three zones, whose agents all say that all is well."""
    zones = {f"node-{number}": f"zone-{'abc'[number % 3]}" for number in range(1, count + 1)}
    return Sight(**{"seen": tuple(agent(node) for node in zones), "zones": zones} | about)


def with_dead(sight: Sight, dead: str, *, ways: int = 10) -> Sight:
    """The same, and nobody of those who check ``dead`` reaches it."""
    left = [one for one in sight.seen if one.node != dead]
    seen = [
        replace(one, bad=1, bad_ways=(Way(one.node, dead, Symptom.SILENT, 9),))
        for one in left[:ways]
    ]
    return replace(sight, seen=(*seen, *left[ways:]), silent=((dead, "no answer within 2 s"),))


def slower(source: str, type_: str, whose: str, now: float = 0.4) -> Slower:
    return Slower(source, type_, whose, 0.002, now)


def target(key: str = "path_node-2", **about: Any) -> Checked:
    """As /api/v1/target tells it."""
    document = {
        "node": "node-1",
        "key": key,
        "type": key,
        "url": "http://10.0.0.2:8080/alwayshappy",
        "outcome": "ok",
        "checked_at": CHECKED_AT,
        "since": "2027-01-15T07:00:00.000Z",
        "duration_seconds": 0.0013,
        "phases": {
            "connect": 0.0002,
            "request": 0.0011,
            "network_round_trip": 0.0002,
            "loss": 0.0,
            "far_end": 0.0009,
            "far_end_wait": 0.0003,
            "far_end_app": 0.0005,
            "own_delay": 0.004,
        },
        "offsets": {
            "connect_start": 0.0,
            "connect_done": 0.0002,
            "got_conn": 0.0002,
            "wrote_request": 0.0002,
            "got_first_resp_byte": 0.0013,
        },
        "real_offsets": {
            "connect_start": 0.0001,
            "connect_done": 0.0003,
            "got_conn": 0.002,
            "wrote_request": 0.003,
            "got_first_resp_byte": 0.0053,
        },
        "timing_source": "kernel",
        "round_trip_source": "request_ack",
        "status_code": 200,
        "peer": "10.0.0.2:8080",
        "retransmits": 0,
        "trace_id": TRACE,
        "last_30_minutes": {
            "step_seconds": 10,
            "outcomes": "n" * 100 + "g" * 70 + "f" * 3 + "g" * 7,
            "longest_seconds": {"network": [None] * 100 + [0.0002] * 80},
        },
    }
    found = checked.read(document | about)
    assert found is not None
    return found


def targets(count: int) -> Sequence[Checked]:
    return [target(f"path_node-{number}") for number in range(count)]
