"""docs/compatibility.md names the versions that the tests use; what pages point at is there."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from apiserver import real
from collector import binaries
from test_workflows import ACTIONLINT

from tests.chart import admission, helm, kustomize

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "compatibility.md").read_text()
COLLECTOR_IMAGE = yaml.safe_load((ROOT / "helm/kubenurse-otel/values.yaml").read_text())[
    "collector"
]["image"]["tag"]
CONTRIB = yaml.safe_load((binaries.TOOLS / "contrib.yaml").read_text())["dist"]["version"]


def _of_module(module: str) -> str:
    return module.rpartition("@")[2]


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("OpenTelemetry for Python", version("opentelemetry-sdk")),
        ("OpenTelemetry for Python", version("opentelemetry-instrumentation-httpx")),
        ("Kubernetes", real.version(real.HERE)),
        ("Kubernetes, the oldest that was run", real.version(real.HERE / "oldest")),
        ("Kubernetes, the newest that was run", real.version(real.HERE / "newest")),
        ("Helm", helm.VERSIONS["3"]),
        ("Helm 4", helm.VERSIONS["4"]),
        ("kustomize", kustomize.VERSION),
        ("Prometheus operator", _of_module(admission._OPERATOR)),
        ("Gateway API", _of_module(admission._GATEWAY)),
        ("Prometheus 3", f"v{binaries.PROMETHEUS_VERSION}"),
        ("OpenTelemetry collector, core components", binaries.COLLECTOR_VERSION),
        ("the same, with parts of contrib", CONTRIB),
        ("Jaeger all-in-one", binaries.JAEGER_VERSION),
        ("Collector image", COLLECTOR_IMAGE),
    ],
)
def test_a_version_is_the_tests(what: str, expected: str) -> None:
    """The row of each thing holds the version that is built, installed or rendered."""
    row = re.search(rf"^\| {re.escape(what)} \|.*$", PAGE, re.MULTILINE)
    assert row is not None, f"no row {what}"
    assert expected in re.split(r"[\s,()]+", row[0])


def test_the_checker_of_workflows_is_the_tests() -> None:
    """The version of actionlint is the one that test_workflows.py builds."""
    assert f"actionlint {ACTIONLINT} " in PAGE


@pytest.mark.parametrize("page", ["docs/compatibility.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_what_a_page_points_at_is_there(page: str) -> None:
    """Each make target, test and file that the page names exists."""
    text = (ROOT / page).read_text()
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"(?:`|^ {4}|sudo )make ([a-z0-9-]+)", text, re.MULTILINE)
    assert set() == set(named) - targets
    for path in re.findall(r"\b(?:tests|docs|examples|otel-collector)/[\w/.-]*\w", text):
        assert (ROOT / path).exists(), path
