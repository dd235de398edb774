"""Full-size checks: which way large segments vanish, and whom to check again at once.

A neighbour is checked so two to six times per minute, and a black hole would be named late. So it
is checked at once where a check of it stalls, or one of what is beyond (whose TLS is large), where
it says that large segments vanish or is said to lose them, where they vanish to another neighbour
of ours; and each interval while it is bad and the small checks of it are good: it may have healed.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.case import Vanishing
from kubenurse_otel.diagnosis.runs import intervals
from kubenurse_otel.diagnosis.symptoms import STALLS, Symptom
from kubenurse_otel.diagnosis.verdict import Direction
from kubenurse_otel.model import Outcome, TargetKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from kubenurse_otel.diagnosis.runs import Run
    from kubenurse_otel.model import CheckResult, Target

HEARSAY_INTERVALS: Final = 3.0
"""Between two checks for a neighbour's word: it may be so for long."""
PROVEN_INTERVALS: Final = 2.0
"""So long a good check speaks for a way of which others say that large segments vanish."""
SLOWEST: Final = 1.25
"""Of an interval: the longest from one tick to the next (plan/ticks.py)."""
NEVER: Final = float("-inf")
_SIGNS: Final = STALLS | {Symptom.FULL_SIZE}


class Sizes:
    """By key of the full-size targets. All times are Unix seconds."""

    def __init__(self, *, interval_seconds: float) -> None:
        self._interval = interval_seconds
        self._checked_at: dict[str, float] = {}
        self._vanishing: dict[str, Vanishing] = {}
        self._bad: set[str] = set()

    def retain(self, keys: Collection[str]) -> None:
        self._bad &= set(keys)
        for kept in (self._checked_at, self._vanishing):
            for key in kept.keys() - set(keys):
                del kept[key]

    def note(self, result: CheckResult, seen: Symptom | None, now: float) -> None:
        """Take in a full-size check, whatever came of it."""
        key, measurement = result.target.key, result.measurement
        self._checked_at[key] = now
        if result.outcome is Outcome.OK:
            self._bad.discard(key)
        else:
            self._bad.add(key)
        if seen is Symptom.OK:
            self._vanishing.pop(key, None)
        elif seen is Symptom.FULL_SIZE and measurement is not None:
            is_sent = (measurement.retransmits or 0) > measurement.dsacks
            self._vanishing[key] = Vanishing(
                Direction.OUT if is_sent else Direction.IN,
                measurement.send_mss or 0,
                measurement.pmtu or 0,
            )

    def vanishing(
        self, targets: Mapping[str, Target], runs: Iterable[Run], now: float
    ) -> Mapping[str, Vanishing]:
        """Return what vanishes, by node."""
        since = {run.key: run.since for run in runs if run.symptom is Symptom.FULL_SIZE}
        return MappingProxyType(
            {
                target.neighbour.node_name: replace(
                    self._vanishing[key],
                    run=intervals(now - since.get(key, now), self._interval),
                )
                for key, target in targets.items()
                if key in self._vanishing and target.neighbour is not None
            }
        )

    def proven(
        self, targets: Iterable[Target], accused: Mapping[str, float], now: float
    ) -> frozenset[str]:
        """Return those of ``accused`` (node: since when) to whom large segments pass, each address.

        Checked since they were accused: what others say that is well may be older than the fault.
        """
        proven = set(accused)
        for target in targets if accused else ():
            node = target.neighbour.node_name if target.neighbour is not None else ""
            if target.kind is TargetKind.FULL_SIZE and node in accused:
                oldest = max(accused[node], now - PROVEN_INTERVALS * self._interval)
                if target.key in self._bad or self._checked_at.get(target.key, NEVER) < oldest:
                    proven.discard(node)
        return frozenset(proven)

    def everybodys_run(self, targets: Iterable[Target], timeout_seconds: float) -> int:
        """For how many intervals large segments vanish until all others have seen it by themselves.

        Until their next full-size check has timed out, and we have heard of it.
        """
        longest = max((one.interval_seconds for one in targets if one.full_size), default=0.0)
        return ceil((SLOWEST * longest + timeout_seconds) / self._interval) + 2

    def unsized(self, targets: Mapping[str, Target], runs: Iterable[Run]) -> frozenset[str]:
        """Return nodes whose TLS stalls, and who were not checked in full size since."""
        sized = {
            target.neighbour.node_name: self._checked_at.get(key, NEVER)
            for key, target in targets.items()
            if target.full_size and target.neighbour is not None
        }
        stalled = (
            (neighbour.node_name, run.since)
            for run in runs
            if run.symptom in STALLS
            and targets[run.key].url.scheme == "https"
            and (neighbour := targets[run.key].neighbour) is not None
        )
        return frozenset(node for node, since in stalled if sized.get(node, since) < since)

    def are_settled(self, targets: Mapping[str, Target], runs: Iterable[Run]) -> bool:
        """Whether each full-size target was checked since the first sign that segments vanish.

        A sign is that they do on one way, or that something beyond stalls: its TLS is large.
        """
        signs = [
            run.since
            for run in runs
            if run.symptom is Symptom.FULL_SIZE
            or (run.symptom in STALLS and targets[run.key].neighbour is None)
        ]
        return not signs or all(
            self._checked_at.get(key, NEVER) >= min(signs)
            for key, one in targets.items()
            if one.kind is TargetKind.FULL_SIZE
        )

    def wanted(
        self,
        targets: Iterable[Target],
        runs: Collection[Run],
        *,
        accused: Mapping[str, float],
        now: float,
    ) -> tuple[Target, ...]:
        """Return the full-size targets that are to be checked now, beside the schedule.

        ``runs`` are ours, by key; ``accused`` are nodes of which others say that large segments
        vanish, and since when they do.
        """
        if not (self._bad or accused or any(run.symptom in STALLS for run in runs)):
            return ()
        by_key = {run.key: run for run in runs}
        if not (accused or self._bad or any(run.symptom in _SIGNS for run in by_key.values())):
            return ()  # nearly always: and it is asked at each beat of an agent that rests
        of_node: dict[str, list[Run]] = {}
        all_targets = tuple(targets)
        for target in all_targets:
            if target.neighbour is not None and (run := by_key.get(target.key)) is not None:
                of_node.setdefault(target.neighbour.node_name, []).append(run)
        vanish = [run.since for run in by_key.values() if run.symptom is Symptom.FULL_SIZE]
        beyond = [
            by_key[target.key].since
            for target in all_targets
            if target.neighbour is None
            and target.key in by_key
            and by_key[target.key].symptom in STALLS
        ]
        found = []
        for target in all_targets:
            if target.kind is not TargetKind.FULL_SIZE or target.neighbour is None:
                continue
            last, node = self._checked_at.get(target.key, NEVER), target.neighbour.node_name
            small = [run for run in of_node.get(node, ()) if run.key != target.key]
            stalled = [run.since for run in of_node.get(node, ()) if run.symptom in STALLS]
            is_well = all(run.symptom is Symptom.OK for run in small)
            is_due_again = now - last >= HEARSAY_INTERVALS * self._interval
            is_said_since = accused.get(node, NEVER)
            if now - last >= self._interval and (
                (target.key in self._bad and is_well)
                or any(last < since for since in (*stalled, *vanish, *beyond, is_said_since))
                or (is_due_again and node in accused)
            ):
                found.append(target)
        return tuple(found)
