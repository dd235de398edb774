"""Who cannot reach whom: the whole cluster, drawn sparsely, and the same in words.

Only what is amiss is drawn: a mark a way, from 2,000 nodes on (or where too much is amiss) a mark
a node. Nodes stand in the order of zones. Every mark leads to its pair; its shape says what its
colour says.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from itertools import groupby
from typing import TYPE_CHECKING, Final

import htpy as h

from kubenurse_otel.diagnosis.symptoms import HARD, Symptom
from kubenurse_otel.diagnosis.view import MOST_RUN
from kubenurse_otel.page import links, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from kubenurse_otel.report.seen import Sight, Way

WHOLE_NODES: Final = 2_000
"""From so many nodes on a way is thinner than what a screen shows."""
MOST_MARKS: Final = 600
MOST_ROWS: Final = 40
MOST_NAMES: Final = 4
MOST_NAMED: Final = 30
"""Up to so many nodes have room for their names."""
TOGETHER: Final = 3
"""So many ways with an end in common are one row."""
_SIZE: Final = 720.0
_ZONE_MARGIN: Final = 84.0
_LETTER: Final = 6.6
_LEAST_MARK: Final = 4.0
_WORDS: Final[Mapping[Symptom, str]] = {
    Symptom.OK: "loses packets",
    Symptom.SILENT: "no answer",
    Symptom.STALLED: "connects, then silence",
    Symptom.MUTE: "its kernel answers, its process does not",
    Symptom.REFUSED: "refuses connections",
    Symptom.CUT: "ends connections early",
    Symptom.FULL_SIZE: "only small packets pass",
    Symptom.CERTIFICATE: "certificate not accepted",
    Symptom.BROKEN: "a bad answer",
    Symptom.TOKEN: "token refused",
    Symptom.SLOW: "slow",
}
"""What a check found on a way; all others are of DNS."""


Ends = tuple[str, str, str]
"""(source, target, what is seen); an end is empty where it is several."""


def section(sight: Sight, *, interval_seconds: float) -> h.Element:
    ways = [way for agent in sight.seen for way in agent.bad_ways]
    nodes = [node for node, _ in sorted(sight.zones.items(), key=lambda one: (one[1], one[0]))]
    known = sum(agent.ways for agent in sight.seen)
    return h.section(aria_labelledby="mesh")[
        h.h2("#mesh")["Who cannot reach whom"],
        h.p[
            words.mark("bad" if ways else "good"),
            f"{words.plural(len(ways), 'way is', 'ways are')} amiss of {known:,} that are checked,",
            f" between {words.plural(len(nodes), 'node')}.",
        ],
        bool(ways or sight.silent) and len(nodes) > 1 and _picture(sight, nodes, ways),
        bool(ways) and _table(together(ways), interval_seconds),
    ]


def together(ways: Sequence[Way]) -> list[tuple[Ends, list[Way]]]:
    """Put together what shows the same and has an end in common; the widest first."""
    into, out = Counter([way.target for way in ways]), Counter([way.source for way in ways])
    by_ends: dict[Ends, list[Way]] = defaultdict(list)
    for way in ways:
        source, target = way.source, way.target
        if out[source] >= TOGETHER and out[source] > into[target]:
            target = ""
        elif into[target] >= TOGETHER:
            source = ""
        by_ends[source, target, shown(way)].append(way)
    return sorted(by_ends.items(), key=lambda one: (-len(one[1]), one[0]))


def shown(way: Way) -> str:
    """What a way shows, in words."""
    said = _WORDS.get(way.symptom, "its name is not found")
    return f"{said}, and loses packets" if way.lossy and way.symptom is not Symptom.OK else said


def kind(way: Way) -> str:
    """The mark's class: hard, soft or lossy."""
    if way.symptom in HARD:
        return "hard"
    return "soft" if way.symptom is not Symptom.OK else "lossy"


# --- in words -----------------------------------------------------------------------------------


def _table(found: Sequence[tuple[Ends, list[Way]]], interval_seconds: float) -> h.Node:
    head = ("from", "to", "what is seen", "for")
    return h.fragment[
        h.div(".wide")[
            h.table(".rows")[
                h.caption["Each way that is amiss. A name leads to the two nodes."],
                h.thead[h.tr[(h.th(scope="col")[name] for name in head)]],
                h.tbody[
                    (
                        words.flat(_line(ends, same, head, interval_seconds))
                        for ends, same in found[:MOST_ROWS]
                    )
                ],
            ]
        ],
        len(found) > MOST_ROWS and h.p[f"... and {len(found) - MOST_ROWS} more"],
    ]


