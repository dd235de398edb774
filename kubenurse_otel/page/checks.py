"""Our own checks: the last one of each target, what is bad first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import htpy as h

from kubenurse_otel.page import links, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kubenurse_otel.page.frame import Frame
    from kubenurse_otel.report.checked import Checked

_NAMES: Final = (
    *("target", "last check", "total", "network", "loss", "far end", "own delay", "checked"),
)
_FIGURES: Final = ("network_round_trip", "loss", "far_end", "own_delay")


def section(frame: Frame, checks: Sequence[Checked], *, known: int) -> h.Element:
    """``checks`` are some of the ``known``, what is bad first."""
    left = known - len(checks)
    return h.section(aria_labelledby="checks")[
        h.h2("#checks")[f"Where the time went: checks of node {frame.node}"],
        h.div(".wide")[
            h.table(".rows")[
                h.caption["The last check of each target. A target's name leads to its waterfall."],
                h.thead[h.tr[(h.th(scope="col", class_=_style(name))[name] for name in _NAMES)]],
                h.tbody[(words.flat(_row(frame, one)) for one in checks)],
            ]
        ]
        if checks
        else h.p["Nothing is checked: no target is known yet."],
        left > 0
        and h.p[f"... and {left} more, which are good: ", h.a(href="alive")["as JSON"], "."],
    ]


def _row(frame: Frame, one: Checked) -> h.Element:
    error = one.text("error_type")
    figures = (one.duration, *(one.phases.get(name) for name in _FIGURES))
    checked_at = one.text("checked_at")
    cells: Iterable[h.Node] = (
        [words.outcome(one.outcome), error and f": {error}"],
        *(_figure(seconds) for seconds in figures),
        words.ago(checked_at, frame.now) if checked_at else "",
    )
    return h.tr[
        h.th(scope="row")[h.a(href=links.target(one.key))[one.key]],
        (
            h.td(data_name=name, class_=_style(name))[cell]
            for name, cell in zip(_NAMES[1:], cells, strict=True)
        ),
    ]


def _style(name: str) -> str | None:
    return None if name in _NAMES[:2] else "n"


def _figure(seconds: float | None) -> str:
    return "0" if seconds == 0 else words.duration(seconds)
