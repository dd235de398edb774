"""The page for people: whether there is one, and where its links lead."""

from __future__ import annotations

from typing import Final

from kubenurse_otel.config.urls import BASE_URL, link_template
from kubenurse_otel.config.values import BOOLEAN
from kubenurse_otel.config.variable import variable
from kubenurse_otel.record import record

TRACE_ID: Final = "{trace_id}"
QUERY: Final = "{query}"


@record(frozen=True, slots=True, kw_only=True)
class PageConfig:
    """Link templates; empty if there is no link."""

    enabled: bool = variable(
        "KUBENURSE_PAGE",
        BOOLEAN,
        "true",
        "Whether / is a page for browsers: who is at fault, who cannot reach whom, where a check's "
        "time went. Never by the ingress's name (KUBENURSE_INGRESS_URL).",
        example="false",
    )
    trace_url: str = variable(
        "KUBENURSE_TRACE_URL",
        link_template(TRACE_ID),
        None,
        "Where the page's links to traces lead (Jaeger, Tempo, any other).",
        otherwise="",
        absent="trace ids without a link",
        example="https://jaeger.example.com/trace/{trace_id}",
    )
    query_url: str = variable(
        "KUBENURSE_QUERY_URL",
        link_template(QUERY),
        None,
        "Where the page's links to a metric's query lead; PromQL comes percent-encoded.",
        otherwise="",
        absent="queries as text",
        example="https://prometheus.example.com/graph?g0.expr={query}",
    )
    grafana_url: str = variable(
        "KUBENURSE_GRAFANA_URL",
        BASE_URL.to(lambda url: url.text),
        None,
        "The Grafana that has our dashboards, for the page's links to them.",
        otherwise="",
        absent="no links to dashboards",
        example="https://grafana.example.com",
    )
