"""The agents themselves: whether their word is good, and what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.panels import (
    BYTES,
    COUNT,
    PER_SECOND,
    RATIO,
    SECONDS,
    Query,
    row,
    stat,
    table,
    time_series,
)
from dashboards.queries import (
    OWN_LABELS,
    of_agent,
    on_node,
    or_zero,
    quantile_of_agent,
    rate,
    series,
)
from dashboards.variables import frame

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard
    from grafana_foundation_sdk.builders.timeseries import Panel as TimeSeries

_NODE: Final = "{{source_node}}"
_KERNEL: Final = 'source="kernel"'
_OURS: Final = '__name__=~"kubenurse_.+"'
_OWN_DELAY: Final = "kubenurse_own_delay_seconds"
_EGRESS: Final = "kubenurse_egress_delay_seconds"
_LAG: Final = "kubenurse_event_loop_lag_seconds"
_COLLECTOR: Final = 'service_name="kubenurse-collector"'


def build() -> Dashboard:
    return (
        frame(
            "agents",
            "The agents",
            "Whether the agents' figures can be trusted, and what the agents cost.",
        )
        .with_panel(
            stat(
                "Agents",
                "Agents that report, whether they are scraped or push by OTLP.",
                f"count({series('kubenurse_build_info')})",
            )
        )
        .with_panel(
            stat(
                "Not ready",
                "Agents that are shutting down, or whose node is leaving the cluster.",
                f"sum({_of_agent('min', 'kubenurse_ready')} == bool 0)",
                warn_from=1,
            )
        )
        .with_panel(
            stat(
                "Ticks missed",
                "Checks per second that were due but skipped, because the previous check of the"
                " target had not ended or the agent stood still.",
                or_zero(f"sum({rate('kubenurse_missed_checks_total')})"),
                unit=PER_SECOND,
                warn_from=0.1,
            )
        )
        .with_panel(
            stat(
                "Timed by the kernel",
                "Share of the checks that were timed by the kernel's stamps.",
                f"sum({rate('kubenurse_checks_timed_total', _KERNEL)})"
                f" / sum({rate('kubenurse_checks_timed_total')})",
                unit=RATIO,
            )
        )
        .with_panel(
            stat(
                "Memory, largest",
                "Resident memory of the largest agent.",
                f"max({series('process_resident_memory_bytes')})",
                unit=BYTES,
            )
        )
        .with_panel(
            stat(
                "CPU, mean",
                "Cores that an agent uses, as the mean of all agents.",
                f"avg({rate('process_cpu_seconds_total')})",
            )
        )
        .with_row(row("Can the agents be trusted?"))
        .with_panel(
            _by_node(
                "Own delay, p90",
                "How long checks waited for the agent itself. It is part of no network figure.",
                quantile_of_agent(0.9, _OWN_DELAY),
                SECONDS,
            )
        )
        .with_panel(
            _by_node(
                "Egress, p90",
                "How long the node's own queues (tc) and rules (nft) held back what checks sent."
                " It counts as time in the network, and the node's workloads feel it, too.",
                quantile_of_agent(0.9, _EGRESS),
                SECONDS,
            )
        )
        .with_panel(
            _by_node(
                "Event loop lag, p90",
                "How late the agent's event loop runs its timers.",
                quantile_of_agent(0.9, _LAG),
                SECONDS,
            )
        )
        .with_panel(
            _by_node(
                "Ticks missed",
                "Skipped checks per second, by agent. A dead target makes only its own checks be"
                " skipped.",
                _sum_of_agent("kubenurse_missed_checks_total"),
                PER_SECOND,
            )
        )
        .with_panel(
            time_series(
                "Timing source of the checks",
                "Checks per second by timing source, with the reason where it was not the kernel.",
                [
                    Query(
                        f"sum by (source, reason) ({rate('kubenurse_checks_timed_total')})",
                        "{{source}} {{reason}}",
                    )
                ],
                unit=PER_SECOND,
                stacked=True,
            )
        )
        .with_panel(
            _by_node(
                "Checks that end at a proxy",
                "Checks of neighbours per second that a mesh or a proxy intercepted. They have no"
                " network figures.",
                _sum_of_agent("kubenurse_intercepted_checks_total"),
                PER_SECOND,
            )
        )
        .with_panel(
            _by_node(
                "Throttled",
                "Share of the time in which the CPU limit held the agent back.",
                _sum_of_agent("kubenurse_cpu_throttled_seconds_total"),
                RATIO,
            )
        )
        .with_panel(
            _by_node(
                "The node's CPU pressure",
                "Share of the time in which something on the node waited for a core (PSI). If an"
                " agent is slow and this is high, the node is short of CPU; if this is low, look"
                " at the agent or its CPU limit.",
                _sum_of_agent("kubenurse_node_cpu_pressure_seconds_total"),
                RATIO,
            )
        )
        .with_panel(
            _by_node(
                "Age of what discovery knows",
                "Time since discovery last heard of the neighbours. Up to 5 minutes is usual.",
                _of_agent("max", "kubenurse_discovery_age_seconds"),
                SECONDS,
            )
        )
        .with_panel(
            _by_node(
                "Doubt",
                "How much an agent doubts what it measures, from 0 to 7. From 3 on it accuses"
                " nobody else.",
                _of_agent("max", "kubenurse_doubt"),
                COUNT,
            )
        )
        .with_panel(
            time_series(
                "Views of neighbours",
                "Fresh and stale views that agents have of their neighbours, suspicions, and"
                " invalid view headers per second. Without fresh views an agent judges alone.",
                [
                    Query(f"sum by (state) ({series('kubenurse_views')})", "{{state}} views"),
                    Query(f"sum({series('kubenurse_suspicions')})", "suspicions"),
                    Query(f"sum({rate('kubenurse_invalid_views_total')})", "no views"),
                ],
                unit=COUNT,
            )
        )
        .with_row(row("What the agents cost"))
        .with_panel(
            _by_node(
                "CPU",
                "Cores that each agent uses.",
                _sum_of_agent("process_cpu_seconds_total"),
                COUNT,
            )
        )
        .with_panel(
            _by_node(
                "Memory",
                "Resident memory of each agent.",
                _of_agent("max", "process_resident_memory_bytes"),
                BYTES,
            )
        )
        .with_panel(
            _by_node(
                "Open files",
                "Open file descriptors of each agent.",
                _of_agent("max", "process_open_fds"),
                COUNT,
            )
        )
        .with_panel(
            _by_node(
                "Series",
                "Number of time series of each agent: those that kubenurse has, too, and ours.",
                f"count without ({', '.join(OWN_LABELS)}) ({series('', _OURS)})",
                COUNT,
            )
        )
        .with_row(row("What the agents send and receive"))
        .with_panel(
            time_series(
                "OTLP exports",
                "Exports per second by signal and result.",
                [
                    Query(
                        f"sum by (signal, result) ({rate('kubenurse_telemetry_exports_total')})",
                        "{{signal}} {{result}}",
                    )
                ],
                unit=PER_SECOND,
            )
        )
        .with_panel(
            time_series(
                "Verdicts as Kubernetes Events",
                "Events per second that agents wrote, and that they failed to write"
                " (events.enabled; the agent's log says why).",
                [
                    Query(
                        or_zero(f"sum({rate('kubenurse_kubernetes_events_total', outcome)})"),
                        name,
                    )
                    for name, outcome in (
                        ("written", 'outcome="written"'),
                        ("not written", 'outcome="failed"'),
                    )
                ],
                unit=PER_SECOND,
            )
        )
        .with_panel(
            time_series(
                "Spans dropped, items rejected, log lines lost, series beyond a limit",
                "Per second: spans worth keeping that were not exported, by reason; spans and"
                " points that a collector rejected; log lines that nobody read in time; label"
                " sets beyond the limit.",
                [
                    Query(
                        f"sum by (reason) ({rate('kubenurse_telemetry_spans_dropped_total')})",
                        "spans: {{reason}}",
                    ),
                    Query(
                        or_zero(f"sum({rate('kubenurse_telemetry_rejected_items_total')})"),
                        "rejected",
                    ),
                    Query(f"sum({rate('kubenurse_log_lines_dropped_total')})", "log lines"),
                    Query(
                        or_zero(f"sum({rate('kubenurse_telemetry_series_overflowed_total')})"),
                        "series",
                    ),
                ],
                unit=PER_SECOND,
            )
        )
        .with_panel(
            time_series(
                "Collectors beside the agents",
                "Spans and points per second that the collectors took, sent, refused and gave up,"
                " if a monitor scrapes them. What they take and do not send fills their queues.",
                [
                    Query(_of_collectors(f"otelcol_{counter}_{items}"), f"{items}: {what}")
                    for items in ("spans", "metric_points")
                    for counter, what in (
                        ("receiver_accepted", "taken"),
                        ("exporter_sent", "sent"),
                        ("receiver_refused", "refused"),
                        ("exporter_send_failed", "given up"),
                    )
                ],
                unit=PER_SECOND,
            )
        )
        .with_panel(
            time_series(
                "Queues of the collectors, fullest",
                "How full the queue is, of the ten collectors with the fullest queues. At 1 a"
                " collector refuses exports.",
                [
                    Query(
                        "topk(10, max by (k8s_node_name) ("
                        f"{series('otelcol_exporter_queue_size', _COLLECTOR)}"
                        f" / {series('otelcol_exporter_queue_capacity', _COLLECTOR)}))"
                        f" or on () 0 * max({series('kubenurse_build_info')})",
                        "{{k8s_node_name}}",
                    )
                ],
                unit=RATIO,
            )
        )
        .with_panel(
            time_series(
                "Neighbours",
                "How many neighbours an agent knows and has chosen to check, and how many other"
                " agents checked it in the last 60 s; each the mean of all agents.",
                [
                    Query(f"avg by (state) ({series('kubenurse_neighbours')})", "{{state}}"),
                    Query(f"avg({series('kubenurse_neighbourhood_incoming_checks')})", "asked by"),
                ],
                unit=COUNT,
            )
        )
        .with_panel(
            time_series(
                "Requests with an invalid origin",
                "Requests per second whose origin is no DNS name or no known agent, or is a new"
                " one while 10,000 are held.",
                [Query(f"sum({rate('kubenurse_invalid_origins_total')})", "requests")],
                unit=PER_SECOND,
            )
        )
        .with_panel(
            time_series(
                "What clients sent and the agents' servers did not take",
                "Per second, by reason; see kubenurse_http_refused_total in docs/metrics.md.",
                [Query(f"sum by (reason) ({rate('kubenurse_http_refused_total')})", "{{reason}}")],
                unit=PER_SECOND,
            )
        )
        .with_panel(
            table(
                "Versions",
                "Which versions run, and on how many nodes.",
                [
                    Query(
                        "count by (cluster, version, python_version) ("
                        f"{series('kubenurse_build_info')})"
                    )
                ],
                unit=COUNT,
                names={"Value": "agents"},
            )
        )
        .with_panel(
            table(
                "Age of the processes",
                "Time since each agent started.",
                [
                    Query(
                        "sort(time() - max by (source_node) ("
                        + on_node(_of_agent("max", "process_start_time_seconds"))
                        + "))"
                    )
                ],
                unit=SECONDS,
                names={"Value": "age"},
            )
        )
    )


def _by_node(title: str, description: str, per_agent: str, unit: str) -> TimeSeries:
    """Show the ten greatest of a figure that each agent has."""
    greatest = f"topk(10, max by (source_node) ({on_node(f'({per_agent})')}))"
    return time_series(title, description, [Query(greatest, _NODE)], unit=unit)


def _of_agent(aggregation: str, metric: str) -> str:
    return of_agent(aggregation, series(metric), metric)


def _of_collectors(counter: str) -> str:
    """Sum a counter of the collectors; 0 where nothing was counted, or no collector is scraped."""
    return or_zero(f"sum({rate(counter, _COLLECTOR)})")


def _sum_of_agent(counter: str) -> str:
    return of_agent("sum", rate(counter), counter)
