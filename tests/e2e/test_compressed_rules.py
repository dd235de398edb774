"""The alert rules with their time compressed (e2e/cluster/rules.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.cluster.rules import compressed_range, compressed_rules, duration, seconds_of

RULES = Path(__file__).parents[2] / "helm/kubenurse-otel/files/alerts/rules.yaml"


def rules_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [rule for group in document["groups"] for rule in group["rules"]]


def one_rule(**rule: str) -> str:
    return yaml.safe_dump({"groups": [{"name": "g", "rules": [rule]}]})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1), ("500ms", 0.5), ("1h30m", 5400), ("1d", 86400), ("2w", 1209600)],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    """As Prometheus writes it."""
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "5m:1m", "5m ", "1.5m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A subquery's range among them."""
    with pytest.raises(ValueError, match="not a duration"):
        seconds_of(text)


@pytest.mark.parametrize(("seconds", "text"), [(12.0, "12s"), (1.5, "1500ms"), (0.0, "0s")])
def test_a_duration_is_written(seconds: float, text: str) -> None:
    """Whole seconds where they are whole."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("long", "compress", "scrape", "short"),
    [
        ("2m", 10, "1s", "12s"),
        ("5m", 10, "1s", "30s"),
        ("1d", 10, "1s", "8640s"),
        ("5m", 1, "1s", "5m"),
        ("2m", 60, "1s", "4s"),  # not 2 s: a range holds four scrapes
        ("2m", 10, "5s", "20s"),
    ],
)
def test_a_range_is_divided_as_far_as_scrapes_allow(
    long: str, compress: float, scrape: str, short: str
) -> None:
    """Four scrapes at least."""
    assert compressed_range(long, compress=compress, scrape=scrape) == short


def test_ranges_and_waits_are_divided_and_nothing_else() -> None:
    """Thresholds stay, ages in seconds among them, and so do names, labels and texts.

    But for verdicts, which are left out: they would mute what is looked at.
    """
    document = yaml.safe_load(RULES.read_text())
    original = rules_of(
        {"groups": [one for one in document["groups"] if "verdict" not in one["name"]]}
    )
    compressed = rules_of(compressed_rules(RULES.read_text(), compress=10, scrape="1s"))
    ranges = {
        "[1m]": "[6s]",
        "[2m]": "[12s]",
        "[5m]": "[30s]",
        "[15m]": "[90s]",
        "[30m]": "[180s]",
        "offset 30m": "offset 180s",
        "[1d]": "[8640s]",
    }
    for before, after in zip(original, compressed, strict=True):
        expression = before["expr"]
        for long, short in ranges.items():
            expression = expression.replace(long, short)
        assert after["expr"] == expression
        if "for" in before:
            assert seconds_of(after["for"]) == seconds_of(before["for"]) / 10
        rest = {"expr", "for"}
        assert {k: v for k, v in after.items() if k not in rest} == {
            k: v for k, v in before.items() if k not in rest
        }
    assert any("kubenurse_discovery_age_seconds > 900" in rule["expr"] for rule in compressed)


def test_a_factor_of_one_leaves_the_rules_as_they_are() -> None:
    """Not even a short range grows."""
    assert [
        rule["expr"]
        for rule in rules_of(compressed_rules(RULES.read_text(), compress=1, scrape="1m"))
    ] == [rule["expr"] for rule in rules_of(yaml.safe_load(RULES.read_text()))]


@pytest.mark.parametrize("expression", ["rate(x[5m:1m])", "x offset -5m", "x[$__interval]"])
def test_what_nobody_decided_on_is_refused(expression: str) -> None:
    """Rather than left long in silence."""
    with pytest.raises(ValueError, match="duration"):
        compressed_rules(one_rule(record="r", expr=expression), compress=10, scrape="1s")
