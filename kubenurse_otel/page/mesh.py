"""Who cannot reach whom: the whole cluster, drawn sparsely, and the same in words.

Only faults are drawn: one mark per way, and from 2,000 nodes on (or if there are too many faults)
one mark per node. Nodes stand in the order of zones. Every mark links to its pair, and its shape
says the same as its colour.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

import htpy as h
from markupsafe import Markup

from kubenurse_otel.diagnosis.view import MOST_RUN
from kubenurse_otel.page import links, svg, whole, words
from kubenurse_otel.page.table import anchor, columns, table
from kubenurse_otel.report import ways

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from kubenurse_otel.report.seen import Sight, Way
    from kubenurse_otel.report.ways import Ends, Mesh

WHOLE_NODES: Final = 2_000
"""From this many nodes on, one way is thinner than a screen can show."""
MOST_NAMED: Final = 30
"""Up to this many nodes, there is room for their names."""
_ZONE_MARGIN: Final = 84.0
_LETTER: Final = 6.6
_LEAST_MARK: Final = 6.0
_HEAD: Final = columns(*ways.HEAD)


def section(sight: Sight, mesh: Mesh, *, interval_seconds: float) -> h.Element:
    nodes = [node for _, node in sorted(zip(sight.zones.values(), sight.zones, strict=True))]
    return h.section(aria_labelledby="mesh")[
        h.h2("#mesh")["Who cannot reach whom"],
        h.p[words.mark(mesh.kind), mesh.said],
        bool(mesh.amiss or sight.silent) and len(nodes) > 1 and _picture(sight, nodes, mesh.amiss),
        bool(mesh.rows) and _table(mesh, interval_seconds),
    ]


# --- in words -----------------------------------------------------------------------------------


def _table(mesh: Mesh, interval_seconds: float) -> h.Node:
    return h.fragment[
        table(
            "Each way that is amiss. A name leads to the two nodes.",
            _HEAD,
            (_line(ends, same, interval_seconds) for ends, same in mesh.rows),
        ),
        mesh.left > 0 and h.p[f"... and {mesh.left} more"],
    ]


def _line(ends: Ends, same: Sequence[Way], interval_seconds: float) -> tuple[str, ...]:
    source, target, shows = ends
    first = source or _names(same, [way.source for way in same])
    second = target or _names(same, [way.target for way in same])
    if source and target:
        second = anchor(links.pair(source, target), target)
    run = max(way.run for way in same)
    lasts = f"{'more than ' if run >= MOST_RUN else ''}{words.lasting(run * interval_seconds)}"
    return first, second, shows, lasts


def _names(same: Sequence[Way], ends: Sequence[str]) -> Markup:
    """Like "5 nodes: a, b, c, d and 1 more", each name a link to its pair."""
    listed = sorted(zip(ends, same, strict=True), key=lambda one: one[0])[: ways.MOST_NAMES]
    shown = Markup(", ").join(
        [anchor(links.pair(way.source, way.target), name) for name, way in listed]
    )
    left = len(same) - len(listed)
    if len(same) == 1:
        return shown
    return f"{words.plural(len(same), 'node')}: " + shown + (f" and {left} more" if left else "")


# --- drawn --------------------------------------------------------------------------------------


def _picture(sight: Sight, nodes: Sequence[str], amiss: Sequence[Way]) -> h.Node:
    silent = {node for node, _ in sight.silent}
    if len(nodes) >= WHOLE_NODES or len(amiss) > whole.MOST_MARKS:
        return h.figure[words.flat(whole.picture(nodes, amiss, silent)), _legend("a node")]
    return h.figure[words.flat(_matrix(sight.zones, nodes, amiss, silent)), _legend("a way")]


def _matrix(
    zones: Mapping[str, str], nodes: Sequence[str], amiss: Sequence[Way], silent: set[str]
) -> h.Element:
    """Draw the matrix: sources from top to bottom, targets from left to right."""
    labels = [_label(node) for node in nodes] if len(nodes) <= MOST_NAMED else []
    top = max((len(label) for label in labels), default=0) * _LETTER + 8
    left = top + _ZONE_MARGIN
    cell = min(28.0, whole.SIZE / len(nodes))
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
        svg.rectangle("field", left, top, side, side),
        svg.together(
            svg.rectangle("mute", left, top + begin, side, length)
            for begin, length in _runs(nodes, silent, at, cell)
        ),
        _zone_lines(zones, nodes, at, left=left, top=top, side=side),
        _node_labels(labels, cell, left=left, top=top),
        svg.together(
            svg.link(
                links.pair(way.source, way.target),
                f"{way.source} to {way.target}: {ways.shown(way)}",
                svg.mark(
                    ways.kind(way),
                    left + at[way.target] + cell / 2,
                    top + at[way.source] + cell / 2,
                    size,
                ),
            )
            for way in amiss
            if way.source in at and way.target in at
        ),
    ]


def _runs(
    nodes: Iterable[str], among: set[str], place: Mapping[str, float], cell: float
) -> Iterator[tuple[float, float]]:
    """Return the runs of nodes in a row that are all ``among``: (begin, length), at most 600."""
    left = whole.MOST_MARKS
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
    """Shorten a node's name to its end: the names are long, and differ at their ends."""
    return node if len(node) <= 16 else f"{node[:6]}…{node[-9:]}"


def _legend(of: str) -> h.Element:
    def entry(drawn: Markup, text: str) -> h.Element:
        return h.li[h.svg(viewBox="0 0 12 12", aria_hidden="true")[drawn], text]

    return h.figcaption[
        f"A mark is {of} on which something is amiss. From whom downwards, to whom to the right, "
        "in the order of zones. Where there is none it is well, or not checked."
        if of == "a way"
        else f"A mark is {of}; all nodes have a place, in the order of zones, row by row.",
        h.ul(".legend")[
            entry(svg.rectangle("hard", 1, 1, 10, 10), "no answer"),
            entry(svg.circle("soft", 6, 6, 5), "a bad or slow answer"),
            entry(svg.circle("lossy", 6, 6, 4), "lost packets"),
            entry(svg.rectangle("mute", 0, 3, 12, 6), "its agent did not answer us"),
        ],
    ]
