"""One CheckResult drawn for a terminal. No I/O, no clock.

Owns how a split is drawn. Measures and judges nothing.
"""

from __future__ import annotations

import codecs
import textwrap
from typing import TYPE_CHECKING, Final

from kubenurse_otel.model import FallbackReason, LossDirection, Outcome, Phase, TimingSource
from kubenurse_otel.record import record
from kubenurse_otel.report.document import moment
from kubenurse_otel.report.words import duration
from kubenurse_otel.text import host_port

if TYPE_CHECKING:
    from kubenurse_otel.model import CheckResult, Measurement, Split

MIN_WIDTH: Final = 60
MAX_WIDTH: Final = 160
_LABEL: Final = 13
_VALUE: Final = 9
_DAY_SECONDS: Final = 86400
_MOST_ADDRESSES: Final = 10
_TELLING_EGRESS_SECONDS: Final = 0.0001
"""Seconds of egress from which a bar is drawn. On a healthy node a packet needs only microseconds
to the device.
"""
_WAYS: Final[dict[LossDirection | None, str]] = {
    LossDirection.OUT: " on the way there",
    LossDirection.IN: " on the way back",
    LossDirection.BOTH: " both ways",
}


@record(frozen=True, slots=True)
class _Glyphs:
    full: str
    begins: str
    """The right half of a cell."""
    ends: str
    """The left half of a cell."""
    sliver: str
    """Something, but less than half a cell."""
    micro: str
    good: str
    bad: str


_UNICODE: Final = _Glyphs("█", "▐", "▌", "▏", "µ", "✓", "✗")
_ASCII: Final = _Glyphs("#", "#", "#", "|", "u", "ok", "FAILED")


@record(frozen=True, slots=True)
class _Bar:
    label: str
    start: float
    """Seconds since the check's start, on the line where our process takes no time."""
    seconds: float


def lines(result: CheckResult, *, encoding: str | None = "utf-8", width: int = 80) -> list[str]:
    """Draw the check: a headline, a bar for each step, own delay beside them, what to know.

    ``encoding`` is the terminal's: block characters if it can show them, else ASCII. ``width``
    is in columns, held between 60 and 160.
    """
    width = max(MIN_WIDTH, min(width, MAX_WIDTH))
    glyphs = _UNICODE if _is_utf8(encoding) else _ASCII
    drawn = [_headline(result, glyphs)]
    measured = result.measurement
    if measured is not None:
        drawn += _chart(result, measured, glyphs, width)
    if result.failure is not None:
        drawn += _wrapped(f"{result.failure.error_type}: {result.failure.message}", width)
    if measured is not None:
        drawn += [
            line for note in _notes(result, measured, glyphs) for line in _wrapped(note, width)
        ]
    # Names and messages come from elsewhere: no control characters, and no glyph that is not there.
    drawn = ["".join(c if c.isprintable() else "?" for c in line) for line in drawn]
    if glyphs is _ASCII:
        drawn = [line.encode("ascii", "replace").decode("ascii") for line in drawn]
    return drawn


def _is_utf8(encoding: str | None) -> bool:
    try:
        return codecs.lookup(encoding or "ascii").name == "utf-8"
    except LookupError:
        return False


def _headline(result: CheckResult, glyphs: _Glyphs) -> str:
    measured = result.measurement
    verdict = glyphs.good if result.outcome is Outcome.OK else glyphs.bad
    words = [verdict, result.target.url.shown]
    if measured is not None:
        if measured.word:
            words.append(measured.word)
        if measured.split.request is not None or measured.word:
            words.append(f"in {duration(measured.split.duration, micro=glyphs.micro)}")
        if measured.peer_address:
            words.append(f"at {host_port(measured.peer_address, measured.peer_port)}")
    return " ".join(words)


# --- the bars -----------------------------------------------------------------------------------


def _chart(result: CheckResult, measured: Measurement, glyphs: _Glyphs, width: int) -> list[str]:
    bars = _bars(measured.split, intercepted=measured.intercepted)
    end = max((bar.start + bar.seconds for bar in bars), default=0.0)
    columns = width - 2 - _LABEL - 1 - 1 - _VALUE
    drawn = []
    for bar in bars:
        value = duration(bar.seconds, micro=glyphs.micro)
        painted = _paint(bar, end, columns, glyphs)
        drawn.append(f"  {bar.label:<{_LABEL}} {painted:<{columns}} {value:>{_VALUE}}")
    failure = result.failure
    if failure is not None and failure.phase is not Phase.STATUS:
        drawn.append(f"  {failure.phase.value:<{_LABEL}} {glyphs.bad} here it failed")
    if measured.split.own_delay is not None:
        value = duration(measured.split.own_delay, micro=glyphs.micro)
        beside = "ours, part of none of the above"[:columns]
        drawn.append(f"  {'own delay':<{_LABEL}} {beside:<{columns}} {value:>{_VALUE}}")
    return drawn


