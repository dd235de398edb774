"""Our own agent: its state, and its effective configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import htpy as h

from kubenurse_otel.page import frame as framing
from kubenurse_otel.page import words
from kubenurse_otel.page.table import columns, table
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubenurse_otel.config import Setting
    from kubenurse_otel.page.frame import Frame


@record(frozen=True, slots=True)
class Figure:
    """One figure. ``kind`` is a sign of words.mark if the figure is good or bad."""

    term: str
    value: str
    kind: str = ""


@record(frozen=True, slots=True)
class Group:
    identity: str
    heading: str
    figures: Sequence[Figure]
    nothing: str = ""
    """The text if there is no figure."""


def view(frame: Frame, groups: Sequence[Group], settings: Sequence[Setting]) -> bytes:
    return framing.document(
        frame,
        "This agent",
        [
            h.h1[f"The agent on node {frame.node}"],
            frame.pod
            and h.p[
                "Pod ", h.code[frame.pod], frame.namespace and f" in namespace {frame.namespace}"
            ],
            (framing.section(one.identity, one.heading, _figures(one)) for one in groups),
            _settings(settings),
        ],
    )


def _figures(group: Group) -> h.Node:
    if not group.figures:
        return h.p[group.nothing]
    return h.dl[
        (
            (h.dt[one.term], h.dd[one.kind and words.mark(one.kind), one.value])
            for one in group.figures
        )
    ]


def _settings(settings: Sequence[Setting]) -> h.Element:
    chosen = [one for one in settings if one.source != "default"]
    others = [one for one in settings if one.source == "default"]
    return framing.section(
        "configuration",
        "Configuration",
        h.p["As ", h.code["kubenurse-otel config"], " prints it. What may be a secret is masked."],
        _table("Variables that are set", chosen) if chosen else h.p["No variable is set."],
        h.details[
            h.summary[f"{words.plural(len(others), 'variable')} by default"],
            _table("Variables that have their default, or follow from others", others),
        ],
    )


def _table(caption: str, settings: Sequence[Setting]) -> h.Element:
    head = columns("variable", "value", "from", "note")
    lines = (
        (words.flat(h.code[one.name]), one.value or "-", str(one.source), one.note)
        for one in settings
    )
    return h.div(".settings")[table(caption, head, lines)]
