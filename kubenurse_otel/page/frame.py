"""The frame of all views: head, navigation, footer. Owns the order of landmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import htpy as h
from markupsafe import Markup

from kubenurse_otel.page import links, words
from kubenurse_otel.page.style import CSS
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from kubenurse_otel.config import PageConfig

STILL: Final = "still"
"""The query's field that stops refreshing (WCAG 2.2, 2.2.1)."""


@record(frozen=True, slots=True, kw_only=True)
class Frame:
    """Whose page it is, and when it was made (Unix seconds)."""

    node: str
    zone: str = ""
    cluster: str = ""
    pod: str = ""
    namespace: str = ""
    port: int = 8080
    version: str
    now: float
    config: PageConfig
    refresh_seconds: int | None = None
    """Seconds until the page reloads. None: it does not reload."""
    here: str = links.FRONT
    """The view's own address, as other views link to it."""

    def with_field(self, field: str) -> str:
        path = self.here if self.here != links.FRONT else "./"
        return f"{path}{'&' if '?' in path else '?'}{field}"


def document(frame: Frame, title: str, main: h.Node) -> bytes:
    """Return a view's bytes. ``main`` begins with its h1."""
    return _document(
        f"{title} - {frame.node or 'kubenurse-otel'}",
        [
            h.a(".skip", href="#main")["Skip to the content"],
            h.header[_whose(frame), _navigation(frame)],
            h.main("#main", tabindex="-1")[words.flat(h.fragment[main])],
            _footer(frame),
        ],
        frame.refresh_seconds,
    )


def bare(title: str, main: h.Node, *, refresh_seconds: int | None) -> bytes:
    """Return a document that is the same for everybody, at any time."""
    return _document(f"{title} - kubenurse-otel", h.main[main], refresh_seconds)


def _document(title: str, body: h.Node, refresh_seconds: int | None) -> bytes:
    made = h.html(lang="en")[
        h.head[
            h.meta(charset="utf-8"),
            h.meta(name="viewport", content="width=device-width, initial-scale=1"),
            refresh_seconds is not None
            and h.meta(http_equiv="refresh", content=str(refresh_seconds)),
            h.title[title],
            h.link(rel="icon", href="data:,"),
            h.style[Markup(CSS)],  # noqa: S704 - our own constant
        ],
        h.body[body],
    ]
    return str(made).encode("utf-8", "replace")


def section(identity: str, heading: str, *content: h.Node) -> h.Element:
    """A part with a heading, which names it."""
    return h.section(aria_labelledby=identity)[h.h2(id=identity)[heading], *content]


def out(href: str, text: str) -> h.Node:
    """Return a link to elsewhere, or only its text if there is no link."""
    return h.a(href=href, rel="noreferrer")[text] if href else text


def _whose(frame: Frame) -> h.Element:
    place = ", ".join(
        f"{label} {value}"
        for label, value in (("zone", frame.zone), ("cluster", frame.cluster))
        if value
    )
    return h.p[
        h.strong["kubenurse-otel"],
        f" on node {frame.node or 'without a name'}{' (' + place + ')' if place else ''}",
    ]


def _navigation(frame: Frame) -> h.Element:
    views = ((links.FRONT, "Now"), (links.AGENT, "This agent"))
    return h.nav(aria_label="Views")[
        h.ul[
            (
                h.li[h.a(href=href, aria_current="page" if href == frame.here else None)[text]]
                for href, text in views
            ),
            frame.config.grafana_url
            and h.li[out(links.dashboard(frame.config, "overview"), "Dashboards")],
        ]
    ]


def _footer(frame: Frame) -> h.Element:
    if frame.refresh_seconds is None:
        refreshing = h.p[
            "This page stands still. ", h.a(href=frame.here)["Refresh it by itself"], "."
        ]
    else:
        refreshing = h.p[
            f"Refreshed every {frame.refresh_seconds} s. ",
            h.a(href=frame.with_field(f"{STILL}=1"))["Stop refreshing"],
            ".",
        ]
    return h.footer[
        h.p[f"As of {words.clock(frame.now)}, kubenurse-otel {frame.version}."], refreshing
    ]
