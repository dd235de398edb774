"""Who cannot reach whom, if there are too many ways to draw: one mark per node."""

from __future__ import annotations

import math
from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING, Final

import htpy as h

from kubenurse_otel.diagnosis.symptoms import HARD
from kubenurse_otel.page import links, svg
from kubenurse_otel.report import ways

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from markupsafe import Markup

    from kubenurse_otel.report.seen import Way

MOST_MARKS: Final = 600
SIZE: Final = 720.0


def picture(nodes: Sequence[str], amiss: Sequence[Way], silent: set[str]) -> h.Element:
    """Return the picture. Every node has a place, in the order of zones, row by row. Only nodes
    with a fault have a mark.
    """
    across = math.ceil(math.sqrt(len(nodes)))
    cell = SIZE / across
    side = across * cell
    worst = _worst(amiss)
    height = math.ceil(len(nodes) / across) * cell
    return h.svg(
        ".mesh",
        viewBox=f"0 0 {side:g} {height:g}",
        width=f"{side:g}",
        height=f"{height:g}",
        aria_hidden="true",  # the table below says the same, and has the same links
    )[
        svg.rectangle("field", 0, 0, side, height),
        svg.together(
            _runs_of_nodes(nodes, across, cell, worst, silent)
            if len(worst) + len(silent) > MOST_MARKS
            else (
                _node(node, index % across * cell, index // across * cell, cell, worst.get(node))
                for index, node in enumerate(nodes)
                if node in worst or node in silent
            )
        ),
    ]


def _worst(amiss: Sequence[Way]) -> dict[str, Way]:
    """A way of each node at which more end than at its other end."""
    ends = Counter([way.target for way in amiss])
    ends.update([way.source for way in amiss])
    worst: dict[str, Way] = {}
    for way in amiss:
        node = way.target if ends[way.target] >= ends[way.source] else way.source
        if node not in worst or way.symptom in HARD:
            worst[node] = way
    return worst


def _runs_of_nodes(
    nodes: Sequence[str], across: int, cell: float, worst: Mapping[str, Way], silent: set[str]
) -> Iterator[Markup]:
    """If very many nodes have faults, draw one mark per run of them in a row."""

    def style(node: str) -> str:
        way = worst.get(node)
        return ways.kind(way) if way is not None else "mute" if node in silent else ""

    styles = [style(node) for node in nodes]
    for row, begin in enumerate(range(0, len(nodes), across)):
        at = 0
        for of, run in groupby(styles[begin : begin + across]):
            length = len(list(run))
            if of:
                yield svg.rectangle(of, at * cell, row * cell, length * cell, cell)
            at += length


def _node(node: str, x: float, y: float, cell: float, way: Way | None) -> Markup:
    if way is None:
        return svg.titled(f"{node} did not answer us", svg.rectangle("mute", x, y, cell, cell))
    drawn = svg.mark(ways.kind(way), x + cell / 2, y + cell / 2, cell * 0.9)
    return svg.link(links.pair(way.source, way.target), f"{node}: {ways.shown(way)}", drawn)
