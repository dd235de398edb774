"""Node to node: the matrix of round trips and failures, and who stands out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from dashboards.panels import (
    BAD,
    GOOD,
    RATIO,
    SECONDS,
    WARN,
    Query,
    matrix,
    row,
    table,
    time_series,
)
from dashboards.queries import RATE, RULE, mean, rate, series, where
from dashboards.variables import frame

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard
    from grafana_foundation_sdk.builders.table import Panel as TablePanel
    from grafana_foundation_sdk.builders.timeseries import Panel as TimeSeriesPanel

_ROUND_TRIP: Final = "kubenurse_network_round_trip_seconds"
_PAIR: Final = "source_node, target_node"
_NEIGHBOURS: Final = 'target_node!=""'
_IN: Final = f'{{{RULE}, node=~"$node"}}'


def build() -> Dashboard:
    failing = where(
        f"(1 - avg_over_time({series('kubenurse_check_success')}[{RATE}]))", more=_NEIGHBOURS
    )
    between_zones = partial(where, more=_NEIGHBOURS, zones=True)
    return (
        frame("nodes", "Node to node", "Who reaches whom, and how fast.")
        .with_panel(
            matrix(
                "Failing checks: from (rows) to (columns)",
                "Share of failed checks of each pair. A red column is a node that cannot be"
                " reached, a red row is a node that reaches nobody, and a single red cell is a"
                " broken path.",
                f"avg by ({_PAIR}) ({failing})",
                row="source_node",
                column="target_node",
                unit=RATIO,
                steps=((None, GOOD), (0.01, WARN), (0.5, BAD)),
                width=12,
            )
        )
        .with_panel(
            matrix(
                "Network round trip: from (rows) to (columns)",
                "Mean time to the other node's kernel and back, without any application's time.",
                mean(_ROUND_TRIP, _PAIR, join=partial(where, more=_NEIGHBOURS)),
                row="source_node",
                column="target_node",
                unit=SECONDS,
                steps=((None, GOOD), (0.002, WARN), (0.02, BAD)),
                width=12,
            )
        )
        .with_panel(
            matrix(
                "Loss: from (rows) to (columns)",
                "Share of each pair's checks that waited for a retransmission. Pairs with a dead"
                " node are left out. A single red cell is the path between two nodes.",
                f"avg by ({_PAIR}) (kubenurse:pair:loss_ratio5m{{{RULE}}})",
                row="source_node",
                column="target_node",
                unit=RATIO,
                steps=((None, GOOD), (0.01, WARN), (0.1, BAD)),
                width=24,
            )
        )
        .with_row(row("Top offenders"))
        .with_panel(_top("Cannot be reached", "kubenurse:node_in:failure_ratio", RATIO, _IN_TEXT))
        .with_panel(_top("Cannot reach", "kubenurse:node_out:failure_ratio", RATIO, _OUT_TEXT))
        .with_panel(_top("Loss as target", "kubenurse:node_in:loss_ratio5m", RATIO, _LOSS_TEXT))
        .with_panel(_top("Loss as source", "kubenurse:node_out:loss_ratio5m", RATIO, _LOSS_TEXT))
        .with_panel(
            _top("Far as target", "kubenurse:node_in:round_trip_seconds5m", SECONDS, _FAR_TEXT)
        )
        .with_panel(
            _top("Far as source", "kubenurse:node_out:round_trip_seconds5m", SECONDS, _FAR_TEXT)
        )
        .with_row(row("Over time"))
        .with_panel(
            time_series(
                "Loss by node, as target",
                "Share of checks that waited for a retransmission, as the mean of each node's"
                " sources.",
                [Query(f"topk(10, kubenurse:node_in:loss_ratio5m{_IN})", "{{node}}")],
                unit=RATIO,
            )
        )
        .with_panel(
            time_series(
                "Loss by node, as source",
                "The same, as the mean of each node's targets.",
                [Query(f"topk(10, kubenurse:node_out:loss_ratio5m{_IN})", "{{node}}")],
                unit=RATIO,
            )
        )
        .with_panel(_lost("Lost on the way to a node", out="target_node", into="source_node"))
        .with_panel(_lost("Lost on the way from a node", out="source_node", into="target_node"))
        .with_panel(
            time_series(
                "Segments sent again, by source node",
                "TCP retransmissions per second of path checks, including those that cost no time.",
                [
                    Query(
                        "sum by (source_node) ("
                        + where(rate("kubenurse_tcp_retransmits_total"), more=_NEIGHBOURS)
                        + ")",
                        "{{source_node}}",
                    )
                ],
                unit="cps",
            )
        )
        .with_panel(
            time_series(
                "Round trip between zones",
                "Mean network round trip, by the zones of source and target.",
                [
                    Query(
                        mean(_ROUND_TRIP, "source_zone, target_zone", join=between_zones),
                        "{{source_zone}} to {{target_zone}}",
                    )
                ],
                unit=SECONDS,
            )
        )
        .with_panel(
            table(
                "Targets by the state of their Node",
                "The state that the Node object gives (read when an agent picks a target and when"
                " the target fails), with the number of agents that check it.",
                [
                    Query(
                        "count by (target_node, node_state) ("
                        f"{series('kubenurse_check_info', _NEIGHBOURS)})"
                    )
                ],
                unit="short",
                width=24,
                names={"Value": "sources"},
            )
        )
    )


_IN_TEXT: Final = "Share of the node's sources that fail to reach it. Bad sources are left out."
_OUT_TEXT: Final = "Share of its targets that the node fails to reach although others reach them."
_LOSS_TEXT: Final = "Share of checks that waited for a retransmission. Bad nodes are left out."
_FAR_TEXT: Final = (
    "Median of the mean network round trips of the node's pairs; with two pairs the shorter one."
)


def _lost(title: str, *, out: str, into: str) -> TimeSeriesPanel:
    """Checks by the node at which a direction ends: ``out`` and ``into`` are its place in them."""
    parts = (
        f"label_replace(sum by ({place}) ("
        + where(rate("kubenurse_lossy_checks_total", f'direction=~"{ways}"'), more=_NEIGHBOURS)
        + f'), "node", "$1", "{place}", "(.+)")'
        for place, ways in ((out, "out|both"), (into, "in|both"))
    )
    return time_series(
        title,
        "Checks per second, of the node and by the node, that waited because a packet was lost in"
        " this direction. A bad cable or queue often loses packets in one direction only.",
        [Query(f"topk(10, sum by (node) ({' or '.join(parts)}))", "{{node}}")],
        unit="cps",
    )


def _top(title: str, metric: str, unit: str, text: str) -> TablePanel:
    return table(
        title,
        text,
        [Query(f"sort_desc(topk(10, {metric}{_IN}))")],
        unit=unit,
        width=8,
        height=7,
        names={"Value": title.lower()},
    )
