"""Ingress and service: is our own front door reachable, from where, and what takes the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.panels import PER_SECOND, RATIO, SECONDS, Query, heat, row, stat, table, time_series
from dashboards.queries import RATE, SERVICES, buckets, mean, only, quantile, rate, series, where
from dashboards.variables import frame

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

_BOTH: Final = f'type=~"{SERVICES}"'
_DURATION: Final = "kubenurse_httpclient_request_duration_seconds"
_EXPIRY: Final = "kubenurse_tls_certificate_expiry_timestamp_seconds"


def build() -> Dashboard:
    success = f"avg_over_time({series('kubenurse_check_success', _BOTH)}[{RATE}])"
    built = frame(
        "services",
        "Ingress and service",
        "The agents' own URL through the ingress (me_ingress) and the Service (me_service).",
    )
    for type_, name in (("me_ingress", "Ingress"), ("me_service", "Service")):
        built.with_panel(
            stat(
                f"{name}: failing",
                f"Share of the nodes whose latest check of {type_} failed.",
                f"1 - avg({series('kubenurse_check_success', only(type_))})",
                unit=RATIO,
                width=6,
                bad_from=0.2,
            )
        )
        built.with_panel(
            stat(
                f"{name}: p95",
                f"95th percentile of a check of {type_}: dns + connect + tls + request.",
                quantile(0.95, _DURATION, more=only(type_)),
                unit=SECONDS,
                width=6,
                warn_from=0.5,
            )
        )
    return (
        built.with_row(row("Failures"))
        .with_panel(
            time_series(
                "Failing share by node",
                "Which nodes cannot get through. If only one line rises, that node has the"
                " problem.",
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
                        "sum by (type, phase, error_type) ("
                        + rate("kubenurse_check_failures_total", _BOTH)
                        + ")",
                        "{{type}} {{phase}}: {{error_type}}",
                    )
                ],
                unit=PER_SECOND,
                stacked=True,
            )
        )
        .with_panel(
            time_series(
                "Answers by status",
                "Checks per second by status code. round_trip_error means that there was no"
                " answer.",
                [
                    Query(
                        "sum by (type, code) ("
                        f"{rate('kubenurse_httpclient_requests_total', _BOTH)})",
                        "{{type}} {{code}}",
                    )
                ],
                unit=PER_SECOND,
            )
        )
        .with_panel(
            table(
                "Certificates",
                "Time until the certificate that the far end last presented expires.",
                [Query(f"min by (cluster, type) ({series(_EXPIRY)}) - time()")],
                unit=SECONDS,
                names={"Value": "expires in"},
            )
        )
        .with_row(row("Time"))
        .with_panel(
            heat(
                "Ingress: time of a check",
                "How the durations of the checks of me_ingress are distributed.",
                buckets(_DURATION, only("me_ingress")),
                exemplars=True,
            )
        )
        .with_panel(
            heat(
                "Service: time of a check",
                "How the durations of the checks of me_service are distributed.",
                buckets(_DURATION, only("me_service")),
                exemplars=True,
            )
        )
        .with_panel(
            time_series(
                "Steps",
                "Mean time of each step, by the kernel's stamps.",
                [
                    Query(
                        mean("kubenurse_check_phase_duration_seconds", "type, phase", _BOTH),
                        "{{type}} {{phase}}",
                    )
                ],
                unit=SECONDS,
            )
        )
        .with_panel(
            time_series(
                "Network round trip and far end",
                "The round trip is to whoever ends the TCP connection first (a balancer, a proxy,"
                " a pod). The time of everything behind it is far end.",
                [
                    Query(
                        mean("kubenurse_network_round_trip_seconds", "type", _BOTH),
                        "{{type}} network",
                    ),
                    Query(
                        mean("kubenurse_far_end_duration_seconds", "type", _BOTH),
                        "{{type}} far end",
                    ),
                ],
                unit=SECONDS,
            )
        )
    )
