"""An overview for a terminal and for programs: verdicts, who cannot reach whom, slow now.

Owns how much is written, so that two hundred agents with the longest possible reports fill no disk.
"""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from kubenurse_otel.report import slower, verdicts, ways, within
from kubenurse_otel.report.words import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubenurse_otel.report.overview import Overview
    from kubenurse_otel.report.verdicts import Named

WIDTH: Final = 160
"""Columns of a table if there is no terminal, so that no names are cut."""
_PROSE: Final = 100
MOST_VERDICTS: Final = 20
"""The most verdicts and suspicions that are written. What most agents say comes first."""
_INDENT: Final = "    "


def lines(found: Overview, now: float, *, width: int = WIDTH) -> list[str]:
    """Write it for people: who is at fault, what is wrong, then the grounds for that."""
    summary = found.summary
    written: list[str] = []
    if not summary.named and not summary.suspected and summary.heard:
        written += [*_wrapped(_first_words(found), width), ""]
    named, starved = verdicts.apart(summary.named)
    told, suspected, left = _most(named, summary.suspected)
    for one in told:
        written += [*_verdict(one, len(summary.heard), width), ""]
    if starved:
        nodes = verdicts.names([one.verdict.culprit for one in starved])
        written += [f"{verdicts.starving(starved)}.", *_wrapped(f"on nodes {nodes}", width, 1), ""]
    if suspected:
        written += ["Suspected, and too few others confirm it:", ""]
        for one in suspected:
            written += [*_verdict(one, len(summary.heard), width), ""]
    if left:
        written += [f"... and {left} verdicts more", ""]
    written += tables(found, width=width)
    if summary.heard:
        written += [one for said in found.ground(now) for one in _wrapped(said, width)]
    for note in verdicts.notes(summary):
        written += _wrapped(note, width)
    return [*written, *_silent(summary.silent, width)]


def tables(found: Overview, *, width: int = WIDTH) -> list[str]:
    """Who cannot reach whom, and slow now, each with an empty line behind it; of what is well
    nothing.
    """
    written = []
    if found.mesh.rows:
        written += _wrapped(f"Who cannot reach whom: {found.mesh.said}", width)
        written += within.table(
            [ways.HEAD, *(ways.cells(*row) for row in found.mesh.rows)],
            width=width,
            indent=_INDENT,
            left=found.mesh.left,
        )
        written.append("")
    if found.slow:
        written.append("Slow now, and whose time:")
        written += within.table(
            [slower.HEAD, *(slower.cells(row) for row in found.slow)],
            width=width,
            indent=_INDENT,
            left=found.slow_left,
        )
        written.append("")
    return written


def to_json(found: Overview) -> dict[str, Any]:
    """Return the same for programs; documented in docs/diagnosis.md."""
    summary = found.summary
    named, suspected, left = _most(summary.named, summary.suspected)
    return {
        "verdicts": [_as_json(one) for one in named],
        "suspicions": [_as_json(one) for one in suspected],
        "verdicts_left_out": left,
        "checks": {
            "good": sum(one.good for one in found.sight.seen),
            "bad": found.failing,
            "waiting": sum(one.waiting for one in found.sight.seen),
        },
        "ways": {
            "checked": found.mesh.checked,
            "amiss": len(found.mesh.amiss),
            "rows": [ways.as_json(*row) for row in found.mesh.rows],
            "left_out": found.mesh.left,
        },
        "slower": {
            "rows": [slower.as_json(row) for row in found.slow],
            "left_out": found.slow_left,
        },
        "heard": list(summary.heard),
        "new": list(summary.new),
        "doubting": list(summary.doubting),
        "silent": [{"agent": agent, "why": why} for agent, why in summary.silent],
    }


def news(found: Overview) -> object:
    """Return the parts whose change is reported. Figures and ages are left out, since they always
    change.
    """
    summary = found.summary
    return (
        sorted((verdicts.key(one.verdict), one.reporters) for one in summary.named),
        sorted((verdicts.key(one.verdict), one.reporters) for one in summary.suspected),
        rows(found),
        (
            found.kind,
            bool(found.failing),
            summary.heard,
            summary.new,
            summary.doubting,
            summary.silent,
        ),
    )


def rows(found: Overview) -> object:
    """Return the contents of both tables, without figures and without single slow answers."""
    return (
        sorted(
            ends
            for ends, same in found.mesh.rows
            if ways.kind(same[0]) != "soft" or max(way.run for way in same) > 1
        ),
        sorted((row.what, row.whose) for row in found.slow),
    )


def _first_words(found: Overview) -> str:
    """Return the first words if nobody is named or suspected."""
    return verdicts.all_is_well(found.summary) if found.is_well else f"{found.said}."


def _most(
    named: Sequence[Named], suspected: Sequence[Named]
) -> tuple[Sequence[Named], Sequence[Named], int]:
    """Return verdicts, then suspicions, and how many of both are left out."""
    room = max(0, MOST_VERDICTS - len(named))
    left = max(0, len(named) - MOST_VERDICTS) + max(0, len(suspected) - room)
    return named[:MOST_VERDICTS], suspected[:room], left


def _as_json(one: Named) -> dict[str, Any]:
    return asdict(one.verdict) | {"reporters": list(one.reporters)}


def _verdict(one: Named, heard: int, width: int) -> list[str]:
    verdict = one.verdict
    by = verdicts.names(one.reporters)
    flapping = ", and it comes and goes" if verdict.state == "flapping" else ""
    written = _wrapped(verdict.headline, width)
    written += _wrapped(
        f"since {verdict.since}{flapping}; confidence {verdict.confidence:.1f}; "
        f"said by {len(one.reporters)} of {heard}: {by}",
        width,
        1,
    )
    for label, texts in (
        ("seen", verdict.evidence),
        ("against", verdict.against),
        ("ruled out", (verdicts.ruled_out(verdict),) if verdict.second else ()),
        ("trace", verdict.traces[:2]),
    ):
        for text in texts:
            written += _wrapped(f"{label}: {text}", width, 1)
    return written


def _silent(silent: Sequence[tuple[str, str]], width: int) -> list[str]:
    if not silent:
        return []
    shown = silent[: verdicts.MOST_NAMES]
    written = [f"No answer from {plural(len(silent), 'agent')}:"]
    written += [line for agent, why in shown for line in _wrapped(f"{agent}: {why}", width, 1)]
    if len(silent) > len(shown):
        written.append(f"{_INDENT}and {len(silent) - len(shown)} more")
    return written


def _wrapped(text: str, width: int, depth: int = 0) -> list[str]:
    indent = _INDENT * depth
    return textwrap.wrap(
        text,
        min(width, _PROSE),
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_on_hyphens=False,
    )
