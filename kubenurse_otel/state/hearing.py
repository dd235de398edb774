"""What neighbours say that they see: from the header of an answer to a View.

Owns which names a view may hold (those that discovery knows), and the count of headers that are
none. Draws no conclusions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubenurse_otel.diagnosis import wire
from kubenurse_otel.diagnosis.heard import MOST_VIEWS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from kubenurse_otel.diagnosis.view import View
    from kubenurse_otel.model import CheckResult, Neighbourhood


class Hearing:
    """Decodes each view once, because most repeat the one before. Keeps 64 of them."""

    def __init__(self, neighbourhood: Callable[[], Neighbourhood]) -> None:
        self._neighbourhood = neighbourhood
        self._of: Neighbourhood | None = None
        self._node_by_hash: dict[str, str] = {}
        self._latest: dict[str, tuple[str, str, View]] = {}
        """(text, zone, view) by the speaker's node, the one heard longest ago first."""
        self.invalid = 0

    def view(self, result: CheckResult) -> View | None:
        """Return what the neighbour that was checked says; None: nothing, or no view."""
        neighbour, measured = result.target.neighbour, result.measurement
        if neighbour is None or measured is None or not measured.view:
            return None
        node, zone, text = neighbour.node_name, neighbour.zone, measured.view
        self._learn_names()
        before = self._latest.get(node)
        if before is not None and before[:2] == (text, zone):
            return before[2]
        view = wire.decode(text, self._node_by_hash, node=node, zone=zone)
        if view is None:
            self.invalid += 1
            return None
        self._latest.pop(node, None)
        self._latest[node] = (text, zone, view)
        while len(self._latest) > MOST_VIEWS:
            del self._latest[next(iter(self._latest))]
        return view

    def retain(self, nodes: Collection[str]) -> None:
        """Forget what all others said."""
        self._latest = {node: kept for node, kept in self._latest.items() if node in nodes}

    def _learn_names(self) -> None:
        here = self._neighbourhood()
        if here is self._of:
            return
        before, self._of = self._of, here
        nodes = {one.node_name for one in here.known} | {here.own_node_name}
        if before is None or nodes != {one.node_name for one in before.known} | {
            before.own_node_name
        }:
            self._node_by_hash = wire.by_hash(nodes - {""})
            self._latest.clear()
