"""Agents that are no neighbours of ours: what asking them showed, and whom to ask first.

Who stands just before X on the ring hears nobody else who checks X. While X does not answer us,
its other checkers are asked what they see. A good answer is not passed on: it is an old one soon.
"""

from __future__ import annotations

from heapq import nsmallest
from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.runs import Runs
from kubenurse_otel.diagnosis.symptoms import HARD
from kubenurse_otel.record import record
from kubenurse_otel.ring import RING_SIZE, node_hash

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from kubenurse_otel.diagnosis.runs import Run
    from kubenurse_otel.diagnosis.symptoms import Symptom
    from kubenurse_otel.model import Neighbourhood

MOST_SUSPECTS: Final = 2
ENOUGH: Final = 3
"""Neighbours of ours that check the suspect, too: no more need to be heard."""


@record(frozen=True, slots=True)
class Wanted:
    """Nodes to explore first: those that failed, once more; and those who check them, too."""

    again: tuple[str, ...] = ()
    witnesses: tuple[str, ...] = ()


class Explored:
    """Runs by node, each for a few intervals only."""

    def __init__(self, *, interval_seconds: float) -> None:
        self._interval = interval_seconds
        self._runs = Runs()
        self._checkers: dict[str, tuple[str, ...]] = {}
        self._of: Neighbourhood | None = None

    def note(self, node: str, seen: Symptom, now: float, *, trace_id: str) -> None:
        self._runs.note(node, seen, now, interval_seconds=self._interval, trace_id=trace_id)
        self._runs.retain({run.key for run in self._runs.current(now)})

    def failing(self, now: float) -> list[Run]:
        """Return the runs of nodes that did not answer, by node, the longest first."""
        failing = [run for run in self._runs.current(now) if run.symptom in HARD]
        return sorted(failing, key=lambda run: run.since)

    def wanted(
        self,
        suspects: Iterable[str],
        neighbourhood: Neighbourhood,
        *,
        peers: Collection[str],
        vanishing: Collection[str] = (),
        now: float,
    ) -> Wanted:
        """``suspects`` are neighbours (``peers``) that do not answer us, or lose on our way.

        To those in ``vanishing`` only large segments are lost. Others check a node in full size
        at once where they hear of it: those that check us.
        """
        again = tuple(run.key for run in self.failing(now) if run.key not in peers)[:MOST_SUSPECTS]
        asked_about = (*list(suspects)[:MOST_SUSPECTS], *again)
        if not asked_about:  # or thousands of nodes that are long gone would be held
            self._of = None
            self._checkers.clear()
        witnesses: dict[str, None] = {}
        for suspect in asked_about:
            checkers = self._checkers_of(suspect, neighbourhood)
            if suspect in vanishing:
                told = self._checkers_of(neighbourhood.own_node_name, neighbourhood)
                checkers = tuple(one for one in checkers if one in told)
            if sum(one in peers for one in checkers) < ENOUGH:
                witnesses.update(dict.fromkeys(one for one in checkers if one not in peers))
        return Wanted(again, tuple(one for one in witnesses if one not in again))

    def _checkers_of(self, node: str, neighbourhood: Neighbourhood) -> tuple[str, ...]:
        """Return who comes before ``node`` on the ring, as many as we have neighbours, but us."""
        if neighbourhood is not self._of:
            self._of = neighbourhood
            self._checkers.clear()
        if node not in self._checkers:
            place = node_hash(node)
            own = neighbourhood.own_node_name
            names = {own, *(one.node_name for one in neighbourhood.known)} - {node}
            limit = len({one.node_name for one in neighbourhood.chosen})
            before = nsmallest(limit, names, key=lambda name: (place - node_hash(name)) % RING_SIZE)
            self._checkers[node] = tuple(one for one in before if one != own)
        return self._checkers[node]
