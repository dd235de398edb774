"""Every metric that a page, a rule or a test names is one that the agent has.

A query for a name that nobody has answers nothing: an "it is never above 0" of it cannot fail.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kubenurse_otel import semconv

ROOT = Path(__file__).parents[2]
READ = ("README.md", "docs", "dashboards", "helm", "otel-collector", "tests/e2e", "bench")
SUFFIXES = {".md", ".py", ".yaml", ".json", ".txt", ".tpl"}
NAMED = re.compile(r"(?<![\w/.-])kubenurse_[a-z0-9_]+[a-z0-9](?![\w*]|_\*)")
NO_METRIC = {
    "kubenurse_otel": "the Python package",
    "kubenurse_httpclient": "the beginning of names",
}


def files() -> list[Path]:
    found = [ROOT / "README.md"]
    for name in READ[1:]:
        found += [file for file in (ROOT / name).rglob("*") if file.suffix in SUFFIXES]
    return found


@pytest.mark.parametrize("file", files(), ids=lambda file: str(file.relative_to(ROOT)))
def test_named_metrics_exist(file: Path) -> None:
    """Histograms also by their three series."""
    known = {metric.name for metric in semconv.METRICS} | set(NO_METRIC)
    named = {re.sub("_(bucket|sum|count)$", "", name) for name in NAMED.findall(file.read_text())}
    assert not named - known
