"""Which of the agents that are no neighbours to ask next: all in turn, so each pair is seen.

An agent checks its ten neighbours on the ring in each interval, and would never check the way to
all others: at 500 nodes only one pair in fifty is checked. So it asks one more agent per interval,
by name, in a circle that begins at a place of its own. Agents that the diagnosis wants to hear go
first, for as long as it wants them.
"""

from __future__ import annotations

from bisect import bisect_right
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from kubenurse_otel.model import is_dns_subdomain

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from kubenurse_otel.model import Neighbour, Neighbourhood

ROTATE, AGAIN, WITNESS = "rotate", "again", "witness"
TURNS: Final = (ROTATE, AGAIN, WITNESS, WITNESS, AGAIN, WITNESS)
"""While something is suspected: a view is fresh for two intervals, so that two witnesses are heard
at a time; and all others have their turn, be it later."""


class Explore:
    """Chooses the next agent. ``seed`` is the start of the circle, and differs between agents."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._of: Neighbourhood | None = None
        self._others: tuple[Neighbour, ...] = ()
        self._last: str | None = None
        """The node that was asked last in rotation. A name, and so it stays right when others come
        and go."""
        self._turn = 0
        self._asked: dict[str, int] = {}
        """In which turn those were asked that were wanted."""

    def next(
        self,
        neighbourhood: Neighbourhood,
        *,
        again: Collection[str] = (),
        witnesses: Collection[str] = (),
    ) -> Neighbour | None:
        """Return whom to ask now; None where all are our neighbours.

        ``again`` are nodes to ask once more, ``witnesses`` nodes whose view is wanted.
        """
        self._learn(neighbourhood)
        if not self._others:
            return None
        by_name = {one.node_name: one for one in self._others} if again or witnesses else {}
        wanted = {
            AGAIN: [name for name in again if name in by_name],
            WITNESS: [name for name in witnesses if name in by_name],
        }
        self._turn += 1
        turn = TURNS[self._turn % len(TURNS)]
        names = wanted[AGAIN] or wanted[WITNESS]
        if turn == ROTATE or not names:
            return self._rotate()
        return self._longest_ago(wanted[turn] or names, by_name)

    def _longest_ago(self, names: list[str], by_name: Mapping[str, Neighbour]) -> Neighbour:
        self._asked = {name: at for name, at in self._asked.items() if name in by_name}
        chosen = min(names, key=lambda name: self._asked.get(name, 0))
        self._asked[chosen] = self._turn
        return by_name[chosen]

    def _rotate(self) -> Neighbour:
        if self._last is None:
            place = int.from_bytes(blake2b(self._seed.encode(), digest_size=8).digest())
            at = place % len(self._others)
        else:
            at = bisect_right(self._others, self._last, key=lambda one: one.node_name)
        chosen = self._others[at % len(self._others)]
        self._last = chosen.node_name
        return chosen

    def _learn(self, neighbourhood: Neighbourhood) -> None:
        if neighbourhood is not self._of:
            self._of = neighbourhood
            self._others = outside(neighbourhood)
            self._asked.clear()


def outside(neighbourhood: Neighbourhood) -> tuple[Neighbour, ...]:
    """Return one agent per known node, except our node and our neighbours, sorted by name."""
    near = {one.node_name for one in neighbourhood.chosen} | {neighbourhood.own_node_name}
    by_name = {
        one.node_name: one
        for one in neighbourhood.known
        if one.node_name not in near and is_dns_subdomain(one.node_name)
    }
    return tuple(by_name[name] for name in sorted(by_name))
