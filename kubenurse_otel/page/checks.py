"""Our own checks: the last one of each target, bad ones first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import htpy as h

from kubenurse_otel.page import links, words
from kubenurse_otel.page.table import anchor, columns, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubenurse_otel.page.frame import Frame
    from kubenurse_otel.report.checked import Checked

_FIGURED: Final = ("total", "network", "loss", "far end", "own delay", "checked")
_HEAD: Final = columns("target", "last check", *_FIGURED, figures=_FIGURED)
_FIGURES: Final = ("network_round_trip", "loss", "far_end", "own_delay")


def section(
    frame: Frame, checks: Sequence[Checked], *, known: int, interval_seconds: float
) -> h.Element:
    """Return the section. ``checks`` are some of the ``known``, bad ones first. Most are made every
    interval.
    """
    left = known - len(checks)
    return h.section(aria_labelledby="checks")[
        h.h2("#checks")[f"Where the time went: checks of node {frame.node}"],
        table(
            "The last check of each target. A target's name leads to its waterfall.",
            _HEAD,
            (_line(frame, one, interval_seconds) for one in checks),
        )
        if checks
        else h.p["Nothing is checked: no target is known yet."],
        left > 0
        and h.p[f"... and {left} more, none of them worse: ", h.a(href="alive")["as JSON"], "."],
    ]


def _line(frame: Frame, one: Checked, interval_seconds: float) -> tuple[str, ...]:
    error = one.text("error_type")
    outcome, checked_at = words.outcome(one.outcome), one.text("checked_at")
    return (
        anchor(links.target(one.key), one.key),
        outcome + f": {error}" if error else outcome,
        words.duration(one.duration),
        *(_figure(one.phases.get(name)) for name in _FIGURES),
        words.ago(checked_at, frame.now) + _rarely(one, interval_seconds) if checked_at else "",
    )


def _rarely(one: Checked, interval_seconds: float) -> str:
    """Say how rarely a kind is checked: it may stay bad for a while after the fault is fixed."""
    own = one.number("interval_seconds") or 0.0
    return f", each {words.lasting(own)}" if own > interval_seconds else ""


def _figure(seconds: float | None) -> str:
    return "0" if seconds == 0 else words.duration(seconds)
