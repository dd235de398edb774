"""Is anything wrong, and whose fault is it: the agents' verdicts together, or that all is well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import htpy as h

from kubenurse_otel.diagnosis.verdict import Kind
from kubenurse_otel.page import links, words
from kubenurse_otel.page.frame import out
from kubenurse_otel.report import verdicts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubenurse_otel.page.frame import Frame
    from kubenurse_otel.report.seen import Sight
    from kubenurse_otel.report.verdicts import Named, Summary

MOST: Final = 30
"""Verdicts that are written out; the others are counted."""
MOST_TRACES: Final = 4
FLAPPING: Final = "flapping"


def headline(sight: Sight, summary: Summary, *, slow: int) -> tuple[str, str]:
    """Return (kind of sign, sentence): the page's first words. ``slow``: rows of what is."""
    if summary.named:
        return "bad", _what_is_wrong(summary.named)
    failing = sum(one.bad for one in sight.seen)
    if summary.suspected:
        return "warn", f"Something may be wrong: {summary.suspected[0].verdict.sentence}"
    ways = sum(len(one.bad_ways) for one in sight.seen)
    if failing or summary.silent or ways:
        return "warn", "Nobody is named, and yet: " + ", ".join(_amiss(failing, ways, summary))
    if not sight.seen or len(summary.new) == len(summary.heard):
        return "dim", "Not checked enough yet to say"
    if slow:
        things = words.plural(slow, "thing takes", "things take")
        return "good", f"Nothing is wrong; {things} longer than usual"
    return "good", "All is well"


def _what_is_wrong(every: Sequence[Named]) -> str:
    named, starved = verdicts.apart(every)
    if not named:
        return verdicts.starving(starved)
    first, things = named[0].verdict, len(named) + bool(starved)
    if things == 1:
        return first.headline
    return f"{things} things are wrong, the first: {first.sentence}"


def section(frame: Frame, sight: Sight, summary: Summary) -> h.Node:
    """All verdicts, what was checked, and who did not answer."""
    named, starved = verdicts.apart(summary.named)
    return h.section(aria_labelledby="verdicts")[
        h.h2("#verdicts")["Who is at fault"],
        (words.flat(_verdict(frame, one, len(summary.heard), "is-bad")) for one in named[:MOST]),
        bool(starved) and _starved(starved),
        bool(summary.suspected)
        and [
            h.p["Suspected, and too few others confirm it:"],
            (
                _verdict(frame, one, len(summary.heard), "is-warn")
                for one in summary.suspected[:MOST]
            ),
        ],
        _left_out(summary, len(named)),
        _what_was_checked(frame, sight, summary),
        (h.p[words.mark("warn"), note] for note in verdicts.notes(summary)),
        _silent(summary),
    ]


def _starved(starved: Sequence[Named]) -> h.Element:
    nodes = [one.verdict.culprit for one in starved]
    return h.article(".card.is-bad")[
        h.h3[words.mark("bad"), verdicts.starving(starved)],
        h.dl[
            _pair("on nodes", verdicts.names(nodes)),
            _pair("what to do", out(links.runbook(Kind.PROBER), "the runbook")),
        ],
    ]


def off(frame: Frame) -> h.Node:
    """In place of verdicts, where there is no diagnosis."""
    return h.section(aria_labelledby="verdicts")[
        h.h2("#verdicts")["Who is at fault"],
        h.p[
            "Nobody is named: ",
            h.code["KUBENURSE_DIAGNOSIS"],
            f" is false. The checks of node {frame.node} are below.",
        ],
    ]


def _amiss(failing: int, ways: int, summary: Summary) -> list[str]:
    """What fails; only where nothing does, what is slow or loses packets."""
    found = [f"{words.plural(failing, 'check fails', 'checks fail')}"] if failing else []
    if ways and not failing:
        found.append(f"{words.plural(ways, 'way is', 'ways are')} slow or lossy")
    if summary.silent:
        found.append(
            words.plural(len(summary.silent), "agent does not answer", "agents do not answer")
        )
    return found


