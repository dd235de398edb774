"""What can be chosen at the top of a dashboard, and the dashboards' common frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import dashboard as dashboard_builder
from grafana_foundation_sdk.models import dashboard

from dashboards.panels import METRICS
from dashboards.queries import OWN

if TYPE_CHECKING:
    from grafana_foundation_sdk.cog.builder import Builder

TAG: Final = "kubenurse-otel"
PAGE: Final = "http://localhost:8080/"
_INFO: Final = f'kubenurse_check_info{{{OWN}, source_zone=~"$zone", source_node=~"$node"}}'


def frame(
    name: str, title: str, description: str, *, one_target: bool = False
) -> dashboard_builder.Dashboard:
    """Return an empty dashboard with stable uid; ``one_target``: node and type are single."""
    built = (
        dashboard_builder.Dashboard(f"kubenurse-otel / {title}")
        .uid(f"{TAG}-{name}")
        .description(description)
        .tags([TAG])
        .readonly()
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard_builder.DashboardLink("kubenurse-otel")
            .type(dashboard.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(as_dropdown=True)
            .include_vars(include_vars=True)
            .keep_time(keep_time=True)
        )
        .link(
            dashboard_builder.DashboardLink("Page of an agent")
            .type(dashboard.DashboardLinkType.LINK)
            .url("${page}")
            .icon("external link")
            .tooltip("Whose fault it is, as the agents say (docs/page.md); its address is `page`")
            .target_blank(target_blank=True)
        )
        .annotation(
            dashboard_builder.AnnotationQuery()
            .name("Alerts")
            .datasource(METRICS)
            .enable(True)
            .icon_color("red")
            .expr('ALERTS{alertname=~"Kubenurse.+", alertstate="firing", cluster=~"$cluster"}')
        )
    )
    for variable in _variables(one_target=one_target):
        built.with_variable(variable)
    return built


def _variables(*, one_target: bool) -> list[Builder[dashboard.VariableModel]]:
    return [
        dashboard_builder.DatasourceVariable("metrics").label("metrics").type("prometheus"),
        dashboard_builder.DatasourceVariable("traces").label("traces").type("tempo"),
        _labels("cluster", "label_values(kubenurse_build_info, cluster)"),
        _labels("namespace", 'label_values(kubenurse_build_info{cluster=~"$cluster"}, namespace)'),
        _labels("zone", f"label_values(kubenurse_check_info{{{OWN}}}, source_zone)"),
        _labels(
            "node",
            f'label_values(kubenurse_check_info{{{OWN}, source_zone=~"$zone"}}, source_node)',
        ),
        _labels("type", f"label_values({_INFO}, type)", single=one_target),
        # Where `kubectl port-forward daemonset/kubenurse 8080` has it; yours may be elsewhere.
        dashboard_builder.TextBoxVariable("page").label("page").default_value(PAGE),
    ]


def _labels(name: str, query: str, *, single: bool = False) -> dashboard_builder.QueryVariable:
    """Return a variable of a label's values; All is .*, which also matches where it is missing."""
    variable = (
        dashboard_builder.QueryVariable(name)
        .label(name)
        .datasource(METRICS)
        .query({"query": query, "refId": f"variable-{name}"})
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .multi(not single)
        .include_all(not single)
    )
    return variable if single else variable.all_value(".*").current(_ALL)


_ALL: Final = dashboard.VariableOption(selected=True, text="All", value="$__all")
