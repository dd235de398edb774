"""What discovery says of the nodes around us, as facts for the rules."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.case import Facts
from kubenurse_otel.model import NodeState

if TYPE_CHECKING:
    from kubenurse_otel.model import Neighbourhood

WELL: Final = "ok"
"""Neighbourhood.state where discovery has no complaint."""


def facts(neighbourhood: Neighbourhood, node: str) -> Facts:
    """Return what ``neighbourhood`` tells; ``node`` is ours."""
    # Of the chosen the node was read as well: what it says counts.
    neighbours = (*neighbourhood.known, *neighbourhood.chosen)
    zones = {one.node_name: one.zone for one in neighbours if one.zone}
    if neighbourhood.own_zone:
        zones[node] = neighbourhood.own_zone
    names = {one.node_name for one in neighbours}
    is_well = neighbourhood.state == WELL
    # Before the first list nobody knows that this is the only node: what is bad may be its own.
    is_unheard = neighbourhood.listed_at is None and not names and not is_well
    return Facts(
        nodes=len(names | {node}) + is_unheard,
        zones=MappingProxyType(zones),
        known=frozenset(names - {node} if neighbourhood.own_node_leaving else names | {node}),
        not_ready=frozenset(
            one.node_name for one in neighbourhood.chosen if one.node_state is NodeState.NOT_READY
        ),
        discovery_is_well=is_well,
    )
