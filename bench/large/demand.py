"""What all agents together ask of others: computed of the measured parts, not measured.

Every line says its formula, so that a reader can put in numbers of his own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bench.tables import Table, number

if TYPE_CHECKING:
    from bench.large.costs import Parts

DAY: Final = 86_400
STORM: Final = 500
CORDON_EVENTS: Final = 3
"""spec.unschedulable, then the taint of it, then no more unschedulable: it leaves the watch."""
TIME_WAIT: Final = 120
"""Seconds; net.netfilter.nf_conntrack_tcp_timeout_time_wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """How many agents, how often, how many neighbours; seconds."""

    agents: int = 5000
    interval: float = 5.0
    api_interval: float = 5.0
    neighbours: int = 10
    scrape: float = 30.0
    trace_ratio: float = 0.01
    cordoned: int = 10
    heartbeat: float = 300.0


def table(parts: Parts, cluster: Cluster) -> Table:
    n, i, a = cluster.agents, cluster.interval, cluster.api_interval
    api = 2 * n / a
    front = n / i
    paths = n * cluster.neighbours / i
    rows: list[tuple[str, str, str]] = [
        ("**API server**: checks, each a TLS handshake", "2 N / i", f"{number(api)} /s"),
        *_api(parts, cluster, api),
        *_dns(parts, n / a + 2 * n / i, cluster),
        ("**ingress**: requests, each a TLS handshake", "N / i", f"{number(front)} /s"),
        *_costs(front, parts.ingress_ms, parts.ingress_bytes),
        ("**Service**: connections", "N / i", f"{number(front)} /s"),
        ("**neighbours**: checks in the whole cluster", "N n / i", f"{number(paths)} /s"),
        ("all check traffic of one node, both ways", "", _node_traffic(parts, cluster)),
        *_metrics(parts, cluster),
        *_traces(parts, cluster, api + 2 * front + paths),
    ]
    shown = Table(
        f"{number(n)} agents (N), interval {i:g} s (i; API server {a:g} s), {cluster.neighbours} "
        f"neighbours (n), scraped every {cluster.scrape:g} s (s): computed, not measured",
        ("what", "formula", "asked"),
    )
    shown.rows.extend(rows)
    return shown


def _costs(rate: float, ms: float, size: float) -> list[tuple[str, str, str]]:
    return [
        ("CPU", f"{ms:.2f} ms each", f"{number(rate * ms / 1e3, 2)} cores"),
        ("bytes, both ways", f"{number(size)} each", f"{number(rate * size / 1e6, 1)} MB/s"),
        (
            "conntrack entries of closed connections",
            f"{TIME_WAIT} s each",
            number(rate * TIME_WAIT),
        ),
    ]


def _api(parts: Parts, cluster: Cluster, rate: float) -> list[tuple[str, str, str]]:
    n = cluster.agents
    each, complete = parts.audit_bytes, parts.audit_bytes_complete
    beats = n / cluster.heartbeat
    seen = cluster.cordoned / cluster.heartbeat
    requests = (parts.lists_an_hour + parts.other_requests_an_hour) * n / 3600
    return [
        *_costs(rate, parts.version_ms, parts.version_bytes),
        (
            "CPU with an ECDSA certificate",
            f"{parts.version_ecdsa_ms:.2f} ms each",
            f"{number(rate * parts.version_ecdsa_ms / 1e3, 2)} cores",
        ),
        (
            "CPU with `KUBENURSE_REUSE_CONNECTIONS`",
            f"{parts.version_kept_ms:.2f} ms each",
            f"{number(rate * parts.version_kept_ms / 1e3, 2)} cores",
        ),
        (
            "audit, Metadata, all stages",
            f"{parts.audit_events:g} events, {number(each)} bytes a check",
            (
                f"{number(rate * parts.audit_events)} events/s, "
                f"{number(rate * each * DAY / 1e9)} GB/day"
            ),
        ),
        (
            "audit, Metadata, without RequestReceived",
            f"{number(complete)} bytes a check",
            f"{number(rate)} events/s, {number(rate * complete * DAY / 1e9)} GB/day",
        ),
        (
            "discovery: lists",
            f"N * {parts.lists_an_hour:.0f} an hour",
            f"{number(parts.lists_an_hour * n / 3600, 1)} /s",
        ),
        (
            "discovery: all requests",
            f"N * {parts.lists_an_hour + parts.other_requests_an_hour:.0f} an hour",
            f"{number(requests, 1)} /s",
        ),
        (
            "discovery: watches that a node's heartbeat is offered to",
            f"N / 300 s * N * {parts.node_watcher_us:.2f} us",
            f"{number(beats * n * parts.node_watcher_us / 1e6, 2)} cores",
        ),
        (
            f"discovery: heartbeats of {cluster.cordoned} cordoned nodes",
            f"{cluster.cordoned} / 300 s * N * {number(parts.node_event_bytes)} bytes",
            f"{number(seen * n * parts.node_event_bytes / 1e6, 1)} MB/s",
        ),
        (
            f"discovery: {STORM} nodes cordoned and uncordoned",
            f"{STORM} * {CORDON_EVENTS} events * N * {number(parts.node_event_bytes)} bytes",
            f"{number(STORM * CORDON_EVENTS * n * parts.node_event_bytes / 1e9, 1)} GB",
        ),
        (
            "the same, were the watch a Table's (it is not)",
            f"{number(parts.node_line_bytes)} bytes an event",
            f"{number(STORM * CORDON_EVENTS * n * parts.node_line_bytes / 1e9, 1)} GB",
        ),
    ]


