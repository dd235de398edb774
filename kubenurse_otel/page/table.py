"""Tables that a phone shows row by row: every cell knows its column's name.

Owns their HTML. Rows are most of a page, and htpy takes ten times as long for them: they are
written as text here, each cell escaped by markupsafe, as htpy does it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import htpy as h
from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Column(NamedTuple):
    name: str
    is_figure: bool = False
    """Whether the column holds figures, which are aligned to the right."""


def columns(*names: str, figures: Sequence[str] = ()) -> tuple[Column, ...]:
    """Return columns in this order. Those named in ``figures`` hold figures."""
    return tuple(Column(name, name in figures) for name in names)


def table(caption: str, head: Sequence[Column], lines: Iterable[Sequence[str]]) -> h.Element:
    """Return a table. The first cell of each row is its heading. A cell that is Markup is HTML."""
    begins = [_begin(column) for column in head[1:]]
    return h.div(".wide")[
        h.table(".rows")[
            h.caption[caption],
            h.thead[
                h.tr[[h.th(scope="col", class_=one.is_figure and "n")[one.name] for one in head],]
            ],
            h.tbody[Markup("".join([_line(begins, line) for line in lines]))],  # noqa: S704 - escaped
        ]
    ]


def anchor(href: str, text: str) -> Markup:
    """Return a link to another view."""
    return Markup(f'<a href="{escape(href)}">{escape(text)}</a>')  # noqa: S704 - escaped


def _begin(column: Column) -> str:
    style = ' class="n"' if column.is_figure else ""
    return f'<td{style} data-name="{escape(column.name)}">'


def _line(begins: Sequence[str], cells: Sequence[str]) -> str:
    first, *others = cells
    shown = [f"{begin}{escape(cell)}</td>" for begin, cell in zip(begins, others, strict=True)]
    return f'<tr><th scope="row">{escape(first)}</th>{"".join(shown)}</tr>'
