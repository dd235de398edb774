"""The names of OpenTelemetry's that we use stand in the version of its conventions that we name."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest
from opentelemetry.semconv.schemas import Schemas

from kubenurse_otel import semconv

OURS = "kubenurse."
SDKS = {"otel.metric.overflow"}
"""Of the metrics SDK's specification, in no registry."""


def known() -> set[str]:
    """Every attribute of the conventions' package that is not deprecated without a successor."""
    names: set[str] = set()
    for package in (
        "opentelemetry.semconv.attributes",
        "opentelemetry.semconv._incubating.attributes",
    ):
        for module in iter_modules(import_module(package).__path__):
            source = Path(str(import_module(f"{package}.{module.name}").__file__)).read_text()
            for name, text in re.findall(
                r'Final = "([a-z0-9_.]+)"\n"""(.*?)"""', source, re.DOTALL
            ):
                if "Deprecated" not in text or "Deprecated in favor of stable" in text:
                    names.add(name)
    return names


def test_the_schema_is_the_newest_of_the_locked_package() -> None:
    """Who takes a newer package has to look whether our names still stand there."""
    assert list(Schemas)[-1].value == semconv.SCHEMA_URL


@pytest.mark.parametrize(
    "name",
    [
        value
        for key, value in vars(semconv).items()
        if key.isupper()
        and isinstance(value, str)
        and re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)+", value)
        and not value.startswith(OURS)
    ],
)
def test_a_name_of_theirs_is_in_the_schema(name: str) -> None:
    """No attribute looks like OpenTelemetry's without being one, or is one that it gave up."""
    assert name in known() | SDKS
