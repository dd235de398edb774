"""Reads an agent's answer at /api/v1/report into a bounded record: what it concludes and sees.

The answer comes from the network. So names must be ones that the caller knows, words must be ones
that agents use, and whatever has another form is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kubenurse_otel.diagnosis.symptoms import Symptom
from kubenurse_otel.model import is_dns_subdomain
from kubenurse_otel.record import record
from kubenurse_otel.report import verdicts
from kubenurse_otel.report.document import MOST_SLOWER, MOST_WAYS
from kubenurse_otel.state.history import WHOSE
from kubenurse_otel.text import printable

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

    from kubenurse_otel.report.verdicts import Report

PATH: Final = "path_"
_MOST: Final = 1_000_000
_LONGEST_TYPE: Final = 260
_SYMPTOMS: Final = {one.name.lower(): one for one in Symptom}


@record(frozen=True, slots=True)
class Way:
    """A way from one node to another on which something is wrong, as the first one sees it."""

    source: str
    target: str
    symptom: Symptom
    run: int
    """For how many intervals in a row, 1 to 9."""
    lossy: bool = False


@record(frozen=True, slots=True)
class Slower:
    """What one agent finds slower than usual: a check's type, whose time it is, and how long in
    seconds.
    """

    source: str
    type: str
    whose: str
    usual_seconds: float
    now_seconds: float


@record(frozen=True, slots=True, kw_only=True)
class Seen:
    """One agent's report. ``checked_at`` is its latest check's time, empty before the first."""

    report: Report
    zone: str = ""
    good: int = 0
    bad: int = 0
    waiting: int = 0
    """Targets that it has not checked yet."""
    checked_at: str = ""
    ways: int = 0
    """How many nodes it checks."""
    bad_ways: tuple[Way, ...] = ()
    slower: tuple[Slower, ...] = ()

    @property
    def node(self) -> str:
        return self.report.node


@record(frozen=True, slots=True, kw_only=True)
class Sight:
    """What all agents say, as far as they were asked. Our own report is the first."""

    seen: tuple[Seen, ...] = ()
    silent: tuple[tuple[str, str], ...] = ()
    """Nodes whose agent did not answer, with the reason."""
    unasked: int = 0
    """Agents whose answer is still to come."""
    oldest_seconds: float = 0.0
    """The age of the oldest answer."""
    zones: Mapping[str, str]
    """All nodes that are known, with their zones."""

    def summary(self) -> verdicts.Summary:
        """Return the verdicts put together, as `kubenurse-otel diagnose --all` shows them."""
        return verdicts.merge((one.report for one in self.seen), self.silent)


class AnyNode:
    """Stands for the known nodes if nobody lists them: contains every text that may be a node's
    name.
    """

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and is_dns_subdomain(name)


def read(
    document: object, *, node: str = "", known: Container[str], asked_as: str = ""
) -> Seen | None:
    """Return what ``node`` says, None if this is no agent's report. ``known`` are nodes' names.

    Without ``node`` the agent's own name for itself counts, and without that ``asked_as``.
    """
    report = verdicts.read(document, node=node, asked_as=asked_as)
    if report is None or not isinstance(document, dict):
        return None
    checks, ways = _dict(document.get("checks")), _dict(document.get("ways"))
    zone = document.get("zone")
    return Seen(
        report=report,
        zone=printable(zone, 63) if isinstance(zone, str) else "",
        good=_count(checks.get("good")),
        bad=_count(checks.get("bad")),
        waiting=_count(checks.get("waiting")),
        checked_at=_moment(checks.get("checked_at")),
        ways=_count(ways.get("checked")),
        bad_ways=tuple(_ways(ways.get("bad"), report.node, known)),
        slower=tuple(_slower(document.get("slower"), report.node)),
    )


def _ways(listed: object, source: str, known: Container[str]) -> Iterator[Way]:
    for target, said in list(_dict(listed).items())[:MOST_WAYS]:
        told = _dict(said)
        word, run = told.get("symptom"), told.get("run")
        symptom = _SYMPTOMS.get(word) if isinstance(word, str) else None
        if symptom is None or target not in known or not isinstance(run, int):
            continue
        yield Way(source, target, symptom, min(max(run, 1), 9), told.get("lossy") is True)


def _slower(listed: object, source: str) -> Iterator[Slower]:
    for one in listed[:MOST_SLOWER] if isinstance(listed, list) else []:
        told = _dict(one)
        type_, whose = told.get("type"), told.get("whose")
        usual, now = _seconds(told.get("usual_seconds")), _seconds(told.get("now_seconds"))
        if isinstance(type_, str) and whose in WHOSE and usual is not None and now is not None:
            yield Slower(source, printable(type_, _LONGEST_TYPE), str(whose), usual, now)


def _dict(value: object) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < _MOST else 0


def _moment(value: object) -> str:
    return printable(value, 40) if isinstance(value, str) else ""


def _seconds(value: object) -> float | None:
    if not isinstance(value, int | float) or not 0 <= value < _MOST:  # nor NaN
        return None
    return float(value)
