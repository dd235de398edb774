"""Two nodes: what each says of the way to the other, and where the time of that check went."""

from __future__ import annotations

from typing import TYPE_CHECKING

import htpy as h

from kubenurse_otel.page import frame as framing
from kubenurse_otel.page import links, target, words
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from kubenurse_otel.page.frame import Frame
    from kubenurse_otel.report.checked import Checked


@record(frozen=True, slots=True)
class Direction:
    """``checked`` is None where there is no answer yet, or a ``problem``."""

    source: str
    target: str
    pod: str = ""
    """Of the source's agent."""
    checked: Checked | None = None
    problem: str = ""


def view(frame: Frame, there: Direction, back: Direction) -> bytes:
    title = f"From {there.source} to {there.target}"
    return framing.document(
        frame,
        title,
        [
            h.h1[f"{title}, and back"],
            (_section(frame, one, number) for number, one in enumerate((there, back))),
        ],
    )


def _section(frame: Frame, one: Direction, number: int) -> h.Element:
    identity = f"way-{number}"
    return h.section(aria_labelledby=identity)[
        h.h2(id=identity)[
            f"From {one.source} to {one.target}",
            one.checked is not None and [": ", words.outcome(one.checked.outcome)],
        ],
        _content(frame, one),
    ]


def _content(frame: Frame, one: Direction) -> h.Node:
    if one.problem:
        return h.p[words.mark("warn"), f"Node {one.source} says nothing of it: {one.problem}."]
    if one.checked is None:
        return h.p[f"The agent on node {one.source} is asked ..."]
    if one.source == frame.node:
        more: h.Node = h.p[h.a(href=links.target(one.checked.key))["Its last 30 minutes"]]
    else:
        namespace = f"-n {frame.namespace} " if frame.namespace else ""
        more = (
            one.pod
            and h.p[
                "That agent's own page: ",
                h.code[f"kubectl {namespace}port-forward pod/{one.pod} {frame.port}"],
            ]
        )
    return h.fragment[target.body(frame, one.checked), more]
