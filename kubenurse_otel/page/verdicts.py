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
    from kubenurse_otel.report.overview import Overview
    from kubenurse_otel.report.verdicts import Named, Summary

MOST: Final = 30
"""The most verdicts that are written out. The others are counted."""
MOST_TRACES: Final = 4
FLAPPING: Final = "flapping"


def section(frame: Frame, found: Overview) -> h.Node:
    """All verdicts, what was checked, and who did not answer."""
    summary = found.summary
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
        _what_was_checked(frame, found),
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
    """Return what stands in place of verdicts if there is no diagnosis."""
    return h.section(aria_labelledby="verdicts")[
        h.h2("#verdicts")["Who is at fault"],
        h.p[
            "Nobody is named: ",
            h.code["KUBENURSE_DIAGNOSIS"],
            f" is false. The checks of node {frame.node} are below.",
        ],
    ]


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


def _what_was_checked(frame: Frame, found: Overview) -> h.Node:
    """The ground on which "all is well" stands."""
    well = verdicts.all_is_well(found.summary)
    return h.div(class_=f"card {'is-good' if found.is_well else ''}")[
        well and h.p[words.mark("good" if found.is_well else "dim"), well],
        (h.p[said] for said in found.ground(frame.now)),
    ]


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