def _dns(parts: Parts, looked_up: float, cluster: Cluster) -> list[tuple[str, str, str]]:
    rows = [("**CoreDNS**: look-ups", "3 N / i", f"{number(looked_up)} /s")]
    for ndots, queries in sorted(parts.queries.items()):
        agents = cluster.agents / cluster.interval
        rate = agents * queries
        rows.append(
            (
                f"queries at ndots {ndots}" + (" (the chart's)" if ndots == 1 else ""),
                f"{queries:g} for the three names",
                f"{number(rate)} /s, {number(agents * parts.coredns_ms[ndots] / 1e3, 2)} cores",
            )
        )
    return rows


def _node_traffic(parts: Parts, cluster: Cluster) -> str:
    a_second = (
        2 * parts.version_bytes / cluster.api_interval
        # A neighbour's checks come to us as ours go to it.
        + (parts.ingress_bytes + parts.service_bytes + 2 * cluster.neighbours * parts.path_bytes)
        / cluster.interval
    )
    return f"{number(a_second * 8 / 1e3, 1)} kbit/s"


def _metrics(parts: Parts, cluster: Cluster) -> list[tuple[str, str, str]]:
    n, rate = cluster.agents, cluster.agents / cluster.scrape
    series = n * parts.series
    rows = [
        (
            "**metrics store**: active series",
            f"N * {number(parts.series)}",
            f"{number(series / 1e6, 1)} million",
        ),
        ("samples", "series / s", f"{number(series / cluster.scrape)} /s"),
        (
            "bytes of scrapes, gzip (plain)",
            f"N / s * {number(parts.exposition_gzip_bytes)} ({number(parts.exposition_bytes)})",
            (
                f"{number(rate * parts.exposition_gzip_bytes / 1e6, 1)} "
                f"({number(rate * parts.exposition_bytes / 1e6, 1)}) MB/s"
            ),
        ),
    ]
    if parts.prometheus_series_bytes:
        rows.append(
            (
                "one Prometheus: heap in use, CPU of ingesting",
                (
                    f"{number(parts.prometheus_series_bytes)} bytes a series, "
                    f"{parts.prometheus_sample_us:.1f} us a sample"
                ),
                (
                    f"{number(series * parts.prometheus_series_bytes / 1e9)} GB, "
                    f"{number(series / cluster.scrape * parts.prometheus_sample_us / 1e6, 1)} cores"
                ),
            )
        )
    return rows


def _traces(parts: Parts, cluster: Cluster, checks: float) -> list[tuple[str, str, str]]:
    spans = checks * cluster.trace_ratio * parts.spans
    most = cluster.agents * parts.spans  # 60 a minute and agent
    return [
        (
            f"**traces** at a ratio of {cluster.trace_ratio:g}: spans",
            f"checks * {cluster.trace_ratio:g} * {parts.spans:.2f}",
            f"{number(spans)} /s, {number(spans * parts.span_bytes / 1e6, 2)} MB/s",
        ),
        (
            "traces, at most beside the ratio (everything fails)",
            "N * KUBENURSE_TRACE_MAX_PER_MINUTE / 60",
            f"{number(most)} spans/s, {number(most * parts.span_bytes / 1e6, 1)} MB/s",
        ),
    ]
