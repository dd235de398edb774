"""What is generated and what is written by hand, looked at as files: names, links, descriptions."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from expressions import GENERATED, RULES, dashboards, filled_in, of_panels, of_rules, panels
from prometheus_tools import ROOT, binary

from dashboards import pictures
from dashboards.__main__ import documents
from kubenurse_otel import semconv
from kubenurse_otel.diagnosis.verdict import Cause, Kind
from kubenurse_otel.errors import ErrorType
from kubenurse_otel.model import FallbackReason, NodeState, Phase, TargetKind, TimingSource
from kubenurse_otel.probe.dns.health import Port
from kubenurse_otel.semconv import MetricKind

RUNBOOKS = ROOT / "docs" / "runbooks"
GROUPS = yaml.safe_load(RULES.read_text())["groups"]
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule
}
RECORDS = {rule["record"] for group in GROUPS for rule in group["rules"] if "record" in rule}

METRICS = {metric.name: metric for metric in semconv.METRICS}
ATTACHED = {"cluster", "namespace", "job", "instance"}
"""Labels that the scrape or the OTLP receiver adds."""
MADE = {
    "node",
    "k8s_node_name",
    "source_node",
    "target_node",
    "type",
    "far_end",
    "source_zone",
    "target_zone",
}
"""Labels that joins and label_replace() make; ALERTS has its own."""
VALUES: dict[str, set[str]] = {
    "phase": {phase.value for phase in Phase},
    "error_type": {error.value for error in ErrorType},
    "node_state": {state.value for state in NodeState},
    "state": {"known", "chosen", "fresh", "stale"} | {state.value for state in Port},
    "kind": {kind.value for kind in Kind} | {"dns.*", "pair.*"},
    "cause": {cause.value for cause in Cause},
    "signal": {"traces", "metrics"},
    "result": {"success", "failure"},
    "source": {source.value for source in TimingSource},
    "reason": {reason.value for reason in FallbackReason} | {"node_leaving", "shutting_down"},
    "method": {"GET"},
}
KINDS = {kind.value for kind in TargetKind} - {TargetKind.PATH.value, TargetKind.EXTRA.value}
EXPRESSIONS = {**of_panels(), **of_rules()}

_STRING = r'"(?:[^"\\]|\\.)*"'
_SELECTOR = re.compile(rf"([a-zA-Z_][\w:]*)?\{{((?:{_STRING}|[^{{}}\"])*)\}}")
_MATCHER = re.compile(rf"(\w+)\s*(=~|!~|!=|=)\s*({_STRING})")
_NAME = re.compile(r"\b(?:kubenurse|process)_\w+\b|\bkubenurse:[\w:]+")
_GROUPING = re.compile(r"\b(?:by|on|without|group_left|group_right|ignoring)\s*\(([^()]*)\)")
_HISTOGRAM = ("_bucket", "_sum", "_count")


def instrument(name: str) -> semconv.Metric | None:
    """Return the metric that a series is of; a native histogram is named without suffix."""
    for suffix in _HISTOGRAM:
        base = METRICS.get(name.removesuffix(suffix)) if name.endswith(suffix) else None
        if base is not None and base.kind is MetricKind.HISTOGRAM:
            return base
    return METRICS.get(name)


def matchers(expression: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield (series, label, operator, value)."""
    for name, inside in _SELECTOR.findall(expression):
        for label, operator, value in _MATCHER.findall(inside):
            yield name, label, operator, value[1:-1]


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", EXPRESSIONS)
def test_every_name_exists(place: str) -> None:
    """Series, labels and label values of an expression are semconv's, or a recording rule's."""
    expression = filled_in(EXPRESSIONS[place], one_type="$type")
    without_strings = re.sub(_STRING, '""', expression)
    for name in _NAME.findall(without_strings):
        assert name in RECORDS if ":" in name else instrument(name), name
    for name, label, operator, value in matchers(expression):
        metric = instrument(name)
        if metric is not None:
            known = set(metric.labels) | ATTACHED | ({"le"} if name.endswith("_bucket") else set())
            assert label in known, f"{name} has no label {label}"
        assert label != "le", "a scrape stores le=1.0 and OTLP le=1: no query may choose by it"
        words = value.split("|") if operator in {"=~", "!~"} else [value]
        for word in words:
            if label in VALUES and word not in {"", ".*", ".+"}:
                assert word in VALUES[label], f"{label} is never {word}"
            if label == "type" and word not in {".*", ".+", "$type"}:
                assert word in KINDS | {"path_.+", "api_server_.+"}, f"no type {word}"
    labels = {
        label.strip()
        for group in _GROUPING.findall(without_strings)
        for label in group.split(",")
        if label.strip()
    }
    of_alerts = {"alertname", "severity"} if "ALERTS" in expression else set()
    known = {label for metric in semconv.METRICS for label in metric.labels}
    assert labels <= known | ATTACHED | MADE | {"le"} | of_alerts


