"""Which of the simulated nodes get real agents: successors on the ring, so that they choose each
other as the agents of a whole cluster would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kubenurse_otel.ring import node_hash

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT: Final = 20
SPARE: Final = 6
"""Who takes over while neighbours are cordoned is real, too."""


@dataclass(frozen=True, slots=True)
class Cast:
    """Numbers of nodes in ring order: the first ``measured``, then their neighbours."""

    measured: tuple[int, ...]
    neighbours: tuple[int, ...]

    @property
    def real(self) -> tuple[int, ...]:
        return self.measured + self.neighbours


def cast(count: int, name: Callable[[int], str], measured: int) -> Cast:
    """Pick consecutive nodes of ``count``. Raises ValueError where there are too few."""
    wanted = measured + LIMIT + SPARE
    if count <= wanted:
        raise ValueError(f"{count} nodes are too few: more than {wanted} are needed")
    chosen = sorted(range(count), key=lambda number: node_hash(name(number)))[:wanted]
    return Cast(tuple(chosen[:measured]), tuple(chosen[measured:]))
