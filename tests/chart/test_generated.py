"""What is made from values.yaml or copied into the chart is up to date."""

from __future__ import annotations

import json
from typing import Any

import yaml

import kubenurse_otel

from . import generate
from .values import CHART


def test_generated_files_are_up_to_date() -> None:
    """Schema, README, defaults and copies are what their sources make today."""
    assert [] == generate.stale()


def test_app_version_is_the_agents() -> None:
    """The chart installs the agent of this repository."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert kubenurse_otel.__version__ == chart["appVersion"]


def test_every_key_is_described_and_closed() -> None:
    """Each key of the schema has a description, and each structure refuses unknown keys."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    schema = {key: part for key, part in schema.items() if key not in ("if", "then")}
    undescribed: list[str] = []
    open_objects: list[str] = []
    _walk(schema, "", undescribed, open_objects)
    assert [] == undescribed
    assert [] == open_objects


def _walk(schema: dict[str, Any], path: str, undescribed: list[str], opened: list[str]) -> None:
    if not schema.get("description"):
        undescribed.append(path)
    if "properties" in schema and schema.get("additionalProperties") is not False:
        opened.append(path)
    for key, part in schema.get("properties", {}).items():
        _walk(part, f"{path}.{key}", undescribed, opened)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            _walk(schema[key], f"{path}.{key}", undescribed, opened)