def test_a_wrong_name_would_be_found() -> None:
    """The check above is not blind: names of other metrics, labels and values are none."""
    assert instrument("kubenurse_network_round_trip") is None
    assert instrument("kubenurse_network_round_trip_seconds_bucket") is not None
    assert instrument("kubenurse_errors_total_count") is None
    found = list(matchers('rate(kubenurse_errors_total{event="x", type!~"a|b"}[5m])'))
    assert found == [
        ("kubenurse_errors_total", "event", "=", "x"),
        ("kubenurse_errors_total", "type", "!~", "a|b"),
    ]


@pytest.mark.parametrize("name", sorted(METRICS))
def test_every_metric_is_looked_at(name: str) -> None:
    """Each metric is in a panel or a rule; kubenurse's error counter is told by our own, better."""
    seen = {word for expression in EXPRESSIONS.values() for word in _NAME.findall(expression)}
    looked_at = {metric.name for word in seen if (metric := instrument(word)) is not None}
    assert name in looked_at | {semconv.ERRORS.name}


# --- dashboards ---------------------------------------------------------------------------------


def test_the_generated_files_are_what_the_code_makes() -> None:
    """`python -m dashboards --check` agrees, and says so by its exit code."""
    there = {path.name: path.read_text() for path in GENERATED.glob("*.json")}
    assert there == documents()
    done = subprocess.run([sys.executable, "-m", "dashboards", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0


def test_every_picture_is_a_panel() -> None:
    """A panel that is renamed, or whose queries move, takes its picture along."""
    drawn = pictures.queries()
    assert set(drawn.values()) <= set(of_panels().values())
    assert "kubenurse_loss_delay_seconds" in drawn["loss"]
    assert "kubenurse_own_delay_seconds" in drawn["own delay"]


def test_uids_are_stable() -> None:
    """Links and bookmarks depend on them: they never change."""
    assert sorted(dashboard["uid"] for dashboard in dashboards().values()) == [
        "kubenurse-otel-agents",
        "kubenurse-otel-api-server",
        "kubenurse-otel-nodes",
        "kubenurse-otel-overview",
        "kubenurse-otel-services",
        "kubenurse-otel-target",
    ]


@pytest.mark.parametrize("name", dashboards())
def test_a_dashboard_is_complete(name: str) -> None:
    """Variables are there; each panel has a description, a data source, its own id and place."""
    dashboard = dashboards()[name]
    assert [one["name"] for one in dashboard["templating"]["list"]] == [
        *("metrics", "traces", "cluster", "namespace", "zone", "node", "type", "page")
    ]
    assert "${page}" in {link["url"] for link in dashboard["links"]}
    assert dashboard["description"]
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in panels(dashboard):
        assert len(panel["description"]) > 20, panel["title"]
        assert panel["datasource"]["uid"] in {"${metrics}", "${traces}"}
        assert panel["options"] is not None, "Grafana wants an object"
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{panel['title']} lies over another"
        assert max(x for x, _ in cells) < 24
        taken |= cells


# --- rules --------------------------------------------------------------------------------------


def test_promtool_accepts_the_rules() -> None:
    """Syntax, duplicates and lint."""
    done = subprocess.run(
        [binary("promtool"), "check", "rules", "--lint=all", "--lint-fatal", str(RULES)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_complete(name: str) -> None:
    """Severity, patience, summary, description, and a runbook that says what to do."""
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    assert alert["for"]
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"].endswith(f"/docs/runbooks/{name}.md")
    runbook = (RUNBOOKS / f"{name}.md").read_text()
    assert runbook.startswith(f"# {name}\n")
    for heading in ("## What it means", "## What to look at", "## What to do"):
        assert heading in runbook


def test_every_runbook_has_its_alert() -> None:
    """None is left of an alert that is gone."""
    assert {path.stem for path in RUNBOOKS.glob("Kubenurse*.md")} == set(ALERTS)
