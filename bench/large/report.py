"""Tables of what a run measured. Shows the halves that are there."""

from __future__ import annotations

from typing import Any, Final

from bench.large import costs, demand
from bench.tables import Table, number

CHART: Final = "limit-10"
"""The variant with the chart's values."""
MEASURED: Final = "limit-20"
PHASES: Final = {
    "steady": "steady",
    "storm": "storm",
    "after_storm": "after the storm",
    "restart": "API server restarts",
    "after_restart": "after the restart",
}


def sections(results: dict[str, Any], cluster: demand.Cluster) -> dict[str, str]:
    """Markdown by section of docs/scale.md: every one of which the figures are there."""
    found: dict[str, str] = {}
    if "live" in results:
        live = results["live"]
        makers = (_steady, _asked, _exposition, _phases, _memory)
        found["live"] = _text(live["machine"], *(make(live) for make in makers))
    if "parts" in results:
        parts = results["parts"]
        found["parts"] = _text(
            parts["machine"], *(make(parts) for make in (_parts, _look_ups, _forms))
        )
    if "parts" in results and "live" in results:
        found["demand"] = _text(demand.table(costs.parts_of(results, CHART), cluster))
    return found


def _text(*blocks: str | Table) -> str:
    shown = (one if isinstance(one, str) else one.markdown().rstrip() for one in blocks)
    return "\n\n".join(shown)


def _steady(live: dict[str, Any]) -> Table:
    steady = live["steady"]
    names = list(steady["agents"])
    seconds = steady["agents"][names[0]]["seconds"]
    table = Table(f"Steady state, {seconds / 60:.0f} minutes", ("agent", *names))
    rows = {
        "checks": ("checks", 0),
        "of them failed": ("failed", 0),
        "ticks missed": ("missed", 0),
        "CPU ms a check": ("cpu_ms_a_check", 2),
        "% of a core": ("core_percent", 2),
        "RSS MiB at the end": ("rss", 1),
        "peak RSS MiB": ("peak", 1),
        "threads": ("threads", 0),
        "open files": ("descriptors", 0),
        "own delay, mean ms": ("own_delay_ms", 2),
        "own delay over 5 ms, % of checks": ("own_delay_above_5ms_percent", 1),
        "event loop late, mean ms": ("loop_lag_ms", 2),
    }
    for title, (key, digits) in rows.items():
        cells = [number(one[key], digits) for one in steady["agents"].values()]
        table.rows.append((title, *cells))
    table.rows.append(("asyncio tasks", *(number(live["tasks"][name]) for name in names)))
    grown = [live["steady_rss"][name][-1] - live["steady_rss"][name][0] for name in names]
    table.rows.append(("RSS MiB, last minute less first", *(number(one, 1) for one in grown)))
    table.notes.append(
        f"All at once on one machine, which was {steady['machine_busy_percent']:.0f} % busy "
        "(others worked on it too). limit-10 is the chart's, the others check 20 neighbours; "
        "arena-2 and arena-1 have MALLOC_ARENA_MAX."
    )
    return table


def _asked(live: dict[str, Any]) -> Table:
    """Of all measured agents together, so that rare requests are counted better."""
    table = Table("Asked of the API server, an agent", ("what", "requests an hour", "codes"))
    steady = live["steady"]
    agents = list(steady["agents"].values())
    hours = sum(one["seconds"] for one in agents) / 3600
    for what, count in sorted(steady["audit"]["requests"].items()):
        codes = {
            name.rpartition(" ")[2]: value
            for name, value in steady["audit"]["codes"].items()
            if name.rpartition(" ")[0] == what
        }
        shown = ", ".join(f"{code}: {value}" for code, value in sorted(codes.items()))
        table.rows.append((what, number(count / hours, 1), shown))
    received = sum(one["discovery_bytes_in"] for one in agents) / hours
    sent = sum(one["discovery_bytes_out"] for one in agents) / hours
    checks = sum(one["checks"] for one in agents)
    table.rows.append(("discovery: KB received", number(received / 1e3), ""))
    table.rows.append(("discovery: KB sent", number(sent / 1e3), ""))
    one = agents[0]
    for kind in ("api_dns", "ingress", "service", "path"):
        ways = [
            one[f"{kind}_{what}_{way}_a_check"]
            for what in ("bytes", "packets")
            for way in ("out", "in")
        ]
        table.notes.append(
            f"One check of {kind}: {ways[0]:.0f} bytes out and {ways[1]:.0f} in, "
            f"{ways[2]:.1f} and {ways[3]:.1f} packets."
        )
    table.notes.append(f"{number(checks)} checks in all.")
    return table


def _exposition(live: dict[str, Any]) -> Table:
    columns = ("agent", "series", "a neighbour", "text KB", "gzip", "OpenMetrics KB", "gzip ")
    table = Table("/metrics after the steady state", columns)
    for name, one in live["exposition"].items():
        sizes = [one[key] / 1e3 for key in ("text", "text_gzip", "openmetrics", "openmetrics_gzip")]
        counts = [one["series"][key] for key in ("all", "a_neighbour")]
        table.rows.append((name, *map(number, counts), *(number(size, 1) for size in sizes)))
    return table


