"""The last 30 minutes of a target in one picture, and in a sentence."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

import htpy as h

from kubenurse_otel.diagnosis.slow import median
from kubenurse_otel.page import words
from kubenurse_otel.report import slower
from kubenurse_otel.state.history import STEP_SECONDS, STEPS, WHOSE, Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kubenurse_otel.report.checked import Strip

_HEIGHT: Final = 60.0
_BAND: Final = 12.0
"""Of outcomes, below the curve."""
_MINUTES: Final = STEPS * STEP_SECONDS / 60


def section(strip: Strip | None) -> h.Element:
    return h.section(aria_labelledby="strip")[
        h.h2("#strip")[f"The last {_MINUTES:.0f} minutes"],
        h.p["Not kept of this target: too many are checked."] if strip is None else _shown(strip),
    ]


def _shown(strip: Strip) -> h.Node:
    trips = [one for one in strip.parts["network"] if one is not None]
    highest = max(trips, default=0.0)
    failed = sum(one is Step.FAILED for one in strip.outcomes)
    checked = sum(one is not Step.NONE for one in strip.outcomes)
    return h.fragment[
        h.figure[
            h.svg(
                ".strip",
                viewBox=f"0 0 {STEPS} {_HEIGHT + _BAND + 2:g}",
                preserveAspectRatio="none",
                role="img",
                aria_label=f"Round trips up to {words.duration(highest)}, and outcomes, "
                f"{STEPS} steps of {STEP_SECONDS:.0f} s, now at the right",
            )[
                h.path(
                    class_="trace",
                    d=_curve(strip.parts["network"], highest),
                    vector_effect="non-scaling-stroke",
                ),
                _outcomes(strip.outcomes),
            ],
            h.figcaption[
                f"Above: the longest network round trip of each {STEP_SECONDS:.0f} s, up to "
                f"{words.duration(highest) or 'nothing yet'}. Below: green where all was good, red "
                "and higher where a check failed, nothing where none was made. Now is at the right."
            ],
        ],
        h.p[
            f"{words.plural(failed, 'step')} of {checked} with a failed check. "
            f"Medians: {_medians(strip)}."
        ],
    ]


def _medians(strip: Strip) -> str:
    told = []
    for name in WHOSE:
        known = [one for one in strip.parts[name] if one is not None]
        if known:
            told.append(f"{slower.WHOSE[name]} {words.duration(median(known))}")
    return ", ".join(told) or "nothing was measured"


def _curve(series: Sequence[float | None], highest: float) -> str:
    """Return an SVG path in pieces, with gaps where nothing was measured."""
    scale = (_HEIGHT - 2) / highest if highest > 0 else 0.0
    drawn: list[str] = []
    pen = "M"
    for step, seconds in enumerate(series):
        if seconds is None:
            pen = "M"
            continue
        y = f"{_HEIGHT - seconds * scale:.1f}"
        drawn.append(f"{pen}{step} {y}H{step + 1}")
        pen = "L"
    return "".join(drawn)


def _outcomes(outcomes: Sequence[Step]) -> Iterator[h.Element]:
    at = 0
    for outcome, run in groupby(outcomes):
        length = len(list(run))
        if outcome is not Step.NONE:
            is_bad = outcome is Step.FAILED
            top = _HEIGHT + 2 if is_bad else _HEIGHT + 2 + _BAND / 2
            yield h.rect(
                class_="hard" if is_bad else "fine",
                x=str(at),
                y=f"{top:g}",
                width=str(length),
                height=f"{_HEIGHT + 2 + _BAND - top:g}",
            )
        at += length