def _line(
    ends: Ends, same: Sequence[Way], head: Sequence[str], interval_seconds: float
) -> h.Element:
    source, target, shows = ends
    first: h.Node = source or _names(same, [way.source for way in same])
    second: h.Node = target or _names(same, [way.target for way in same])
    if source and target:
        second = h.a(href=links.pair(source, target))[target]
    run = max(way.run for way in same)
    lasts = f"{'more than ' if run >= MOST_RUN else ''}{words.lasting(run * interval_seconds)}"
    return h.tr[
        h.th(scope="row", data_name=head[0])[first],
        (
            h.td(data_name=name)[cell]
            for name, cell in zip(head[1:], (second, shows, lasts), strict=True)
        ),
    ]


def _names(same: Sequence[Way], ends: Sequence[str]) -> h.Node:
    """Like "5 nodes: a, b, c, d and 1 more", each name a link to its pair."""
    if len(same) == 1:
        return h.a(href=links.pair(same[0].source, same[0].target))[ends[0]]
    listed = sorted(zip(ends, same, strict=True), key=lambda one: one[0])[:MOST_NAMES]
    left = len(same) - len(listed)
    return [
        f"{words.plural(len(same), 'node')}: ",
        (
            [index > 0 and ", ", h.a(href=links.pair(way.source, way.target))[name]]
            for index, (name, way) in enumerate(listed)
        ),
        left > 0 and f" and {left} more",
    ]


# --- drawn --------------------------------------------------------------------------------------


def _picture(sight: Sight, nodes: Sequence[str], ways: Sequence[Way]) -> h.Node:
    silent = {node for node, _ in sight.silent}
    if len(nodes) >= WHOLE_NODES or len(ways) > MOST_MARKS:
        return h.figure[words.flat(_whole_nodes(nodes, ways, silent)), _legend("a node")]
    return h.figure[words.flat(_matrix(sight.zones, nodes, ways, silent)), _legend("a way")]


def _matrix(
    zones: Mapping[str, str], nodes: Sequence[str], ways: Sequence[Way], silent: set[str]
) -> h.Element:
    """From whom downwards, to whom to the right."""
    labels = [_label(node) for node in nodes] if len(nodes) <= MOST_NAMED else []
    top = max((len(label) for label in labels), default=0) * _LETTER + 8
    left = top + _ZONE_MARGIN
    cell = min(28.0, _SIZE / len(nodes))
    side = cell * len(nodes)
    at = {node: index * cell for index, node in enumerate(nodes)}
    size = max(cell * 0.8, _LEAST_MARK)
    width, height = f"{left + side + 1:g}", f"{top + side + 1:g}"
    return h.svg(
        ".mesh",
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        aria_hidden="true",  # the table below says the same, and has the same links
    )[
        _rectangle("field", left, top, side, side),
        (
            _rectangle("mute", left, top + begin, side, length)
            for begin, length in _runs(nodes, silent, at, cell)
        ),
        _zone_lines(zones, nodes, at, left=left, top=top, side=side),
        _node_labels(labels, cell, left=left, top=top),
        (
            _link(
                way.source,
                way.target,
                f"{way.source} to {way.target}: {shown(way)}",
                _mark(
                    kind(way),
                    left + at[way.target] + cell / 2,
                    top + at[way.source] + cell / 2,
                    size,
                ),
            )
            for way in ways
            if way.source in at and way.target in at
        ),
    ]


def _whole_nodes(nodes: Sequence[str], ways: Sequence[Way], silent: set[str]) -> h.Element:
    """Every node has a place, in the order of zones, row by row; a mark only where it is amiss."""
    columns = math.ceil(math.sqrt(len(nodes)))
    cell = _SIZE / columns
    side = columns * cell
    worst: dict[str, Way] = {}
    ends = Counter([way.target for way in ways])
    ends.update([way.source for way in ways])
    for way in ways:
        node = way.target if ends[way.target] >= ends[way.source] else way.source
        if node not in worst or way.symptom in HARD:
            worst[node] = way
    height = math.ceil(len(nodes) / columns) * cell
    return h.svg(
        ".mesh",
        viewBox=f"0 0 {side:g} {height:g}",
        width=f"{side:g}",
        height=f"{height:g}",
        aria_hidden="true",  # the table below says the same, and has the same links
    )[
        _rectangle("field", 0, 0, side, height),
        _runs_of_nodes(nodes, columns, cell, worst, silent)
        if len(worst) + len(silent) > MOST_MARKS
        else (
            _whole_node(
                node, index % columns * cell, index // columns * cell, cell, worst.get(node)
            )
            for index, node in enumerate(nodes)
            if node in worst or node in silent
        ),
    ]


