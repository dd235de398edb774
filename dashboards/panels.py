"""The kinds of panels that the dashboards are made of, each with title and description.

Owns looks (units, colours, legends); knows no metric.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from grafana_foundation_sdk.builders import common as common_builder
from grafana_foundation_sdk.builders import dashboard as dashboard_builder
from grafana_foundation_sdk.builders import heatmap as heatmap_builder
from grafana_foundation_sdk.builders import prometheus as prometheus_builder
from grafana_foundation_sdk.builders import stat as stat_builder
from grafana_foundation_sdk.builders import statetimeline as statetimeline_builder
from grafana_foundation_sdk.builders import table as table_builder
from grafana_foundation_sdk.builders import tempo as tempo_builder
from grafana_foundation_sdk.builders import timeseries as timeseries_builder
from grafana_foundation_sdk.models import common, dashboard, heatmap, prometheus

if TYPE_CHECKING:
    from collections.abc import Sequence

METRICS: Final = dashboard.DataSourceRef("prometheus", "${metrics}")
TRACES: Final = dashboard.DataSourceRef("tempo", "${traces}")
_LETTERS: Final = "ABCDEFGH"
SECONDS, RATIO, BYTES, COUNT, PER_SECOND = "s", "percentunit", "bytes", "short", "cps"
GOOD, WARN, BAD = "green", "orange", "red"


@dataclass(frozen=True, slots=True)
class Query:
    """An expression and how its series are called; ``exemplars`` are asked for, too."""

    expr: str
    legend: str = "__auto"
    exemplars: bool = False


def time_series(
    title: str,
    description: str,
    queries: Sequence[Query],
    *,
    unit: str,
    width: int = 12,
    height: int = 8,
    stacked: bool = False,
    greatest: float | None = None,
) -> timeseries_builder.Panel:
    panel = (
        timeseries_builder.Panel()
        .title(title)
        .description(description)
        .datasource(METRICS)
        .span(width)
        .height(height)
        .unit(unit)
        .min(0)
        .line_width(1)
        .fill_opacity(30 if stacked else 5)
        .show_points(common.VisibilityMode.NEVER)
        .tooltip(
            common_builder.VizTooltipOptions()
            .mode(common.TooltipDisplayMode.MULTI)
            .sort(common.SortOrder.DESCENDING)
        )
        .legend(
            common_builder.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.TABLE)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(show_legend=True)
            .calcs(["lastNotNull", "max"])
        )
    )
    if stacked:
        panel.stacking(common_builder.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if greatest is not None:
        panel.max(greatest)
    for letter, query in zip(_LETTERS, queries, strict=False):
        panel.with_target(_target(query, letter).range())
    return panel


def state_timeline(
    title: str,
    description: str,
    queries: Sequence[Query],
    *,
    width: int = 12,
    height: int = 8,
) -> statetimeline_builder.Panel:
    """Return a bar a series: grey at 0, red from 1 on."""
    steps = [dashboard.Threshold(None, "text"), dashboard.Threshold(1, BAD)]
    panel = (
        statetimeline_builder.Panel()
        .title(title)
        .description(description)
        .datasource(METRICS)
        .span(width)
        .height(height)
        .thresholds(_thresholds(steps))
        .color_scheme(dashboard_builder.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
        .merge_values(True)
        .show_value(common.VisibilityMode.NEVER)
        .legend(common_builder.VizLegendOptions().show_legend(show_legend=False))
    )
    for letter, query in zip(_LETTERS, queries, strict=False):
        panel.with_target(_target(query, letter).range())
    return panel


def stat(
    title: str,
    description: str,
    expr: str,
    *,
    unit: str = COUNT,
    width: int = 4,
    bad_from: float | None = None,
    warn_from: float | None = None,
) -> stat_builder.Panel:
    """Return one number; green, and from the given values on orange or red."""
    steps = [dashboard.Threshold(None, GOOD if bad_from or warn_from else "text")]
    steps += [
        dashboard.Threshold(value, colour)
        for value, colour in ((warn_from, WARN), (bad_from, BAD))
        if value is not None
    ]
    return (
        stat_builder.Panel()
        .title(title)
        .description(description)
        .datasource(METRICS)
        .span(width)
        .height(4)
        .unit(unit)
        .thresholds(_thresholds(steps))
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.AREA)
        .reduce_options(common_builder.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_target(Query(expr)).range())
    )


def table(
    title: str,
    description: str,
    queries: Sequence[Query],
    *,
    unit: str,
    width: int = 12,
    height: int = 8,
    names: dict[str, str] | None = None,
    bad_from: float | None = None,
) -> table_builder.Panel:
    """Return what is now, one row a label set; ``names`` are headings by label or "Value"."""
    steps = [dashboard.Threshold(None, "transparent")]
    if bad_from is not None:
        steps.append(dashboard.Threshold(bad_from, BAD))
    panel = (
        table_builder.Panel()
        .show_header(show_header=True)
        .title(title)
        .description(description)
        .datasource(METRICS)
        .span(width)
        .height(height)
        .unit(unit)
        .thresholds(_thresholds(steps))
        .with_override(
            dashboard.MatcherConfig("byType", "number"), [_property("custom.cellOptions", _CELL)]
        )
        .with_transformation(
            dashboard.DataTransformerConfig(
                "organize",
                options={"excludeByName": {"Time": True}, "renameByName": names or {}},
            )
        )
    )
    for letter, query in zip(_LETTERS, queries, strict=False):
        panel.with_target(_target(query, letter).instant().format(prometheus.PromQueryFormat.TABLE))
    return panel


_CELL: Final[dict[str, Any]] = {"type": "color-background", "mode": "gradient"}


def matrix(
    title: str,
    description: str,
    expr: str,
    *,
    row: str,
    column: str,
    unit: str,
    steps: Sequence[tuple[float | None, str]],
    width: int = 24,
    height: int = 12,
) -> table_builder.Panel:
    """Return a square of the label ``row`` by the label ``column``."""
    return (
        table_builder.Panel()
        .show_header(show_header=True)
        .title(title)
        .description(description)
        .datasource(METRICS)
        .span(width)
        .height(height)
        .unit(unit)
        .thresholds(_thresholds([dashboard.Threshold(*step) for step in steps]))
        .with_override(
            dashboard.MatcherConfig("byType", "number"), [_property("custom.cellOptions", _CELL)]
        )
        .with_target(_target(Query(expr)).instant().format(prometheus.PromQueryFormat.TABLE))
        .with_transformation(
            dashboard.DataTransformerConfig(
                "groupingToMatrix",
                options={"columnField": column, "rowField": row, "valueField": "Value"},
            )
        )
    )


def heat(
    title: str,
    description: str,
    expr: str,
    *,
    width: int = 12,
    height: int = 8,
    exemplars: bool = False,
) -> heatmap_builder.Panel:
    """Return a heat map of a histogram's buckets (an expression by le)."""
    query = Query(expr, "{{le}}", exemplars)
    return (
        heatmap_builder.Panel()
        .title(title)
        .description(description)
        .datasource(METRICS)
        .span(width)
        .height(height)
        .calculate(False)
        .y_axis(heatmap_builder.YAxisConfig().unit(SECONDS))
        .color(
            heatmap_builder.HeatmapColorOptions()
            .mode(heatmap.HeatmapColorMode.SCHEME)
            .scheme("Oranges")
            .steps(64)
            .scale(heatmap.HeatmapColorScale.EXPONENTIAL)
            .exponent(0.5)
        )
        .with_target(_target(query).range().format(prometheus.PromQueryFormat.HEATMAP))
    )


def traces(
    title: str, description: str, traceql: str, *, width: int = 24, height: int = 8
) -> table_builder.Panel:
    """Return the newest traces that a TraceQL expression finds, each a link to itself."""
    return (
        table_builder.Panel()
        .show_header(show_header=True)
        .title(title)
        .description(description)
        .datasource(TRACES)
        .span(width)
        .height(height)
        .with_target(
            tempo_builder.TempoQuery().ref_id("A").query(traceql).query_type("traceql").limit(20)
        )
    )


def row(title: str) -> dashboard_builder.Row:
    return dashboard_builder.Row(title)


def _target(query: Query, letter: str = "A") -> prometheus_builder.Dataquery:
    return (
        prometheus_builder.Dataquery()
        .ref_id(letter)
        .expr(query.expr)
        .legend_format(query.legend)
        .exemplar(query.exemplars)
        .datasource(METRICS)
    )


def _thresholds(steps: list[dashboard.Threshold]) -> dashboard_builder.ThresholdsConfig:
    return dashboard_builder.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)


def _property(name: str, value: object) -> dashboard.DynamicConfigValue:
    return dashboard.DynamicConfigValue(name, value)
