"""Who our neighbours are: from a real API server (kubernetes.py) or from a file (static.py).

Owns the ring and the two sources; each replaces the whole Neighbourhood and never raises for what
a cluster or a file does. Import the source that is used: `kubernetes` costs memory.
"""

from dataclasses import replace
from typing import Protocol

from kubenurse_otel.model import Neighbourhood


class Discovery(Protocol):
    """A source of neighbours; it tells them to the ``on_change`` that it was made with."""

    async def run(self) -> None:
        """Until cancelled. Raises nothing for what the cluster or the file does."""

    def target_failed(self, node_name: str) -> None:
        """Hint that a check of this node failed."""


def is_old_news(before: Neighbourhood, after: Neighbourhood, *, within_seconds: float) -> bool:
    """Whether nothing changed but ``listed_at``, and that by less than ``within_seconds``."""
    then, now = before.listed_at, after.listed_at
    close = then == now or (then is not None and now is not None and now - then < within_seconds)
    return close and before == replace(after, listed_at=then)
