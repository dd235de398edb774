"""Reads agents' answers at /api/v1/verdicts, and says who is at fault, ranked by the number of
reporters.

Owns how several agents' verdicts become one. The answers come from the network: every text is cut,
and whatever has another form is left out.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from kubenurse_otel.diagnosis.verdict import Cause, Kind
from kubenurse_otel.record import record
from kubenurse_otel.text import printable

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

MOST_VERDICTS: Final = 64
"""The most verdicts that are read of one agent."""
MOST_WORDS: Final = 8
MOST_NAMES: Final = 8
TOGETHER: Final = 3
"""This many agents that lack CPU are reported as one finding."""
_SEE_IT_WELL: Final = re.compile(r"(?P<nodes>.+?)(?P<more> and \d+ more)? sees? it well")
_LESSER: Final = frozenset({Cause.SLOW, Cause.STARVED})
_LONGEST: Final = 300


@record(frozen=True, slots=True, kw_only=True)
class Told:
    """One agent's verdict, as it tells it."""

    sentence: str
    kind: str
    culprit: str
    direction: str = ""
    cause: str = ""
    state: str = ""
    confidence: float = 0.0
    since: str = ""
    """RFC 3339 in UTC, so that the texts sort by time."""
    evidence: tuple[str, ...] = ()
    traces: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    second: str = ""

    @property
    def headline(self) -> str:
        return self.sentence[:1].upper() + self.sentence[1:]


@record(frozen=True, slots=True, kw_only=True)
class Report:
    """What one agent concludes."""

    node: str
    doubt: int = 0
    judged: bool = False
    """True once it has checked enough to judge."""
    verdicts: tuple[Told, ...] = ()
    suspicions: tuple[Told, ...] = ()


@record(frozen=True, slots=True, kw_only=True)
class Named:
    """One culprit, with all agents that name it, the words of the most confident agent, and all
    that speaks against it.
    """

    verdict: Told
    reporters: tuple[str, ...]


@record(frozen=True, slots=True, kw_only=True)
class Summary:
    """All agents' verdicts together. ``silent`` are the agents that gave no answer, with the
    reason.
    """

    named: tuple[Named, ...]
    suspected: tuple[Named, ...]
    heard: tuple[str, ...]
    new: tuple[str, ...] = ()
    """Agents that have not judged yet."""
    doubting: tuple[str, ...] = ()
    silent: tuple[tuple[str, str], ...] = ()


DOUBTFUL: Final = 3
"""From this doubt on, an agent does not count as a witness (diagnosis/doubt.py)."""


def read(document: object, *, node: str = "", asked_as: str = "") -> Report | None:
    """Return what a parsed answer says, None if it is no agent's answer.

    ``node`` is the agent's node, if that is known, because an agent may claim another's name.
    ``asked_as`` is the name to use if it gives none.
    """
    if not isinstance(document, dict) or not isinstance(document.get("verdicts"), list):
        return None
    return Report(
        node=node or _text(document.get("node")) or asked_as,
        doubt=_number(document.get("doubt")),
        judged=document.get("judged_at") is not None,
        verdicts=_read_all(document["verdicts"]),
        suspicions=_read_all(document.get("suspicions")),
    )


def merge(reports: Iterable[Report], silent: Iterable[tuple[str, str]] = ()) -> Summary:
    """Merge the same verdicts of several agents. Those that most of them report come first.

    Verdicts on what is slow or lacks CPU come after those on what does not work, since on a busy
    machine much is slow.
    """
    reports = sorted(reports, key=lambda report: report.node)
    named = _put_together((report.node, report.verdicts) for report in reports)
    standing = {key(one.verdict) for one in named}
    suspected = _put_together((report.node, report.suspicions) for report in reports)
    return Summary(
        named=named,
        suspected=tuple(one for one in suspected if key(one.verdict) not in standing),
        heard=tuple(dict.fromkeys(report.node for report in reports)),
        new=tuple(report.node for report in reports if not report.judged),
        doubting=tuple(report.node for report in reports if report.doubt >= DOUBTFUL),
        silent=tuple(silent),
    )


def apart(named: Sequence[Named]) -> tuple[list[Named], list[Named]]:
    """Take out the agents that lack CPU if they are many (a busy machine), as one finding."""
    by_cause: tuple[list[Named], list[Named]] = [], []
    for one in named:  # there may be thousands: none is looked for among the others
        verdict = one.verdict
        by_cause[verdict.kind == Kind.PROBER and verdict.cause == Cause.STARVED].append(one)
    return by_cause if len(by_cause[True]) >= TOGETHER else (list(named), [])


def starving(starved: Sequence[Named]) -> str:
    return f"{len(starved)} agents get too little CPU: what they measure is not to be believed"


