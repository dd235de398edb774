"""One target in depth: what each step takes, whose time it is, and the traces behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.panels import (
    PER_SECOND,
    RATIO,
    SECONDS,
    Query,
    heat,
    row,
    stat,
    time_series,
    traces,
)
from dashboards.queries import RATE, buckets, loss, mean, or_zero, quantile, rate, series, where
from dashboards.variables import frame

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

_TYPE: Final = 'type="$type"'
_SUCCESS: Final = series("kubenurse_check_success", _TYPE)
_DURATION: Final = "kubenurse_httpclient_request_duration_seconds"
_OWN_DELAY: Final = "kubenurse_own_delay_seconds"


def build() -> Dashboard:
    return (
        frame(
            "target",
            "One target",
            "One type of check from one node or from several. Exemplars (the dots) lead to traces"
            " if the metrics data source names the traces data source.",
            one_target=True,
        )
        .with_panel(
            stat(
                "Failing now",
                "Nodes whose latest check of this target failed.",
                f"sum({where(f'({_SUCCESS} == bool 0)')})",
                width=6,
                bad_from=1,
            )
        )
        .with_panel(
            stat(
                "Failed",
                "Share of the checks of this target that failed in the interval.",
                f"1 - avg({where(f'avg_over_time({_SUCCESS}[{RATE}])')})",
                unit=RATIO,
                width=6,
                bad_from=0.01,
            )
        )
        .with_panel(
            stat(
                "Time of a check",
                "Mean of dns + connect + tls + request.",
                _mean(_DURATION),
                unit=SECONDS,
                width=6,
            )
        )
        .with_panel(
            stat(
                "Network round trip",
                "Mean time to whoever ends the TCP connection first and back, without any"
                " application's time.",
                _mean("kubenurse_network_round_trip_seconds"),
                unit=SECONDS,
                width=6,
            )
        )
        .with_row(row("Where the time goes"))
        .with_panel(
            time_series(
                "Steps, stacked",
                "Mean time of each step by the kernel's stamps. Together they are the time of the"
                " check.",
                [
                    Query(
                        _mean("kubenurse_check_phase_duration_seconds", "phase"),
                        "{{phase}}",
                    )
                ],
                unit=SECONDS,
                stacked=True,
            )
        )
        .with_panel(
            time_series(
                "Whose time: egress, loss, network, far end, own delay",
                "Mean seconds per check: held back by the node's own queues and rules, lost to"
                " retransmissions, in the network, at the far end, and waiting for the agent"
                " itself (in no other figure).",
                [
                    Query(_mean("kubenurse_egress_delay_seconds"), "egress"),
                    Query(loss(_TYPE, join=where), "loss"),
                    Query(_mean("kubenurse_network_round_trip_seconds"), "network round trip"),
                    Query(_mean("kubenurse_far_end_duration_seconds"), "far end"),
                    Query(_mean(_OWN_DELAY), "own delay"),
                ],
                unit=SECONDS,
            )
        )
        .with_panel(
            heat(
                "Checks",
                "How the durations of the checks are distributed. Dots are exemplars, each with"
                " its trace.",
                buckets(_DURATION, _TYPE, join=where),
                exemplars=True,
            )
        )
        .with_panel(
            time_series(
                "Quantiles",
                "Median, 95th and 99th percentile of a check.",
                [
                    Query(
                        quantile(share, _DURATION, more=_TYPE, join=where),
                        name,
                        exemplars=share == 0.99,
                    )
                    for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
                ],
                unit=SECONDS,
            )
        )
        .with_panel(
            time_series(
                "Events",
                "Mean time from the start of the request to each event, by the names of Go's"
                " httptrace.",
                [
                    Query(
                        _mean("kubenurse_httpclient_trace_request_duration_seconds", "event"),
                        "{{event}}",
                    )
                ],
                unit=SECONDS,
            )
        )
        .with_panel(
            time_series(
                "Network round trip by source",
                "Mean network round trip from each node that checks this target.",
                [
                    Query(
                        _mean("kubenurse_network_round_trip_seconds", "source_node"),
                        "{{source_node}}",
                    )
                ],
                unit=SECONDS,
            )
        )
        .with_row(row("What goes wrong"))
        .with_panel(
            time_series(
                "Failures by cause",
                "Failed checks per second, by the step that failed and the reason.",
                [
                    Query(
                        "sum by (phase, error_type) ("
                        + _sum("kubenurse_check_failures_total")
                        + ")",
                        "{{phase}}: {{error_type}}",
                    )
                ],
                unit=PER_SECOND,
                stacked=True,
            )
        )
        .with_panel(
            time_series(
                "Lost packets",
                "Checks per second that waited for a retransmission (out: of what we sent, in: of"
                " what the far end sent), and segments per second that we sent again.",
                [
                    Query(
                        or_zero(f"sum({_sum('kubenurse_lossy_checks_total')})"),
                        "checks that waited",
                    ),
                    Query(
                        f"sum by (direction) ({_sum('kubenurse_lossy_checks_total')})",
                        "of these, lost: {{direction}}",
                    ),
                    Query(
                        or_zero(f"sum({_sum('kubenurse_tcp_retransmits_total')})"),
                        "segments sent again",
                    ),
                ],
                unit=PER_SECOND,
            )
        )
        .with_panel(
            traces(
                "Traces",
                "The newest traces of this target (Tempo; with Jaeger search for the tag"
                " kubenurse.type). kubenurse.kept says why a trace was exported.",
                '{ span.kubenurse.type = "$type" }',
            )
        )
    )


def _sum(metric: str) -> str:
    return where(rate(metric, _TYPE))


def _mean(metric: str, by: str = "") -> str:
    return mean(metric, by, _TYPE, join=where)
