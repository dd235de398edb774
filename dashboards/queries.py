"""PromQL that panels share: the filters of the variables, and the join that knows nodes. PURE.

Works on scraped and on pushed metrics: no bucket is chosen by ``le`` (a scrape stores le="1.0",
OTLP "1"), and a label that only one of them has is matched so that it may be missing.

Works on classic and on native histograms (Prometheus 3 makes native ones of ours if it is told to:
``convert_classic_histograms_to_nhcb``), by `or`: one side has no series. Nothing needs the number
of observations of a native one: MetricsQL has no histogram_count(), and refuses the whole query.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

OWN: Final = 'cluster=~"$cluster", namespace=~"$namespace"'
"""Every agent series that the variables choose; "All" is .*, which a missing label matches, too."""
RULE: Final = 'cluster=~"$cluster"'
"""Series that recording rules made know of clusters alone."""
CHOSEN: Final = 'type=~"$type"'
RATE: Final = "$__rate_interval"
AGENT: Final = "cluster, job, instance"
JOIN: Final = "cluster, job, instance, type"
SERVICES: Final = "me_ingress|me_service"
API_SERVER: Final = "api_server_direct|api_server_dns"
IN_CLUSTER_NAMES: Final = "api_server_dns|me_service"


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
    labels = ["source_node", "target_node"]
    chosen = [_matchers('source_node=~"$node", source_zone=~"$zone"'), more]
    if zones:
        labels += ["source_zone", "target_zone"]
        chosen.append('source_zone!="", target_zone!=""')
    matchers = ", ".join(one for one in chosen if one)
    places = ", ".join(labels)
    return (
        f"{value} * on ({JOIN}) group_left ({places})"
        f" max by ({JOIN}, {places}) (kubenurse_check_info{{{matchers}}})"
    )


def on_node(value: str) -> str:
    """Give ``value`` (one series an agent, or several) its source_node, filtered likewise."""
    matchers = _matchers('source_node=~"$node", source_zone=~"$zone"')
    return (
        f"{value} * on ({AGENT}) group_left (source_node)"
        f" max by ({AGENT}, source_node) (kubenurse_check_info{{{matchers}}})"
    )


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