def _runs_of_nodes(
    nodes: Sequence[str], columns: int, cell: float, worst: Mapping[str, Way], silent: set[str]
) -> Iterator[h.Element]:
    """Where so many are amiss that each is no news: a mark a run of them in a row."""

    def style(index: int) -> str:
        way = worst.get(nodes[index])
        return kind(way) if way is not None else "mute" if nodes[index] in silent else ""

    for row in range(0, len(nodes), columns):
        for of, run in groupby(range(row, min(row + columns, len(nodes))), key=style):
            first, *others = run
            length = 1 + len(others)
            if of:
                x, y = first % columns * cell, first // columns * cell
                yield _rectangle(of, x, y, length * cell, cell)


def _whole_node(node: str, x: float, y: float, cell: float, way: Way | None) -> h.Element:
    if way is None:
        return h.g[_rectangle("mute", x, y, cell, cell), h.title[f"{node} did not answer us"]]
    drawn = _mark(kind(way), x + cell / 2, y + cell / 2, cell * 0.9)
    return _link(way.source, way.target, f"{node}: {shown(way)}", drawn)


def _mark(style: str, x: float, y: float, size: float) -> h.Element:
    """A square is no answer, a full circle a bad one, an empty circle lost packets."""
    if style == "hard":
        return _rectangle("hard", x - size / 2, y - size / 2, size, size)
    return h.circle(class_=style, cx=f"{x:.1f}", cy=f"{y:.1f}", r=f"{size / 2:.1f}")


def _link(source: str, target: str, title: str, drawn: h.Element) -> h.Element:
    """For the mouse: the table has the same links for the keyboard."""
    return h.a(href=links.pair(source, target), tabindex="-1")[h.title[title], drawn]


def _rectangle(style: str, x: float, y: float, width: float, height: float) -> h.Element:
    return h.rect(
        class_=style, x=f"{x:.1f}", y=f"{y:.1f}", width=f"{width:.1f}", height=f"{height:.1f}"
    )


def _runs(
    nodes: Iterable[str], among: set[str], place: Mapping[str, float], cell: float
) -> Iterator[tuple[float, float]]:
    """Where neighbours in the order are all ``among``: (begin, length), 600 at most."""
    left = MOST_MARKS
    for is_among, run in groupby(nodes, key=lambda node: node in among):
        if is_among and left:
            listed = list(run)
            left -= 1
            yield place[listed[0]], len(listed) * cell


def _zone_lines(
    zones: Mapping[str, str],
    nodes: Sequence[str],
    place: Mapping[str, float],
    *,
    left: float,
    top: float,
    side: float,
) -> Iterator[h.Element]:
    for number, (zone, members) in enumerate(groupby(nodes, key=lambda node: zones[node])):
        if number == MOST_NAMED:
            return
        at = place[next(members)]
        if number:
            x, y = f"{left + at:.1f}", f"{top + at:.1f}"
            yield h.line(class_="zone", x1=x, x2=x, y1=f"{top:g}", y2=f"{top + side:g}")
            yield h.line(class_="zone", y1=y, y2=y, x1=f"{left:g}", x2=f"{left + side:g}")
        if zone:
            yield h.text(class_="label", x="0", y=f"{top + at + 12:.1f}")[zone[:12]]


def _node_labels(
    labels: Sequence[str], cell: float, *, left: float, top: float
) -> Iterator[h.Element]:
    for index, label in enumerate(labels):
        middle = (index + 0.5) * cell + 4
        yield h.text(class_="label", x=f"{left - 6:g}", y=f"{top + middle:.1f}", text_anchor="end")[
            label
        ]
        turned = f"translate({left + middle:.1f} {top - 6:g}) rotate(-90)"
        yield h.text(class_="label", x="0", y="0", transform=turned)[label]


def _label(node: str) -> str:
    """Names of nodes are long, and differ at their ends."""
    return node if len(node) <= 16 else f"{node[:6]}…{node[-9:]}"


def _legend(of: str) -> h.Element:
    def entry(drawn: h.Element, text: str) -> h.Element:
        return h.li[h.svg(viewBox="0 0 12 12", aria_hidden="true")[drawn], text]

    return h.figcaption[
        f"A mark is {of} on which something is amiss. From whom downwards, to whom to the right, "
        "in the order of zones. Where there is none it is well, or not checked."
        if of == "a way"
        else f"A mark is {of}; all nodes have a place, in the order of zones, row by row.",
        h.ul(".legend")[
            entry(_rectangle("hard", 1, 1, 10, 10), "no answer"),
            entry(h.circle(class_="soft", cx="6", cy="6", r="5"), "a bad or slow one"),
            entry(h.circle(class_="lossy", cx="6", cy="6", r="4"), "lost packets"),
            entry(_rectangle("mute", 0, 3, 12, 6), "its agent did not answer us"),
        ],
    ]