def _verdict(frame: Frame, one: Named, heard: int, style: str) -> h.Element:
    verdict = one.verdict
    return h.article(class_=f"card {style}")[
        h.h3[words.mark("bad" if style == "is-bad" else "warn"), verdict.headline],
        h.dl[
            _pair("since", _since(frame, one)),
            _pair(
                "said by",
                f"{len(one.reporters)} of {heard}: {verdicts.names(one.reporters)}; "
                f"confidence {verdict.confidence:.1f} of 1",
            ),
            bool(verdict.evidence)
            and _pair("seen", h.ul[(h.li[text] for text in verdict.evidence)]),
            _pair(
                "against it",
                h.ul[(h.li[text] for text in verdict.against)] if verdict.against else "nothing",
            ),
            verdict.second and _pair("ruled out", verdicts.ruled_out(verdict)),
            bool(verdict.traces) and _pair("traces", _traces(frame, verdict.traces)),
            _pair("what to do", out(links.runbook(verdict.kind), "the runbook")),
            _pair("its metric", _metric(frame, one)),
        ],
    ]


def _since(frame: Frame, one: Named) -> h.Node:
    since = words.unix(one.verdict.since)
    comes_and_goes = ", and it comes and goes" if one.verdict.state == FLAPPING else ""
    if since is None:
        return f"{one.verdict.since or 'unknown'}{comes_and_goes}"
    return h.fragment[
        h.time(datetime=one.verdict.since)[words.clock(since)],
        f", for {words.lasting(frame.now - since)}{comes_and_goes}",
    ]


def _traces(frame: Frame, traces: tuple[str, ...]) -> h.Node:
    return [
        [index > 0 and ", ", out(links.trace(frame.config, trace), trace)]
        for index, trace in enumerate(traces[:MOST_TRACES])
    ]


def _metric(frame: Frame, one: Named) -> h.Node:
    kind, culprit = (
        links.matcher(label, value)
        for label, value in (("kind", one.verdict.kind), ("culprit", one.verdict.culprit))
    )
    promql = f"kubenurse_verdict{{{kind},{culprit}}}"
    href = links.query(frame.config, promql)
    return h.a(href=href, rel="noreferrer")[h.code[promql]] if href else h.code[promql]


def _pair(term: str, value: h.Node) -> h.Node:
    return h.fragment[h.dt[term], h.dd[value]]


def _left_out(summary: Summary, named: int) -> h.Node:
    left = max(0, named - MOST) + max(0, len(summary.suspected) - MOST)
    return left > 0 and h.p[f"... and {left} more: ", h.code["kubenurse-otel diagnose --all"], "."]


def _what_was_checked(frame: Frame, sight: Sight, summary: Summary) -> h.Node:
    """The ground on which "all is well" stands: how much, by whom, and how fresh."""
    good, bad = sum(one.good for one in sight.seen), sum(one.bad for one in sight.seen)
    waiting = sum(one.waiting for one in sight.seen)
    ways = sum(one.ways for one in sight.seen)
    latest = max((one.checked_at for one in sight.seen), default="")
    well = verdicts.all_is_well(summary)
    told = [
        f"{words.plural(good, 'check was', 'checks were')} good and {bad:,} bad the last time",
        f"{words.plural(ways, 'way')} from node to node among them",
    ]
    if waiting:
        told.append(f"{words.plural(waiting, 'target')} not checked yet")
    if latest:
        told.append(f"the latest {words.ago(latest, frame.now)}")
    asked = f"Heard {words.plural(len(sight.seen), 'agent')} of {_all(sight):,}"
    if len(sight.seen) > 1:
        asked += f", the oldest word {words.lasting(sight.oldest_seconds)} old"
    if sight.unasked:
        asked += f"; {words.plural(sight.unasked, 'answer')} to come"
    is_well = bool(well) and not bad and not sight.silent
    is_well = is_well and not any(one.bad_ways for one in sight.seen)
    return h.div(class_=f"card {'is-good' if is_well else ''}")[
        well and h.p[words.mark("good" if is_well else "dim"), well],
        h.p["; ".join(told), "."],
        h.p[asked, "."],
    ]


def _all(sight: Sight) -> int:
    return len(sight.seen) + len(sight.silent) + sight.unasked


def _silent(summary: Summary) -> h.Node:
    if not summary.silent:
        return None
    shown = summary.silent[:MOST]
    return h.div(".card.is-warn")[
        h.h3[
            words.mark("warn"),
            f"No answer from {words.plural(len(summary.silent), 'agent')}",
        ],
        h.ul[(h.li[f"{node}: {why}"] for node, why in shown)],
        len(summary.silent) > len(shown) and h.p[f"and {len(summary.silent) - len(shown)} more"],
    ]