def _phases(live: dict[str, Any]) -> Table:
    columns = ("limit-20", *PHASES.values())
    table = Table("A watch storm, and a restart of the API server", columns)
    rows = {
        "seconds": ("seconds", 0),
        "checks": ("checks", 0),
        "failed": ("failed", 0),
        "of neighbours": ("failed_paths", 0),
        "different neighbours checked": ("checked_nodes", 0),
        "ticks missed": ("missed", 0),
        "CPU ms a check": ("cpu_ms_a_check", 2),
        "% of a core": ("core_percent", 2),
        "own delay, mean ms": ("own_delay_ms", 2),
        "own delay over 20 ms, checks": ("own_delay_above_20ms", 0),
        "event loop late, mean ms": ("loop_lag_ms", 2),
        "event loop late by over 20 ms": ("loop_lag_above_20ms", 0),
        "bytes to discovery": ("discovery_bytes_in", 0),
        "RSS MiB at the end": ("rss", 1),
    }
    for title, (key, digits) in rows.items():
        cells = [number(live[phase]["agents"][MEASURED][key], digits) for phase in PHASES]
        table.rows.append((title, *cells))
    agents = len(live["steady"]["agents"])
    requests = [
        sum(v for k, v in live[phase]["audit"]["requests"].items() if k != "check") / agents
        for phase in PHASES
    ]
    table.rows.append(
        ("requests of discovery (mean of all)", *(number(one, 1) for one in requests))
    )
    busy = [f"{live[phase]['machine_busy_percent']:.0f}" for phase in PHASES]
    table.rows.append(("the machine was busy, %", *busy))
    for phase, title in PHASES.items():
        found = live[phase]["failures"][MEASURED]
        if found:
            causes = ", ".join(f"{what} {number(count)}" for what, count in sorted(found.items()))
            table.notes.append(f"Failed, {title}: {causes}.")
    times = live["restart_times"]
    heard = ", ".join(f"{seconds:.1f}" for seconds in times["heard_after"].values())
    table.notes += [
        (
            f"The storm: {live['stormy']} nodes cordoned, pod replaced, uncordoned, in "
            f"{live['storm_took']:.0f} s; two of them neighbours."
        ),
        (
            f"The API server took {times['stopping']:.0f} s to stop and {times['down']:.0f} s to "
            f"be ready; agents had heard of it {heard} s later; neighbours kept: "
            f"{'yes' if times['neighbours_kept'] else 'no'}."
        ),
    ]
    return table


def _memory(live: dict[str, Any]) -> Table:
    table = Table("RSS MiB at each phase's end", ("agent", "warm-up", *PHASES.values(), "peak"))
    for name in live["steady"]["agents"]:
        found = [live[phase]["agents"][name]["rss"] for phase in ("warm_up", *PHASES)]
        peak = live["after_restart"]["agents"][name]["peak"]
        table.rows.append((name, *(number(one, 1) for one in (*found, peak))))
    return table


def _parts(parts: dict[str, Any]) -> Table:
    table = Table("What one of each costs others", ("what", "cost"))
    version, updates, store = parts["version"], parts["node_updates"], parts["store"]
    spans = parts["spans"]
    table.rows += [
        (
            "GET /version, new connection, RSA 2048",
            f"{version['rsa']:.2f} ms CPU of the API server",
        ),
        (
            "the same, not audited, RSA",
            f"{version['unaudited']:.2f} ms, {version['unaudited_events']} audit events",
        ),
        ("the same, ECDSA P-256", f"{version['ecdsa']:.2f} ms"),
        ("the same, kept connection", f"{version['kept']:.2f} ms"),
        ("a check through the ingress, RSA 2048", f"{parts['ingress_ms']:.2f} ms CPU of nginx"),
        (
            "a node's heartbeat (spread of three runs)",
            f"{updates['alone_ms']:.2f} ms ({updates['alone_spread_ms']:.2f})",
        ),
        ("a watch of cordoned nodes adds to it", f"{updates['cordoned_watcher_us']:.1f} us"),
        ("a watch of one own node adds to it", f"{updates['own_watcher_us']:.1f} us"),
        ("Prometheus: heap in use a series", f"{number(store['heap_bytes_a_series'])} bytes"),
        ("Prometheus: CPU a sample", f"{store['cpu_us_a_sample']:.1f} us"),
        ("Prometheus: log a sample", f"{store['wal_bytes_a_sample']:.1f} bytes"),
        ("a span over OTLP", f"{number(spans['bytes_a_span'])} bytes"),
        ("a span over OTLP, gzip", f"{number(spans['bytes_a_span_gzip'])} bytes"),
        *(
            (f"trace `{name}`, both ends", f"{count:.2f} spans")
            for name, count in spans["spans_a_trace"].items()
        ),
        ("RSS of an agent that exports every trace", f"{spans['rss']:.1f} MiB"),
        ("series with `KUBENURSE_METRICS=kubenurse`", number(parts["exposition"]["kubenurses"])),
    ]
    table.notes.append(
        f"{number(store['series'])} series in that Prometheus, RSS {number(store['rss_mib'])} MiB."
    )
    return table


def _look_ups(parts: dict[str, Any]) -> Table:
    columns = ("name", "A", "AAAA", "CoreDNS' CPU, ms")
    table = Table("DNS queries of one look-up", columns)
    for name, one in parts["look_ups"].items():
        figures = (number(one["A"], 1), number(one["AAAA"], 1), number(one["coredns_cpu_ms"], 2))
        table.rows.append((name, *figures))
    return table


def _forms(parts: dict[str, Any]) -> Table:
    columns = ("form of the watch", "events a node", "bytes an event")
    table = Table("A node cordoned, one heartbeat, uncordoned, as an agent hears of it", columns)
    for name, one in parts["cordoning"].items():
        table.rows.append((name, number(one["events"], 1), number(one["bytes_an_event"])))
    return table
