"""PromQL that panels share: the filters of the variables, and the join that knows nodes.

Works on scraped and on pushed metrics: no bucket is chosen by ``le`` (a scrape stores le="1.0",
OTLP "1"), and a label that only one of them has is matched so that it may be missing. Which labels
tell agents apart is the way's own (``job`` and ``instance``, or VictoriaMetrics'
``service.instance.id``), so none is named: joins ignore, and sums drop, the metrics' own labels.

Works on classic and on native histograms (Prometheus 3 makes native ones of ours if it is told to:
``convert_classic_histograms_to_nhcb``), by `or`: one side has no series. Nothing needs the number
of observations of a native one: MetricsQL has no histogram_count(), and refuses the whole query.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kubenurse_otel import semconv
from kubenurse_otel.semconv import MetricKind

if TYPE_CHECKING:
    from collections.abc import Callable

OWN: Final = 'cluster=~"$cluster", namespace=~"$namespace"'
"""Every agent series that the variables choose; "All" is .*, which a missing label matches, too."""
RULE: Final = 'cluster=~"$cluster"'
"""Series that recording rules made know of clusters alone."""
CHOSEN: Final = 'type=~"$type"'
RATE: Final = "$__rate_interval"
SERVICES: Final = "me_ingress|me_service"
API_SERVER: Final = "api_server_direct|api_server_dns"
_OF_METRIC: Final = {
    metric.name: ((*metric.labels, "le") if metric.kind is MetricKind.HISTOGRAM else metric.labels)
    for metric in semconv.METRICS
}
OWN_LABELS: Final = sorted({label for labels in _OF_METRIC.values() for label in labels})
"""Every label that a metric of ours has by itself; all others are the way's."""
_OF_CHECKS: Final = sorted(
    {label for labels in _OF_METRIC.values() if "type" in labels for label in labels} - {"type"}
)
"""What series of one check differ in."""


def rate(metric: str, more: str = "") -> str:
    """Ask for the rate of a counter's chosen series; ``more`` are further matchers."""
    return f"rate({metric}{{{_matchers(more)}}}[{RATE}])"


def only(check_type: str) -> str:
    """Return the matcher of one type."""
    return f'type="{check_type}"'


def series(metric: str, more: str = "") -> str:
    return f"{metric}{{{_matchers(more)}}}"


def where(value: str, *, more: str = "", zones: bool = False) -> str:
    """Give ``value`` (series with a type) source_node and target_node, and filter by $node, $zone.

    ``max``, because a pushed kubenurse_check_info lingers for minutes when a zone or a node_state
    changes: two of them on one side of a join are an error. Zones come only where they are known.
    """
    places = ["source_node", "target_node"]
    chosen = [_matchers('source_node=~"$node", source_zone=~"$zone"'), more]
    if zones:
        places += ["source_zone", "target_zone"]
        chosen.append('source_zone!="", target_zone!=""')
    matchers = ", ".join(one for one in chosen if one)
    return (
        f"{value} * ignoring ({', '.join(_OF_CHECKS)}) group_left ({', '.join(places)})"
        f" {_info(matchers, 'type', *places)}"
    )


def on_node(value: str) -> str:
    """Give ``value`` (one series an agent, see `of_agent`) its source_node, filtered likewise."""
    matchers = _matchers('source_node=~"$node", source_zone=~"$zone"')
    return (
        f"{value} * ignoring (source_node) group_left (source_node)"
        f" {_info(matchers, 'source_node')}"
    )


def _info(matchers: str, *kept: str) -> str:
    """Ask for kubenurse_check_info by those labels of its own and all of the way's."""
    dropped = [name for name in _OF_METRIC[semconv.CHECK_INFO.name] if name not in kept]
    return f"max without ({', '.join(dropped)}) (kubenurse_check_info{{{matchers}}})"


def of_agent(aggregation: str, value: str, metric: str) -> str:
    """Aggregate ``value``, made of the metric, to one series an agent."""
    labels = ", ".join(name for name in _OF_METRIC[metric] if name != "le")
    return f"{aggregation} without ({labels}) ({value})"


def quantile_of_agent(share: float, metric: str) -> str:
    """Return a quantile of a histogram by agent."""
    classic, native = (of_agent("sum", rate(name), metric) for name in (metric + "_bucket", metric))
    return f"histogram_quantile({share}, {classic}) or histogram_quantile({share}, {native})"


def quantile(
    share: float, metric: str, by: str = "", more: str = "", *, join: Callable[[str], str] = str
) -> str:
    """Return a quantile of a histogram; ``by`` are the labels that stay.

    ``join`` is what is done to each rate, such as ``where``. The two forms are not summed together:
    histogram_quantile() of both at once is nothing.
    """
    classic, native = join(rate(metric + "_bucket", more)), join(rate(metric, more))
    labels = f"le, {by}" if by else "le"
    return (
        f"histogram_quantile({share}, sum by ({labels}) ({classic}))"
        f" or histogram_quantile({share}, sum by ({by}) ({native}))"
    )


def mean(metric: str, by: str, more: str = "", *, join: Callable[[str], str] = str) -> str:
    """Return the mean of what a histogram observed; absent where it observed nothing."""
    total, count = join(rate(metric + "_sum", more)), join(rate(metric + "_count", more))
    return (
        f"sum by ({by}) ({total}) / (sum by ({by}) ({count}) > 0)"
        f" or histogram_avg(sum by ({by}) ({join(rate(metric, more))})) >= 0"
    )


def buckets(metric: str, more: str = "", *, join: Callable[[str], str] = str) -> str:
    """Return a histogram by le, or the native one whole, as a heat map takes it."""
    classic, native = join(rate(metric + "_bucket", more)), join(rate(metric, more))
    return f"sum by (le) ({classic}) or on () sum({native})"


def loss(more: str = "", *, join: Callable[[str], str] = str) -> str:
    """Return the seconds that a check loses to retransmissions in the mean; 0 without loss."""
    checks = f"sum({join(rate('kubenurse_checks_timed_total', more))})"
    lossy = f"sum({join(rate('kubenurse_lossy_checks_total', more))})"
    seconds = mean("kubenurse_loss_delay_seconds", "", more, join=join)
    return or_zero(f"({seconds}) * {lossy} / {checks}")


def share(part: str, whole: str, by: str) -> str:
    """Return part / whole by labels, 0 where the part has no series."""
    everything = f"sum by ({by}) ({whole})"
    return f"(sum by ({by}) ({part}) or 0 * {everything}) / ({everything} > 0)"


def or_zero(value: str) -> str:
    """Return 0 instead of nothing, while any agent reports at all."""
    return f"{value} or 0 * max({series('kubenurse_build_info')})"


def _matchers(more: str) -> str:
    return f"{OWN}, {more}" if more else OWN
