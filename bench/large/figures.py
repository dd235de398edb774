"""What an agent cost and did between two readings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.large.traffic import KINDS

if TYPE_CHECKING:
    from bench.large.agents import Reading

CHECKS: Final = "kubenurse_httpclient_requests_total"
TYPES: Final = {
    "api": 'type="api_server_direct"',
    "api_dns": 'type="api_server_dns"',
    "ingress": 'type="me_ingress"',
    "service": 'type="me_service"',
    "path": 'type="path_',
}


def between(before: Reading, after: Reading) -> dict[str, float]:
    """Figures of the time between; memory is what it was at the end. Seconds, MiB, bytes."""

    def rise(name: str, where: str = "") -> float:
        return after.total(name, where) - before.total(name, where)

    def mean_ms(name: str) -> float:
        return rise(f"{name}_sum") / max(1.0, rise(f"{name}_count")) * 1e3

    def above(name: str, bound: str) -> float:
        return rise(f"{name}_count") - rise(f"{name}_bucket", f'le="{bound}"')

    own, lag = "kubenurse_own_delay_seconds", "kubenurse_event_loop_lag_seconds"
    seconds, cpu, checks = after.at - before.at, after.cpu - before.cpu, rise(CHECKS)
    return {
        "seconds": seconds,
        "checks": checks,
        "failed": checks - rise(CHECKS, 'code="200"'),
        "failed_paths": rise("kubenurse_check_failures_total", TYPES["path"]),
        "checked_nodes": _checked_nodes(before, after),
        "missed": rise("kubenurse_missed_checks_total"),
        "cpu_ms_a_check": cpu / max(1.0, checks) * 1e3,
        "core_percent": cpu / seconds * 100,
        "rss_before": before.rss,
        "rss": after.rss,
        "peak": after.peak,
        "threads": after.threads,
        "descriptors": after.descriptors,
        "own_delay_ms": mean_ms(own),
        "own_delay_above_5ms_percent": above(own, "0.005") / max(1.0, rise(f"{own}_count")) * 100,
        "own_delay_above_20ms": above(own, "0.02"),
        "loop_lag_ms": mean_ms(lag),
        "loop_lag_above_20ms": above(lag, "0.02"),
        **_traffic(before, after),
    }


def failures(before: Reading, after: Reading) -> dict[str, float]:
    """Failed checks by error_type and by whether a neighbour was checked."""
    found: dict[str, float] = {}
    for sign, reading in ((1, after), (-1, before)):
        for name, labels, value in reading.samples:
            if name == "kubenurse_check_failures_total":
                whom = "neighbour" if TYPES["path"] in labels else "other"
                kind = labels.partition('error_type="')[2].partition('"')[0]
                key = f"{whom}: {kind}"
                found[key] = found.get(key, 0.0) + sign * value
    return {key: value for key, value in found.items() if value}


def _checked_nodes(before: Reading, after: Reading) -> int:
    """How many different nodes were checked."""

    def checks(reading: Reading) -> dict[str, float]:
        return {
            labels: value
            for name, labels, value in reading.samples
            if name == CHECKS and TYPES["path"] in labels
        }

    then = checks(before)
    rose = (labels for labels, value in checks(after).items() if value > then.get(labels, 0.0))
    return len({labels.partition('type="')[2].partition('"')[0] for labels in rose})


def _traffic(before: Reading, after: Reading) -> dict[str, float]:
    """Bytes (IP headers included) a check by what was checked, and what discovery took beside."""
    found: dict[str, float] = {}
    moved = {name: count.since(before.traffic[name]) for name, count in after.traffic.items()}
    checks = {kind: after.total(CHECKS, w) - before.total(CHECKS, w) for kind, w in TYPES.items()}
    for kind in KINDS:
        for way in ("out", "in"):
            if kind not in ("api", "dns") and checks[kind]:
                found[f"{kind}_bytes_{way}_a_check"] = moved[f"{kind}_{way}"].bytes / checks[kind]
                found[f"{kind}_packets_{way}_a_check"] = (
                    moved[f"{kind}_{way}"].packets / checks[kind]
                )
    for way in ("out", "in"):
        # A check by address is as large as one by name; what else went there was discovery.
        a_check = found.get(f"api_dns_bytes_{way}_a_check", 0.0)
        found[f"discovery_bytes_{way}"] = moved[f"api_{way}"].bytes - checks["api"] * a_check
    named = checks["api_dns"] + checks["ingress"] + checks["service"]
    found["dns_queries_a_named_check"] = moved["dns_out"].packets / max(1.0, named)
    found["dns_bytes_a_named_check"] = (moved["dns_out"].bytes + moved["dns_in"].bytes) / max(
        1.0, named
    )
    return found


_KUBENURSES: Final = (
    "kubenurse_httpclient_",
    "kubenurse_errors_total",
    "kubenurse_neighbourhood_incoming_checks",
)


def series(text: str) -> dict[str, int]:
    """How many samples /metrics has: all, those of one neighbour (mean), those of no target."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    paths = [line for line in lines if 'type="path_' in line]
    neighbours = {line.partition('type="')[2].partition('"')[0] for line in paths}
    typed = [line for line in lines if 'type="' in line]
    return {
        "all": len(lines),
        "neighbours": len(neighbours),
        "a_neighbour": round(len(paths) / max(1, len(neighbours))),
        "other_targets": len(typed) - len(paths),
        "no_target": len(lines) - len(typed),
        "kubenurses": sum(line.startswith(_KUBENURSES) for line in lines),
    }
