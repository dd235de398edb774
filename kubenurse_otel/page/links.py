"""Where links lead: to other views (relative, so that a proxy's prefix stays), and out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

from kubenurse_otel.config.page import QUERY, TRACE_ID
from kubenurse_otel.diagnosis.verdict import Kind

if TYPE_CHECKING:
    from kubenurse_otel.config import PageConfig

RUNBOOKS: Final = "https://github.com/kubenurse-otel/kubenurse-otel/blob/main/docs/runbooks/"
_RUNBOOK: Final = {
    Kind.NODE: "Node",
    Kind.NODE_MTU: "Node",
    Kind.AGENT: "Node",
    Kind.ZONE: "Node",
    Kind.ZONE_PAIR: "Node",
    Kind.NODE_LOSS: "Self",
    Kind.NODE_SLOW: "Self",
    Kind.PROBER: "Self",
    Kind.PAIR: "Way",
    Kind.PAIR_LOSS: "Way",
    Kind.DNS_LOSS: "Way",
    Kind.SEARCH_PATH: "Way",
    Kind.EXTRA: "Way",
}
"""The alert that tells of a kind (KubenurseVerdict...); all others are the Service's."""
DASHBOARDS: Final = "kubenurse-otel-"
"""Their uids begin with it (dashboards/variables.py)."""
_TRACE: Final = re.compile(r"[0-9a-f]{32}")

FRONT: Final = "./"
AGENT: Final = "agent"


def target(key: str, *, as_json: bool = False) -> str:
    return f"{'api/v1/target' if as_json else 'target'}?of={_field(key)}"


def pair(source: str, other: str) -> str:
    return f"pair?from={_field(source)}&to={_field(other)}"


def _field(value: str) -> str:
    return quote_plus(value, errors="replace")


def trace(config: PageConfig, trace_id: str) -> str:
    """Empty where there is no link."""
    if not config.trace_url or _TRACE.fullmatch(trace_id) is None:
        return ""
    return config.trace_url.replace(TRACE_ID, trace_id)


def query(config: PageConfig, promql: str) -> str:
    return (
        config.query_url.replace(QUERY, quote(promql, safe="", errors="replace"))
        if config.query_url
        else ""
    )


def dashboard(config: PageConfig, name: str, **variables: str) -> str:
    """``variables`` of the dashboard, which Grafana takes as ``var-NAME=value``."""
    if not config.grafana_url:
        return ""
    chosen = "&".join(f"var-{one}={_field(value)}" for one, value in variables.items())
    return f"{config.grafana_url}/d/{DASHBOARDS}{name}{'?' if chosen else ''}{chosen}"


def runbook(kind: str) -> str:
    of = _RUNBOOK.get(Kind(kind), "Service") if kind in set(Kind) else ""
    return f"{RUNBOOKS}KubenurseVerdict{of}.md" if of else f"{RUNBOOKS}README.md"


def matcher(label: str, value: str) -> str:
    """A PromQL matcher; the value is escaped (prometheus.io, Querying basics, String literals)."""
    escaped = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'{label}="{escaped}"'
