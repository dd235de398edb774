"""Overview: is anything wrong, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.panels import (
    COUNT,
    PER_SECOND,
    RATIO,
    SECONDS,
    Query,
    row,
    stat,
    state_timeline,
    table,
    time_series,
)
from dashboards.queries import CHOSEN, RULE, loss, mean, or_zero, rate, series, share, where
from dashboards.variables import frame

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

_FIRING = f'ALERTS{{alertname=~"Kubenurse.+", alertstate="firing", {RULE}}}'


def build() -> Dashboard:
    failing = where(f"({series('kubenurse_check_success', CHOSEN)} == bool 0)")
    failures = rate("kubenurse_check_failures_total", CHOSEN)
    return (
        frame("overview", "Overview", "Is anything wrong, and where? Needs the recording rules.")
        .with_panel(
            stat(
                "Alerts firing",
                "kubenurse-otel's alerts that fire now. Each names its culprit and its runbook.",
                or_zero(f"count({_FIRING})"),
                bad_from=1,
            )
        )
        .with_panel(
            stat(
                "Bad nodes",
                "Nodes that half of the others cannot reach, or that cannot reach half of theirs.",
                or_zero(f"count(kubenurse:node:bad{{{RULE}}})"),
                bad_from=1,
            )
        )
        .with_panel(
            stat(
                "Nodes",
                "Nodes that report or are checked, without those that are leaving.",
                f"sum(kubenurse:cluster:nodes{{{RULE}}})",
            )
        )
        .with_panel(
            stat(
                "Checks failing now",
                "Targets whose latest check failed, of all agents together.",
                f"sum({failing})",
                warn_from=1,
            )
        )
        .with_panel(
            stat(
                "Checks",
                "Checks per second, of all agents together.",
                f"sum({rate('kubenurse_checks_timed_total')})",
                unit=PER_SECOND,
            )
        )
        .with_panel(
            stat(
                "Checks that waited for a retransmission",
                "Share of all checks that took longer because a packet was lost.",
                share(
                    rate("kubenurse_lossy_checks_total"),
                    rate("kubenurse_checks_timed_total"),
                    "",
                ),
                unit=RATIO,
                warn_from=0.005,
                bad_from=0.02,
            )
        )
        .with_row(row("Who is at fault"))
        .with_panel(
            table(
                "Verdicts",
                "What the agents conclude now, and how many say so (docs/diagnosis.md). For a"
                " node, agent or zone an alert needs two agents, unless a node says itself that"
                " it is cut off. `kubectl kubenurse` prints the evidence.",
                [
                    Query(
                        "sum by (cluster, kind, culprit, direction, cause)"
                        f" ({series('kubenurse_verdict')}) > 0"
                    )
                ],
                unit=COUNT,
                names={"Value": "agents"},
            )
        )
        .with_panel(
            state_timeline(
                "Verdicts over time",
                "By culprit: red while an agent names it, grey for ten minutes after that.",
                [
                    Query(
                        "max by (cluster, kind, culprit, direction)"
                        f" ({series('kubenurse_verdict')})",
                        "{{kind}} {{culprit}} {{direction}}",
                    )
                ],
            )
        )
        .with_row(row("What is wrong"))
        .with_panel(
            table(
                "Alerts",
                "Alerts that fire now, with what they name.",
                [Query(f"max by (alertname, severity, cluster, node, type) ({_FIRING})")],
                unit=COUNT,
                names={"Value": "firing"},
            )
        )
        .with_panel(
            table(
                "Checks that fail now",
                "Checks whose latest result is a failure: from which node, to which node or"
                " service.",
                [
                    Query(
                        "max by (cluster, type, source_node, target_node) ("
                        + where(f"({series('kubenurse_check_success', CHOSEN)} == 0)")
                        + " == 0)"
                    )
                ],
                unit=COUNT,
                names={"Value": "success"},
            )
        )
        .with_panel(
            time_series(
                "Nodes that cannot be reached",
                "Share of a node's sources that fail to reach it, without sources that are bad"
                " themselves. 50 % for two minutes is an alert.",
                [
                    Query(
                        f'topk(10, kubenurse:node_in:failure_ratio{{{RULE}, node=~"$node"}})',
                        "{{node}}",
                    )
                ],
                unit=RATIO,
                greatest=1,
            )
        )
        .with_panel(
            time_series(
                "Nodes that cannot reach others",
                "Share of its targets that a node fails to reach although others reach them.",
                [
                    Query(
                        f'topk(10, kubenurse:node_out:failure_ratio{{{RULE}, node=~"$node"}})',
                        "{{node}}",
                    )
                ],
                unit=RATIO,
                greatest=1,
            )
        )
        .with_panel(
            time_series(
                "Service, ingress, API server, extra checks: failing share",
                "Share of failed checks in two minutes, as the mean of all sources.",
                [
                    Query(
                        f"avg by (cluster, type) (kubenurse:source:failure_ratio2m{{{RULE}}})",
                        "{{type}}",
                    )
                ],
                unit=RATIO,
                greatest=1,
            )
        )
        .with_panel(
            time_series(
                "Why checks fail",
                "Failed checks per second by cause and by the step that failed.",
                [Query(f"sum by (error_type, phase) ({failures})", "{{phase}}: {{error_type}}")],
                unit=PER_SECOND,
                stacked=True,
            )
        )
        .with_row(row("Where the time goes"))
        .with_panel(
            time_series(
                "Steps of a check",
                "Mean time of each step, by the kernel's stamps.",
                [
                    Query(
                        mean("kubenurse_check_phase_duration_seconds", "phase", CHOSEN),
                        "{{phase}}",
                    )
                ],
                unit=SECONDS,
                stacked=True,
            )
        )
        .with_panel(
            time_series(
                "Network, far end, or ourselves",
                "Mean seconds per check: network round trip, far end, held back by the nodes' own"
                " queues and rules, lost to retransmissions, and the agents' own delay, which is"
                " part of none of the others.",
                [
                    Query(_overall("kubenurse_network_round_trip_seconds"), "network round trip"),
                    Query(_overall("kubenurse_far_end_duration_seconds"), "far end"),
                    Query(_overall("kubenurse_egress_delay_seconds"), "egress"),
                    Query(loss(CHOSEN), "loss"),
                    Query(_overall("kubenurse_own_delay_seconds"), "own delay"),
                ],
                unit=SECONDS,
            )
        )
    )


def _overall(metric: str) -> str:
    return mean(metric, "", CHOSEN)
