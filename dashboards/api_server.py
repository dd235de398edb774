"""API server and DNS: by its address against by its name, and what look-ups take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.panels import PER_SECOND, RATIO, SECONDS, Query, heat, row, stat, time_series
from dashboards.queries import (
    API_SERVER,
    RATE,
    buckets,
    mean,
    only,
    or_zero,
    quantile,
    rate,
    series,
    share,
    where,
)
from dashboards.variables import frame

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

_BOTH: Final = f'type=~"{API_SERVER}"'
_DNS: Final = 'phase="dns"'
_DURATION: Final = "kubenurse_httpclient_request_duration_seconds"
_PHASES: Final = "kubenurse_check_phase_duration_seconds"
_FAILURES: Final = "kubenurse_check_failures_total"


def build() -> Dashboard:
    success = f"avg_over_time({series('kubenurse_check_success', _BOTH)}[{RATE}])"
    lookups = mean(_PHASES, "type", _DNS)
    node_lookups = mean(_PHASES, "source_node", _DNS, join=where)
    return (
        frame(
            "api-server",
            "API server and DNS",
            "api_server_direct checks the API server by its address, api_server_dns by its name.",
        )
        .with_panel(
            stat(
                "By address: failing",
                "Share of the nodes whose latest check of api_server_direct failed.",
                f"1 - avg({series('kubenurse_check_success', only('api_server_direct'))})",
                unit=RATIO,
                width=6,
                bad_from=0.2,
            )
        )
        .with_panel(
            stat(
                "By name: failing",
                "Share of the nodes whose latest check of api_server_dns failed.",
                f"1 - avg({series('kubenurse_check_success', only('api_server_dns'))})",
                unit=RATIO,
                width=6,
                bad_from=0.2,
            )
        )
        .with_panel(
            stat(
                "Look-ups: p99",
                "99th percentile of a look-up, over all checks that need one.",
                quantile(0.99, _PHASES, more=_DNS),
                unit=SECONDS,
                width=6,
                warn_from=0.1,
            )
        )
        .with_panel(
            stat(
                "Look-ups that fail",
                "Checks per second that fail at their look-up.",
                or_zero(f"sum({rate(_FAILURES, _DNS)})"),
                unit=PER_SECOND,
                width=6,
                bad_from=0.01,
            )
        )
        .with_row(row("API server"))
        .with_panel(
            time_series(
                "Failing share by node",
                "Which nodes cannot get through, by address and by name.",
                [
                    Query(
                        f"topk(10, avg by (type, source_node) ({where(f'(1 - {success})')}))",
                        "{{type}} from {{source_node}}",
                    )
                ],
                unit=RATIO,
                greatest=1,
            )
        )
        .with_panel(
            time_series(
                "Failures by cause",
                "Failed checks per second, by the step that failed and the reason.",
                [
                    Query(
                        f"sum by (type, phase, error_type) ({rate(_FAILURES, _BOTH)})",
                        "{{type}} {{phase}}: {{error_type}}",
                    )
                ],
                unit=PER_SECOND,
                stacked=True,
            )
        )
        .with_panel(
            time_series(
                "p95, by address and by name",
                "95th percentile of a check. If both are high, the API server is slow; if only"
                " the one by name is, DNS is slow.",
                [Query(quantile(0.95, _DURATION, "type", _BOTH), "{{type}}")],
                unit=SECONDS,
            )
        )
        .with_panel(
            time_series(
                "Steps",
                "Mean time of each step, by the kernel's stamps.",
                [Query(mean(_PHASES, "type, phase", _BOTH), "{{type}} {{phase}}")],
                unit=SECONDS,
            )
        )
        .with_row(row("DNS"))
        .with_panel(
            heat(
                "Look-ups",
                "How long look-ups take, over all checks that need one. A second band at 1 or 5 s"
                " is a resolver's timeout, so answers are lost.",
                buckets(_PHASES, _DNS),
                exemplars=True,
            )
        )
        .with_panel(
            time_series(
                "Look-ups by check",
                "Mean time of a look-up, by what was looked up.",
                [Query(lookups, "{{type}}")],
                unit=SECONDS,
            )
        )
        .with_panel(
            time_series(
                "Slowest nodes",
                "Mean time of a look-up, by the node that asks.",
                [
                    Query(
                        f"topk(10, {node_lookups})",
                        "{{source_node}}",
                    )
                ],
                unit=SECONDS,
            )
        )
        .with_panel(
            time_series(
                "Addresses that did not connect",
                "Addresses per second that failed, of names with several addresses. The check may"
                " have succeeded with another one.",
                [
                    Query(
                        f"sum by (type, family) ({rate('kubenurse_address_failures_total')})",
                        "{{type}} {{family}}",
                    )
                ],
                unit=PER_SECOND,
            )
        )
        .with_panel(
            time_series(
                "Name servers",
                "Mean time of a query, by the server that answered it (KUBENURSE_RESOLVER=own).",
                [Query(mean("kubenurse_dns_query_seconds", "server"), "{{server}}")],
                unit=SECONDS,
            )
        )
        .with_panel(
            time_series(
                "What name servers answer",
                "Queries per second by server and outcome. silent means a lost query, a lost"
                " answer or a dead server.",
                [
                    Query(
                        f"sum by (server, outcome) ({rate('kubenurse_dns_queries_total')})",
                        "{{server}} {{outcome}}",
                    )
                ],
                unit=PER_SECOND,
            )
        )
        .with_panel(
            time_series(
                "Source ports that get no DNS answer",
                "Share of the dns check's source ports that never get an answer. If one replica"
                " behind a Service is silent, only a part of the ports is.",
                [
                    Query(
                        share(
                            rate("kubenurse_dns_ports_total", 'state="silent"'),
                            rate("kubenurse_dns_ports_total"),
                            "server",
                        ),
                        "{{server}}",
                    )
                ],
                unit=RATIO,
            )
        )
        .with_panel(
            time_series(
                "DNS servers that do not answer at their own address",
                "Share of the queries to each endpoint of the DNS Service that got no valid"
                " answer (chart: dnsEndpoints).",
                [
                    Query(
                        share(
                            rate(
                                "kubenurse_dns_endpoint_queries_total",
                                'outcome=~"silent|unreachable|malformed"',
                            ),
                            rate("kubenurse_dns_endpoint_queries_total"),
                            "server, transport",
                        ),
                        "{{server}} {{transport}}",
                    )
                ],
                unit=RATIO,
            )
        )
        .with_panel(
            time_series(
                "Extra look-ups by the search path",
                "Names per second that were asked for before the right one. A dot at the end of a"
                " name avoids them.",
                [Query(f"sum by (type) ({rate('kubenurse_dns_detours_total')})", "{{type}}")],
                unit=PER_SECOND,
            )
        )
    )
