"""Who our neighbours are: from a real API server (kubernetes.py) or from a file (static.py).

Owns the ring and the two sources; each replaces the whole Neighbourhood and never raises for what
a cluster or a file does. Import the source that is used: `kubernetes` costs memory.
"""

from typing import Protocol


class Discovery(Protocol):
    """A source of neighbours; it tells them to the ``on_change`` that it was made with."""

    async def run(self) -> None:
        """Until cancelled. Raises nothing for what the cluster or the file does."""

    def target_failed(self, node_name: str) -> None:
        """Hint that a check of this node failed."""
