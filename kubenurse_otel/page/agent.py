"""Our own agent: how it is itself, and what its configuration comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import htpy as h

from kubenurse_otel.page import frame as framing
from kubenurse_otel.page import words
from kubenurse_otel.page.table import columns, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubenurse_otel.config import Setting
    from kubenurse_otel.page.frame import Frame


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing to know; ``kind`` is a sign of words.mark where it is good or bad."""

    term: str
    value: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    identity: str
    heading: str
    figures: Sequence[Figure]
    nothing: str = ""
    """What is said where there is no figure."""


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
    chosen = sum(one.source != "default" for one in settings)
    return framing.section(
        "configuration",
        "Configuration",
        h.p[
            f"{words.plural(len(settings), 'variable')}, {chosen} of them not by default. "
            "What may be a secret is masked."
        ],
        table(
            "What the environment comes to, as `kubenurse-otel config` prints it",
            columns("variable", "value", "from", "note"),
            (
                (words.flat(h.code[one.name]), one.value or "-", str(one.source), one.note)
                for one in sorted(settings, key=lambda one: one.source == "default")
            ),
        ),
    )
