"""Findings over time: since when one holds, whether it comes and goes, and when it is over."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from kubenurse_otel.diagnosis.case import CLUSTER
from kubenurse_otel.diagnosis.verdict import MOST_EVIDENCE, Direction, Kind, State, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from kubenurse_otel.diagnosis.case import Finding

VERDICT_FROM: Final = 0.5
"""Confidence below is a suspicion: shown, and no verdict."""
CLEARED_AFTER_INTERVALS: Final = 3.0
FLAPPING_RAISES: Final = 3
FLAPPING_SECONDS: Final = 600.0
QUIET_SECONDS: Final = 300.0
FORGOTTEN_SECONDS: Final = 600.0
MOST_ENTRIES: Final = 64

_WIDTH: Final = {
    Kind.ZONE: 4,
    Kind.ZONE_PAIR: 3,
    Kind.SERVICE_PATH: 3,
    Kind.NODE: 2,
    Kind.NODE_LOSS: 2,
    Kind.NODE_MTU: 2,
    Kind.AGENT: 2,
    Kind.DNS: 2,
    Kind.DNS_REPLICA: 2,
}
_NARROW: Final = 1
CLUSTER_TOO: Final = 0.5
EVERYTHING: Final = 9


class Key(NamedTuple):
    """What makes two findings the same verdict; its cause may change meanwhile.

    Of a silent node the direction may be known later. Loss goes either way, and both may be found.
    """

    kind: Kind
    culprit: str
    direction: Direction


@dataclass(slots=True)
class Entry:
    """A verdict and its history. ``raised_at`` are the times of the last ten minutes."""

    finding: Finding
    verdict: Verdict
    raised_at: list[float] = field(default_factory=list)

    @property
    def width(self) -> float:
        """How much it explains: of two that explain the same, the wider one stands."""
        return _width(self.finding)

    @property
    def stands(self) -> bool:
        return self.verdict.state in (State.RAISED, State.FLAPPING)


class Ledger:
    """Every verdict of the last ten minutes. All times are Unix seconds."""

    def __init__(self, *, interval_seconds: float) -> None:
        self._hold = CLEARED_AFTER_INTERVALS * interval_seconds
        self._entries: dict[Key, Entry] = {}

    def verdicts(self) -> tuple[Verdict, ...]:
        """Those that stand first, then suspicions, then what is over; the surest ones first."""
        order = (State.RAISED, State.FLAPPING, State.SUSPECTED, State.CLEARED)
        found = [entry.verdict for entry in self._entries.values()]
        return tuple(sorted(found, key=lambda one: (order.index(one.state), -one.confidence)))

    def take(
        self, findings: Iterable[Finding], now: float, *, since: Callable[[Finding], float]
    ) -> tuple[tuple[Verdict, ...], tuple[Verdict, ...]]:
        """Take what is found now; return what was raised by it and what was cleared.

        ``since`` says when what a finding explains began.
        """
        before = {key for key, entry in self._entries.items() if entry.stands}
        found = {_key(one): one for one in findings}
        for key, finding in found.items():
            if key not in before and self._is_left_over(finding, found, now):
                continue
            self._found(key, finding, now, began=since(finding))
        for key, entry in self._entries.items():
            if key not in found:
                self._missed(entry, found.values(), now)
        self._forget(now)
        standing = {key: one for key, one in self._entries.items() if one.stands}
        raised = tuple(one.verdict for key, one in standing.items() if key not in before)
        over = (
            self._entries[key].verdict for key in before - set(standing) if key in self._entries
        )
        return raised, tuple(over)

    def _found(self, key: Key, finding: Finding, now: float, *, began: float) -> None:
        entry = self._entries.get(key)
        is_verdict = finding.confidence >= VERDICT_FROM
        if entry is not None and entry.stands and not is_verdict:
            finding = replace(finding, confidence=entry.finding.confidence)  # still there
        goes_on = entry is not None and entry.verdict.state is not State.CLEARED
        since = min(entry.verdict.since if entry is not None and goes_on else began, began, now)
        raised_at = entry.raised_at if entry is not None else []
        if is_verdict and not (entry is not None and entry.stands):
            raised_at = [at for at in raised_at if 0 <= now - at < FLAPPING_SECONDS] + [now]
        if entry is not None and entry.stands:
            state = entry.verdict.state
        else:
            state = State.RAISED if is_verdict else State.SUSPECTED
        if is_verdict and len(raised_at) >= FLAPPING_RAISES:
            state = State.FLAPPING
        verdict = _verdict(finding, since=since, now=now, state=state)
        self._entries[key] = Entry(finding, verdict, raised_at)

    def _missed(self, entry: Entry, found: Iterable[Finding], now: float) -> None:
        quiet = now - entry.verdict.last_seen
        if entry.verdict.state is State.CLEARED:
            return
        hold = QUIET_SECONDS if entry.verdict.state is State.FLAPPING else self._hold
        if entry.verdict.state is State.SUSPECTED:
            hold = 0.0
        absorbed = any(_absorbs(one, entry) for one in found)
        if absorbed or quiet >= hold or quiet < 0:
            entry.verdict = replace(entry.verdict, state=State.CLEARED)

    def _is_left_over(self, finding: Finding, found: Collection[Key], now: float) -> bool:
        """Whether this is what is left of a verdict that was found a moment ago.

        While a fault heals, or a wider one begins, some see it and others do not: what was as wide
        or wider, and explains it, goes on for as long as it is held.
        """
        explained: set[str] = set()
        for key, entry in self._entries.items():
            is_held = 0 <= now - entry.verdict.last_seen < self._hold and key not in found
            if entry.stands and is_held and entry.width >= _width(finding):
                explained |= entry.finding.explains
        return bool(finding.explains) and finding.explains <= explained

    def _forget(self, now: float) -> None:
        self._entries = {
            key: entry
            for key, entry in self._entries.items()
            if entry.verdict.state is not State.CLEARED
            or (entry.raised_at and 0 <= now - entry.verdict.last_seen < FORGOTTEN_SECONDS)
        }
        while len(self._entries) > MOST_ENTRIES:
            oldest = min(self._entries, key=lambda key: self._entries[key].verdict.last_seen)
            del self._entries[oldest]


def _key(finding: Finding) -> Key:
    direction = Direction.NONE if finding.kind is Kind.NODE else finding.direction
    return Key(finding.kind, finding.culprit, direction)


def _width(finding: Finding) -> float:
    if finding.is_last:
        return EVERYTHING
    return _WIDTH.get(finding.kind, _NARROW) + (CLUSTER_TOO if finding.culprit == CLUSTER else 0)


def _absorbs(finding: Finding, entry: Entry) -> bool:
    wider = _width(finding) > entry.width
    return wider and bool(entry.finding.explains) and entry.finding.explains <= finding.explains


def _verdict(finding: Finding, *, since: float, now: float, state: State) -> Verdict:
    return Verdict(
        kind=finding.kind,
        culprit=finding.culprit,
        direction=finding.direction,
        cause=finding.cause,
        confidence=finding.confidence,
        since=since,
        last_seen=now,
        state=state,
        evidence=finding.evidence[:MOST_EVIDENCE],
        against=finding.against[:MOST_EVIDENCE],
        second=finding.second,
        named=finding.named,
        explains=finding.explains,
    )
