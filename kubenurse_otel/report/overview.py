"""What the page's first view and `diagnose` both show: the overall state, who is at fault, and what
is wrong.

Owns the first words, the rows of both tables, and the grounds for "all is well". The page and the
terminal write them down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kubenurse_otel.record import record
from kubenurse_otel.report import slower, verdicts, ways
from kubenurse_otel.report.words import ago, lasting, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubenurse_otel.report.seen import Sight
    from kubenurse_otel.report.verdicts import Named, Summary
    from kubenurse_otel.report.ways import Mesh

MOST_SLOW: Final = 40


@record(frozen=True, slots=True, kw_only=True)
class Overview:
    """``kind`` is good, warn, bad or dim; ``said`` are the first words."""

    kind: str
    said: str
    sight: Sight
    summary: Summary
    mesh: Mesh
    slow: Sequence[slower.Row]
    slow_left: int
    """Number of further rows."""

    @property
    def failing(self) -> int:
        """Number of targets whose last check failed, of all agents."""
        return sum(one.bad for one in self.sight.seen)

    @property
    def is_well(self) -> bool:
        """Nothing is wrong, fails, is slow or lossy, and every agent answered; one has judged."""
        return bool(
            verdicts.all_is_well(self.summary)
            and len(self.summary.new) < len(self.summary.heard)
            and not self.failing
            and not self.summary.silent
            and not self.mesh.amiss
        )

    def ground(self, now: float) -> tuple[str, str]:
        """Say how much was checked, by whom, and how fresh that is. ``now`` is in Unix seconds."""
        agents = self.sight.seen
        good = sum(one.good for one in agents)
        waiting = sum(one.waiting for one in agents)
        latest = max((one.checked_at for one in agents), default="")
        checks = f"{plural(good, 'check was', 'checks were')} good and {self.failing:,} bad"
        told = [
            f"{checks} the last time",
            f"{plural(self.mesh.checked, 'way')} from node to node among them",
        ]
        if waiting:
            told.append(f"{plural(waiting, 'target')} not checked yet")
        if latest:
            told.append(f"the latest {ago(latest, now)}")
        every = len(agents) + len(self.sight.silent) + self.sight.unasked
        asked = f"Heard {plural(len(agents), 'agent')} of {every:,}"
        if len(agents) > 1 and self.sight.oldest_seconds:
            asked += f", the oldest word {lasting(self.sight.oldest_seconds)} old"
        if self.sight.unasked:
            asked += f"; {plural(self.sight.unasked, 'answer')} to come"
        return f"{'; '.join(told)}.", f"{asked}."


def overview(sight: Sight) -> Overview:
    summary = sight.summary()
    mesh = ways.mesh(sight)
    slow, left = slower.rows(sight, MOST_SLOW)
    kind, said = _headline(sight, summary, mesh, slow=len(slow) + left)
    return Overview(
        kind=kind, said=said, sight=sight, summary=summary, mesh=mesh, slow=slow, slow_left=left
    )


def _headline(sight: Sight, summary: Summary, mesh: Mesh, *, slow: int) -> tuple[str, str]:
    if summary.named:
        return "bad", _what_is_wrong(summary.named)
    if summary.suspected:
        return "warn", f"Something may be wrong: {summary.suspected[0].verdict.sentence}"
    if amiss := _amiss(sum(one.bad for one in sight.seen), len(mesh.amiss), summary):
        return "warn", f"Nobody is named, and yet: {', '.join(amiss)}"
    if not sight.seen or len(summary.new) == len(summary.heard):
        return "dim", "Not checked enough yet to say"
    if slow:
        things = plural(slow, "thing takes", "things take")
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


def _amiss(failing: int, ways_amiss: int, summary: Summary) -> list[str]:
    """Return the ways that fail. Only if none fails, those that are slow or lose packets."""
    found = [plural(failing, "check fails", "checks fail")] if failing else []
    if ways_amiss and not failing:
        found.append(f"{plural(ways_amiss, 'way is', 'ways are')} slow or lossy")
    if summary.silent:
        found.append(plural(len(summary.silent), "agent does not answer", "agents do not answer"))
    return found
