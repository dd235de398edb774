"""What a fault is: how it is made, and what proves that we show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from e2e.cluster.cluster import Cluster
    from e2e.faults.scene import Scene


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of docs/faults.md.

    ``inject`` breaks something at a node (its name; cluster-wide faults ignore it) for as long as
    its context is open, and heals it afterwards. ``proof`` runs meanwhile, and asks the scene for
    everything that must be seen and that must not move; it raises AssertionError.
    """

    name: str
    broken: str
    """What is broken, for the table."""
    users: str
    """What users of the cluster feel."""
    kubenurse: str
    """What kubenurse would have shown, by its documentation and source; "" where unknown."""
    inject: Callable[[Cluster, str], AbstractContextManager[object]]
    proof: Callable[[Scene], None]
    node: str = "node-2"
    """Where it is injected, unless someone asks for another node."""
