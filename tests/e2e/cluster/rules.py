"""The alert rules with their time compressed, so that a fault is seen in seconds.

Ranges and waits are divided. Thresholds are not, ages in seconds among them: 900 s without
discovery and 7 days before a certificate expires stay what they are, as do the texts.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

LEAST_SCRAPES: Final = 4
"""In a range: rate() needs two, and one may be late or fail."""
_UNITS: Final = {
    "ms": 0.001,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
    "y": 31536000.0,
}
_PART: Final = re.compile(r"(\d+)(ms|[smhdwy])")
_RANGE: Final = re.compile(r"(\[|\boffset )([^\]\s)]*)(\]?)")
_VERDICTS: Final = "kubenurse-otel.verdict"
_WAITS: Final = ("for", "keep_firing_for")


def seconds_of(duration: str) -> float:
    """Read a duration of Prometheus, `1h30m`. Raises ValueError."""
    parts = _PART.findall(duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise ValueError(f"not a duration: {duration}")
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def duration(seconds: float) -> str:
    """Write a duration as Prometheus reads it."""
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{seconds * 1000:.0f}ms"


def compressed_range(long: str, *, compress: float, scrape: str) -> str:
    """Divide a range, but let it hold enough scrapes. A factor of 1 leaves it as it is."""
    if compress == 1:
        return long
    return duration(max(seconds_of(long) / compress, LEAST_SCRAPES * seconds_of(scrape)))


def compressed_rules(text: str, *, compress: float, scrape: str) -> dict[str, Any]:
    """Return rules (YAML of a rule file) with ranges, `for` and `interval` divided.

    Verdicts come within seconds and mute the other alerts, which are what time is compressed for:
    their groups are left out then.

    An `offset` is divided as a range of its length is: it looks back to where that begins.
    Raises ValueError for a range or an offset that is no plain duration (a subquery).
    """

    def shorter(found: re.Match[str]) -> str:
        return found[1] + compressed_range(found[2], compress=compress, scrape=scrape) + found[3]

    document: dict[str, Any] = yaml.safe_load(text)
    if compress != 1:
        document["groups"] = [
            group for group in document["groups"] if not group["name"].startswith(_VERDICTS)
        ]
    for group in document["groups"]:
        if "interval" in group:
            group["interval"] = duration(seconds_of(group["interval"]) / compress)
        for rule in group["rules"]:
            rule["expr"] = _RANGE.sub(shorter, rule["expr"])
            for name in _WAITS:
                if name in rule:
                    rule[name] = duration(seconds_of(rule[name]) / compress)
    return document
