"""The latest result of every current target, and what went before it.

Owns standings and recent failures in memory; draws no conclusions and records no metric.
What is no longer a target is forgotten at once.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from kubenurse_otel.model import Outcome, TargetKind
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kubenurse_otel.model import CheckResult, Target

MAX_RECENT_FAILURES: Final = 100


@record(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a target stands: its latest result and the history that matters.

    ``since`` is when the first check of the current run of equal outcomes began (Unix seconds).
    Clamped to the latest start if the clock was set back.
    """

    result: CheckResult
    since: float
    consecutive_failures: int = 0
    last_failure: CheckResult | None = None


@record(frozen=True, slots=True)
class PastFailure:
    """A failed check, and when the target was good again.

    ``recovered_at``: when the first good check after it began (Unix seconds); None until then.
    """

    result: CheckResult
    recovered_at: float | None = None


class Results:
    """Standings by ``Target.key``, for the current targets only."""

    def __init__(self) -> None:
        self._targets: dict[str, Target] = {}
        self._latest: dict[str, Standing] = {}
        self._failures: deque[PastFailure] = deque(maxlen=MAX_RECENT_FAILURES)
        self._skipped: tuple[str, ...] = ()
        self.changes = 0
        """How often anything here was replaced: a document made of it is right until then."""

    @property
    def latest(self) -> Mapping[str, Standing]:
        """Standings by key, of the targets that have been checked."""
        return MappingProxyType(self._latest)

    @property
    def targets(self) -> Mapping[str, Target]:
        """The current targets by key, checked or not."""
        return MappingProxyType(self._targets)

    @property
    def skipped(self) -> tuple[str, ...]:
        """The check names that are off or have no URL."""
        return self._skipped

    @property
    def recent_failures(self) -> tuple[PastFailure, ...]:
        """The last failures of current targets, oldest first, at most 100."""
        return tuple(self._failures)

    def set_targets(self, targets: Iterable[Target], skipped: Iterable[str] = ()) -> None:
        """Replace the targets; whatever is known of others is dropped."""
        self.changes += 1
        self._targets = {target.key: target for target in targets}
        self._skipped = tuple(skipped)
        self._latest = {k: s for k, s in self._latest.items() if k in self._targets}
        kept = (past for past in self._failures if past.result.target.key in self._targets)
        self._failures = deque(kept, maxlen=MAX_RECENT_FAILURES)

    def record(self, result: CheckResult) -> None:
        """Take in a check's result; ignored when its target is gone meanwhile."""
        key = result.target.key
        if key not in self._targets:
            return
        self.changes += 1
        before = self._latest.get(key)
        same = before is not None and before.result.outcome is result.outcome
        failed = result.outcome is Outcome.FAILED
        if failed:
            self._failures.append(PastFailure(result))
        elif before is not None and not same:
            self._recover(key, result.started_at)
        self._latest[key] = Standing(
            result=result,
            since=min(before.since, result.started_at)
            if before is not None and same
            else result.started_at,
            consecutive_failures=(before.consecutive_failures if before else 0) + 1
            if failed
            else 0,
            last_failure=result if failed else before.last_failure if before else None,
        )

    def _recover(self, key: str, at: float) -> None:
        for index, past in enumerate(self._failures):
            if past.result.target.key == key and past.recovered_at is None:
                self._failures[index] = replace(past, recovered_at=at)

    def all_good(self) -> bool:
        """Whether at least one check has run and the last one of every target was good.

        The explored agent, which is no neighbour of ours, does not count: others check it.
        """
        return bool(self._latest) and all(
            standing.result.outcome is Outcome.OK
            for standing in self._latest.values()
            if standing.result.target.kind is not TargetKind.EXPLORE
        )

    def success_by_type(self) -> dict[str, bool]:
        """For each type that has been checked: whether the last check of all its keys was good."""
        good: dict[str, bool] = {}
        for standing in self._latest.values():
            name = standing.result.target.type
            good[name] = good.get(name, True) and standing.result.outcome is Outcome.OK
        return good

    def certificate_expiry_by_type(self) -> dict[str, float]:
        """Return notAfter (Unix seconds) by type; the earlier of two certificates last shown.

        A check that failed before it saw a certificate leaves the target out until one is seen.
        """
        expiry: dict[str, float] = {}
        for standing in self._latest.values():
            measurement = standing.result.measurement
            if measurement is not None and measurement.certificate_expiry is not None:
                name = standing.result.target.type
                shown = measurement.certificate_expiry
                expiry[name] = min(expiry.get(name, shown), shown)
        return expiry
