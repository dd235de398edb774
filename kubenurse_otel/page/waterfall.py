"""Where the time of a check went: each step on both time lines, and its nine events.

On the network's line the agent itself takes no time; figures and offsets are on this line. The
other line is real time (docs/split.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import htpy as h

from kubenurse_otel import semconv
from kubenurse_otel.page import words
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kubenurse_otel.report.checked import Checked

_WIDTH: Final = 1_000.0
_LEAST: Final = 3.0
"""Whatever happened is seen."""
_STEPS: Final = (
    ("dns", semconv.EVENT_DNS_START, semconv.EVENT_DNS_DONE),
    ("connect", semconv.EVENT_CONNECT_START, semconv.EVENT_CONNECT_DONE),
    ("tls", semconv.EVENT_TLS_START, semconv.EVENT_TLS_DONE),
    ("request", semconv.EVENT_WROTE_REQUEST, semconv.EVENT_FIRST_BYTE),
)
"""A step, and the events between which it really was."""


@record(frozen=True, slots=True)
class _Bar:
    label: str
    style: str
    start: float
    """Start in seconds on the network's line."""
    seconds: float
    depth: int = 0
    really: tuple[float, float] | None = None
    """Start and end in seconds of real time."""


def section(one: Checked) -> h.Node:
    bars = list(_bars(one))
    if not bars and not one.offsets:
        return h.p["Nothing was measured of it."]
    return h.fragment[_steps(one, bars), _events(one)]


def _steps(one: Checked, bars: list[_Bar]) -> h.Node:
    own = one.phases.get("own_delay")
    end = max((bar.start + bar.seconds for bar in bars), default=0.0)
    really_end = max((bar.really[1] for bar in bars if bar.really), default=0.0)
    return h.div(".wide")[
        h.table[
            h.caption[
                "Each step, twice: on the network's time line, on which the agent takes no time, "
                "and as time really went."
            ],
            h.thead[
                h.tr[
                    h.th(scope="col")["step"],
                    h.th(scope="col")[f"network's line, to {words.duration(end)}"],
                    h.th(".n", scope="col")["time"],
                    h.th(scope="col")[f"really, to {words.duration(really_end)}"],
                ]
            ],
            h.tbody[
                (
                    h.tr[
                        h.th(scope="row")[f"{'- ' * bar.depth}{bar.label}"],
                        h.td(".bar")[_drawn(bar.style, bar.start, bar.start + bar.seconds, end)],
                        h.td(".n")[words.duration(bar.seconds)],
                        h.td(".bar")[bar.really and _drawn(bar.style, *bar.really, really_end)],
                    ]
                    for bar in bars
                ),
                own is not None
                and h.tr[
                    h.th(scope="row")["own delay"],
                    h.td(".dim")["the agent itself; part of none of the above"],
                    h.td(".n")[words.duration(own)],
                    h.td[""],
                ],
            ],
        ]
    ]


def _bars(one: Checked) -> Iterator[_Bar]:
    phases, at = one.phases, 0.0
    for name, begins, ends in _STEPS:
        seconds = phases.get(name)
        if seconds is None:
            continue
        really = _between(one.real_offsets, begins, ends)
        yield _Bar(name, "step", at, seconds, really=really)
        if name == "request":
            yield from _of_request(one, at)
        at += seconds
    if phases.get("receive") is not None:
        yield _Bar("receive", "step", at, phases["receive"])


def _of_request(one: Checked, at: float) -> Iterator[_Bar]:
    """Return the parts of the request's time (model.Split)."""
    phases = one.phases
    network = "to the proxy" if one.number("intercepted") else "network"
    for label, name, style in (
        ("egress", "request_egress", "step"),
        ("loss", "request_loss", "loss"),
        (network, "network_round_trip", "net"),
        ("far end", "far_end", "far"),
    ):
        seconds = phases.get(name)
        if not seconds:
            continue
        yield _Bar(label, style, at, seconds, 1)
        if name == "far_end":
            yield from _of_far_end(phases, at)
        at += seconds


def _of_far_end(phases: Mapping[str, float], at: float) -> Iterator[_Bar]:
    told = [(label, phases.get(f"far_end_{label}")) for label in ("wait", "app")]
    for label, seconds in told:
        if seconds is not None:
            yield _Bar(f"its {label}", "far", at, seconds, 2)
            at += seconds


def _between(offsets: Mapping[str, float], begins: str, ends: str) -> tuple[float, float] | None:
    if begins not in offsets or ends not in offsets:
        return None
    return offsets[begins], offsets[ends]


def _drawn(style: str, begin: float, till: float, end: float) -> h.Element:
    """For the eye: the figures beside it say the same."""
    scale = _WIDTH / end if end > 0 else 0.0
    x = min(max(begin * scale, 0.0), _WIDTH - _LEAST)
    width = min(max((till - begin) * scale, _LEAST), _WIDTH - x)
    return h.svg(viewBox=f"0 0 {_WIDTH:g} 10", preserveAspectRatio="none", aria_hidden="true")[
        h.rect(class_=style, x=f"{x:.1f}", y="0", width=f"{width:.1f}", height="10")
    ]


def _events(one: Checked) -> h.Node:
    if not one.offsets:
        return None
    return h.div(".wide")[
        h.table[
            h.caption[
                "The events that were reached, since the check's start. What lies between the two "
                "lines is own delay."
            ],
            h.thead[
                h.tr[
                    h.th(scope="col")["event"],
                    h.th(".n", scope="col")["network's line"],
                    h.th(".n", scope="col")["really"],
                    h.th(".n", scope="col")["own delay till then"],
                ]
            ],
            h.tbody[(_event(one, event) for event in semconv.EVENTS if event in one.offsets)],
        ]
    ]


def _event(one: Checked, event: str) -> h.Element:
    offset, really = one.offsets[event], one.real_offsets.get(event)
    return h.tr[
        h.th(scope="row")[h.code[event]],
        h.td(".n")[words.duration(offset)],
        h.td(".n")[words.duration(really)],
        h.td(".n")["" if really is None else words.duration(max(0.0, really - offset))],
    ]
