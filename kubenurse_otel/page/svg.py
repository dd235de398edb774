"""Shapes and their links, as text: there may be hundreds, and htpy would take ten times as long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Iterable


def rectangle(style: str, x: float, y: float, width: float, height: float) -> Markup:
    return Markup(  # noqa: S704 - numbers, and a class of our own
        f'<rect class="{style}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}">'
        "</rect>"
    )


def circle(style: str, x: float, y: float, radius: float) -> Markup:
    return Markup(  # noqa: S704 - as above
        f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"></circle>'
    )


def mark(style: str, x: float, y: float, size: float) -> Markup:
    """A square is no answer, a full circle a bad one, an empty circle lost packets."""
    if style == "hard":
        return rectangle("hard", x - size / 2, y - size / 2, size, size)
    return circle(style, x, y, size / 2)


def titled(title: str, drawn: Markup) -> Markup:
    """Add a title, which browsers show where the mouse rests."""
    return Markup(f"<g><title>{escape(title)}</title>{drawn}</g>")  # noqa: S704 - escaped


def link(href: str, title: str, drawn: Markup) -> Markup:
    """Return a link for the mouse only. The keyboard has the same links in a table."""
    return Markup(  # noqa: S704 - escaped
        f'<a href="{escape(href)}" tabindex="-1"><title>{escape(title)}</title>{drawn}</a>'
    )


def together(shapes: Iterable[Markup]) -> Markup:
    return Markup("").join(shapes)