def _bars(split: Split, *, intercepted: bool) -> list[_Bar]:
    """Return one bar per step that happened. Each begins where the one before ended."""
    bars: list[_Bar] = []
    position = 0.0
    for label, seconds in (("dns", split.dns), ("connect", split.connect), ("tls", split.tls)):
        if seconds is not None:
            bars.append(_Bar(label, position, seconds))
            position += seconds
    if split.request is None:
        return bars
    bars.append(_Bar("request", position, split.request))
    inner = position
    # The way to the first TCP end is not the way to the target where something sits between.
    network = "network" if not intercepted else "to proxy"
    if split.request_egress and split.request_egress >= _TELLING_EGRESS_SECONDS:
        bars.append(_Bar("  egress", inner, split.request_egress))
    inner += split.request_egress or 0.0
    if split.request_loss:
        bars.append(_Bar("  loss", inner, split.request_loss))
        inner += split.request_loss
    if split.network_round_trip is not None:
        bars.append(_Bar(f"  {network}", inner, split.network_round_trip))
        inner += split.network_round_trip
    if split.far_end is not None:
        bars.append(_Bar("  far end", inner, split.far_end))
        for label, seconds in _far_end(split, split.far_end):
            bars.append(_Bar(f"    {label}", inner, seconds))
            inner += seconds
    if split.receive:
        bars.append(_Bar("receive", position + split.request, split.receive))
    return bars


def _far_end(split: Split, far_end: float) -> list[tuple[str, float]]:
    """Return what the far end says of its own time, and what it does not account for."""
    told = [("wait", split.far_end_wait), ("app", split.far_end_app)]
    known = [(label, seconds) for label, seconds in told if seconds is not None]
    if not known:
        return []
    rest = max(0.0, far_end - sum(seconds for _, seconds in known))
    return [*known, ("rest", rest)]


def _paint(bar: _Bar, end: float, columns: int, glyphs: _Glyphs) -> str:
    """Draw to half a cell. Everything that happened is visible, and nothing goes beyond the
    columns.
    """
    if end <= 0:
        return glyphs.sliver
    halves = columns * 2
    first = min(round(bar.start / end * halves), halves - 1)
    last = min(round((bar.start + bar.seconds) / end * halves), halves)
    if last <= first:
        return " " * (first // 2) + glyphs.sliver
    painted = " " * (first // 2)
    if first % 2:
        painted += glyphs.begins
        first += 1
    painted += glyphs.full * ((last - first) // 2)
    return painted + (glyphs.ends if last > first and (last - first) % 2 else "")


# --- what to know -------------------------------------------------------------------------------


def _notes(result: CheckResult, measured: Measurement, glyphs: _Glyphs) -> list[str]:
    split = measured.split
    notes = [_timing(measured)] if split.connect is not None or split.request is not None else []
    if measured.addresses:
        notes.append(f"answered {', '.join(measured.addresses[:_MOST_ADDRESSES])}")
    if measured.dns_tries > 1:
        notes.append(f"the query was sent {measured.dns_tries} times")
    if measured.intercepted:
        notes.append(
            "something in between answered or passed it on (a proxy or a mesh):"
            " the network figure is to it"
        )
    if measured.answering_node:
        notes.append(f"answered by node {measured.answering_node}")
    if split.egress is not None and split.egress >= _TELLING_EGRESS_SECONDS:
        notes.append(_egress(split.egress, split.egress_queue or 0.0, glyphs))
    if split.loss:
        times = (
            f" ({measured.retransmits} retransmission{'s' if measured.retransmits != 1 else ''})"
        )
        notes.append(
            f"{duration(split.loss, micro=glyphs.micro)} of it lost to lost packets"
            f"{_WAYS.get(split.loss_direction, '')}{times if measured.retransmits else ''}"
        )
    if measured.address_failures and split.connect is not None:
        families = ", ".join(measured.address_failures)
        notes.append(f"addresses that failed before one was used: {families}")
    if measured.certificate_expiry is not None:
        days = (measured.certificate_expiry - result.started_at) / _DAY_SECONDS
        when = moment(measured.certificate_expiry)
        notes.append(
            f"certificate expires in {days:.0f} days ({when})"
            if days >= 0
            else f"certificate expired {-days:.0f} days ago ({when})"
        )
    return notes


def _egress(egress: float, queued: float, glyphs: _Glyphs) -> str:
    kept, waited = (duration(seconds, micro=glyphs.micro) for seconds in (egress, queued))
    if queued >= egress / 2:
        return f"{kept} of it in this node, {waited} in a device's queue: tc -s qdisc"
    return f"{kept} of it in this node before any device's queue: nft list ruleset, iptables -vnL"


def _timing(measured: Measurement) -> str:
    if measured.timing_source is TimingSource.KERNEL:
        source = measured.round_trip_source
        return "times by the kernel" + (f", network by {source}" if source else "")
    reason = measured.fallback_reason
    return "times by this process, not by the kernel" + (
        f" ({reason.value})" if reason is not FallbackReason.NONE else ""
    )


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="    ")
