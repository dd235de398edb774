"""Every PromQL expression of panels and rules, and what the variables stand for in a test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from dashboards.__main__ import FILES, GENERATED

RULES = FILES / "alerts" / "rules.yaml"


def dashboards() -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(GENERATED.glob("*.json"))}


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def of_panels() -> dict[str, str]:
    """Return expressions by "dashboard / panel / ref"."""
    return {
        f"{name} / {panel['title']} / {target['refId']}": target["expr"]
        for name, dashboard in dashboards().items()
        for panel in panels(dashboard)
        for target in panel["targets"]
        if "expr" in target
    }


def of_rules(file: Path = RULES) -> dict[str, str]:
    """Return expressions by the record's or the alert's name."""
    groups = yaml.safe_load(file.read_text())["groups"]
    return {
        rule.get("record") or rule["alert"]: rule["expr"]
        for group in groups
        for rule in group["rules"]
    }


def filled_in(expression: str, *, one_type: str = "me_service", rate: str = "5m") -> str:
    """Put in what Grafana does for "All" of each variable; ``one_type`` where one is chosen."""
    expression = expression.replace('type="$type"', f'type="{one_type}"')
    for name in ("cluster", "namespace", "zone", "node", "type"):
        expression = expression.replace(f"${name}", ".*")
    return expression.replace("$__rate_interval", rate)