def ruled_out(verdict: Told) -> str:
    """The other explanation, for people: "pair loss node-1 and node-2"."""
    kind, _, culprit = verdict.second.partition(" ")
    return f"{kind.replace('_', ' ')} {culprit.replace('|', ' and ')}".rstrip()


def all_is_well(summary: Summary) -> str:
    """Say that nothing is wrong. Empty if something is, or if no agent answered."""
    if not summary.heard or summary.named or summary.suspected:
        return ""
    return f"Nothing is wrong, says {names(summary.heard, whole='each')}."


def notes(summary: Summary) -> list[str]:
    """Name the agents whose verdicts count less, and say why."""
    return [
        f"{names(nodes)}: {what}."
        for nodes, what in (
            (summary.new, "has not checked enough yet"),
            (summary.doubting, "doubts itself: it gets too little CPU, and accuses nobody"),
        )
        if nodes
    ]


def names(nodes: Sequence[str], *, whole: str = "") -> str:
    """Like "node-1, node-2 and 3 more"; with ``whole``, of many: "each of 40 agents"."""
    if whole and len(nodes) > 1:
        return f"{whole} of {len(nodes)} agents"
    shown = ", ".join(nodes[:MOST_NAMES])
    return f"{shown} and {len(nodes) - MOST_NAMES} more" if len(nodes) > MOST_NAMES else shown


def _put_together(told: Iterable[tuple[str, Sequence[Told]]]) -> tuple[Named, ...]:
    alike: dict[tuple[str, ...], list[tuple[str, Told]]] = defaultdict(list)
    for node, verdicts in told:
        for verdict in verdicts:
            alike[key(verdict)].append((node, verdict))
    found = [_as_one(same) for same in alike.values()]
    return tuple(
        sorted(
            found,
            key=lambda one: (
                one.verdict.cause in _LESSER,
                -len(one.reporters),
                -one.verdict.confidence,
                key(one.verdict),
            ),
        )
    )


def _as_one(same: Sequence[tuple[str, Told]]) -> Named:
    surest = max((verdict for _, verdict in same), key=lambda one: one.confidence)
    ranked = [surest, *(verdict for _, verdict in same if verdict is not surest)]
    reporters = dict.fromkeys(node for node, _ in same)
    return Named(
        verdict=replace(
            surest,
            since=min(verdict.since for verdict in ranked),
            traces=_together(verdict.traces for verdict in ranked),
            against=_together(
                [_without(reporters, text) for text in verdict.against] for verdict in ranked
            ),
        ),
        reporters=tuple(reporters),
    )


def _without(reporters: Container[str], text: str) -> str:
    """Return what speaks against it, without agents that report it themselves by now
    (diagnosis/words.py).
    """
    found = _SEE_IT_WELL.fullmatch(text)
    if found is None:
        return text
    well = [node for node in found["nodes"].split(", ") if node not in reporters]
    if not well:
        return ""
    see = "sees" if len(well) == 1 and not found["more"] else "see"
    return f"{', '.join(well)}{found['more'] or ''} {see} it well"


def _together(texts: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for some in texts for one in some if one))[:MOST_WORDS]


def key(verdict: Told) -> tuple[str, ...]:
    """Return the key by which verdicts of several agents are the same."""
    return verdict.kind, verdict.culprit, verdict.direction, verdict.cause


# --- what came ----------------------------------------------------------------------------------


def _read_all(listed: object) -> tuple[Told, ...]:
    if not isinstance(listed, list):
        return ()
    return tuple(_read(one) for one in listed[:MOST_VERDICTS] if isinstance(one, dict))


def _read(one: Mapping[str, object]) -> Told:
    evidence = [some for some in _list(one.get("evidence")) if isinstance(some, dict)]
    return Told(
        sentence=_text(one.get("sentence")),
        kind=_text(one.get("kind")),
        culprit=_text(one.get("culprit")),
        direction=_text(one.get("direction")),
        cause=_text(one.get("cause")),
        state=_text(one.get("state")),
        confidence=_share(one.get("confidence")),
        since=_text(one.get("since")),
        evidence=tuple(_text(some.get("words")) for some in evidence),
        traces=tuple(trace for some in evidence if (trace := _text(some.get("trace_id")))),
        against=tuple(_text(some) for some in _list(one.get("against"))),
        second=_text(one.get("second")),
    )


def _list(value: object) -> list[Any]:
    return value[:MOST_WORDS] if isinstance(value, list) else []


def _text(value: object) -> str:
    return printable(value, _LONGEST) if isinstance(value, str) else ""


def _number(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < DOUBTFUL * DOUBTFUL else 0


def _share(value: object) -> float:
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else 0.0
