"""What one of each costs, out of everything that a run measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    node_line_bytes: float
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
        node_line_bytes=parts["cordoning"]["table"]["bytes_an_event"],
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
