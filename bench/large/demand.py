"""PURE: the measured parts -> what all agents together ask of others. Computed, not measured.

Every line says its formula, so that a reader can put in numbers of his own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.tables import Table, number

if TYPE_CHECKING:
    from collections.abc import Mapping

DAY = 86_400


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What one of each costs, as measured. Milliseconds of CPU, bytes."""

    version_ms: float
    version_kept_ms: float
    version_ecdsa_ms: float
    version_bytes: float
    audit_events: float
    audit_bytes: float
    """Of the events of one check, all stages."""
    audit_bytes_complete: float
    """Of the ResponseComplete event alone."""
    node_watcher_us: float
    node_event_bytes: float
    lists_an_hour: float
    other_requests_an_hour: float
    ingress_ms: float
    ingress_bytes: float
    service_bytes: float
    path_bytes: float
    queries: Mapping[int, float]
    """By ndots: of the three names together."""
    coredns_ms: Mapping[int, float]
    series: float
    exposition_gzip_bytes: float
    exposition_bytes: float
    spans: float
    """A trace, mean over an agent's targets."""
    span_bytes: float
    prometheus_series_bytes: float = 0.0
    prometheus_sample_us: float = 0.0


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
        ("discovery: lists", "N / 300 s", f"{number(parts.lists_an_hour * n / 3600, 1)} /s"),
        ("discovery: all requests", "", f"{number(requests, 1)} /s"),
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


def parts_of(results: dict[str, Any], agent: str) -> Parts:
    """The parts out of what a whole run measured; ``agent`` is the one that is the chart's."""
    live, parts = results["live"], results["parts"]
    steady = live["steady"]["agents"][agent]
    audit = live["steady"]["audit"]
    hours = steady["seconds"] / 3600 * len(live["steady"]["agents"])
    requests = {k: v / hours for k, v in audit["requests"].items() if k != "check"}
    checks = audit["requests"]["check"]

    def both(kind: str) -> float:
        return float(steady[f"{kind}_bytes_out_a_check"] + steady[f"{kind}_bytes_in_a_check"])

    def summed(ndots: int, *kinds: str) -> float:
        rows = [r for name, r in parts["look_ups"].items() if name.endswith(f"ndots {ndots}")]
        return float(sum(row[kind] for row in rows for kind in kinds))

    spans = parts["spans"]
    shown = live["exposition"][agent]
    count = sum(spans["traces"].values())
    return Parts(
        version_ms=parts["version"]["rsa"],
        version_kept_ms=parts["version"]["kept"],
        version_ecdsa_ms=parts["version"]["ecdsa"],
        version_bytes=both("api_dns"),
        audit_events=round(
            sum(v for k, v in audit["events"].items() if k.startswith("check,")) / checks
        ),
        audit_bytes=sum(v for k, v in audit["bytes"].items() if k.startswith("check,")) / checks,
        audit_bytes_complete=audit["bytes"]["check, ResponseComplete"] / checks,
        node_watcher_us=parts["node_updates"]["cordoned_watcher_us"],
        node_event_bytes=parts["cordoning"]["whole"]["bytes_an_event"],
        lists_an_hour=requests.get("list pods", 0.0),
        other_requests_an_hour=sum(v for k, v in requests.items() if k != "list pods"),
        ingress_ms=parts["ingress_ms"],
        ingress_bytes=both("ingress"),
        service_bytes=both("service"),
        path_bytes=both("path"),
        queries={ndots: summed(ndots, "A", "AAAA") for ndots in (1, 5)},
        coredns_ms={ndots: summed(ndots, "coredns_cpu_ms") for ndots in (1, 5)},
        series=shown["series"]["all"],
        exposition_gzip_bytes=shown["openmetrics_gzip"],
        exposition_bytes=shown["openmetrics"],
        spans=sum(spans["spans_a_trace"][k] * v for k, v in spans["traces"].items()) / count,
        span_bytes=spans["bytes_a_span"],
        prometheus_series_bytes=parts["store"]["heap_bytes_a_series"],
        prometheus_sample_us=parts["store"]["cpu_us_a_sample"],
    )
