"""What Prometheus knows, by its HTTP API. Whoever asks is in the cluster's network."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from e2e.cluster import json_api, polling

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

URL: Final = "http://10.90.0.2:9090"


@dataclass(frozen=True, slots=True)
class Sample:
    """One element of an instant vector; a scalar has no labels. The value may be NaN."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Series:
    """One element of a matrix; points are (Unix seconds, value), the oldest first."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Alerts:
    """Labels (without alertname) of each alert that waits or fires, by the alert's name."""

    firing: Mapping[str, list[dict[str, str]]]
    pending: Mapping[str, list[dict[str, str]]]


class Prometheus:
    """Each call raises ClusterError for what Prometheus refuses, OSError where it is not there."""

    def __init__(self, url: str = URL) -> None:
        self.url = url

    def query(self, expression: str, at: float | None = None) -> list[Sample]:
        """Evaluate now, or at a moment (Unix seconds)."""
        moment = {} if at is None else {"time": f"{at:.3f}"}
        data = self._get("query", query=expression, **moment)
        if data["resultType"] == "scalar":
            return [Sample({}, float(data["result"][1]))]
        return [Sample(one["metric"], float(one["value"][1])) for one in data["result"]]

    def value(self, expression: str) -> float | None:
        """Return the one element's value, None if there is none. Raises ValueError for more."""
        found = self.query(expression)
        if len(found) > 1:
            raise ValueError(f"{len(found)} samples, not one, of {expression}: {found[:5]}")
        return found[0].value if found else None

    def range(self, expression: str, seconds: float, step: float) -> list[Series]:
        """Evaluate at each ``step`` (seconds) of the last ``seconds``."""
        now = time.time()
        data = self._get(
            "query_range",
            query=expression,
            start=f"{now - seconds:.3f}",
            end=f"{now:.3f}",
            step=str(step),
        )
        return [
            Series(
                one["metric"],
                tuple((float(moment), float(value)) for moment, value in one["values"]),
            )
            for one in data["result"]
        ]

    def alerts(self) -> Alerts:
        """Those that somebody is to be told: not those of severity info."""
        found: dict[str, dict[str, list[dict[str, str]]]] = {"firing": {}, "pending": {}}
        for one in self._get("alerts")["alerts"]:
            labels = dict(one["labels"])
            if labels["severity"] == "info":
                continue
            found[one["state"]].setdefault(labels.pop("alertname"), []).append(labels)
        return Alerts(**found)

    def rule_problems(self) -> dict[str, str]:
        """What is wrong with each rule that is not healthy: by name, its last error."""
        return {
            rule["name"]: rule.get("lastError") or f"health: {rule['health']}"
            for group in self._get("rules")["groups"]
            for rule in group["rules"]
            if rule["health"] != "ok"
        }

    def until(
        self,
        expression: str,
        condition: Callable[[list[Sample]], object],
        *,
        seconds: float,
        what: str,
    ) -> float:
        """Return the seconds until ``condition`` held. Raises AssertionError with what was seen."""
        _, took = polling.until(
            lambda: self.query(expression),
            condition,
            seconds=seconds,
            what=f"{what} ({expression})",
        )
        return took

    def until_alerts(
        self, condition: Callable[[Alerts], object], *, seconds: float, what: str
    ) -> float:
        """As ``until``, of the alerts."""
        return polling.until(self.alerts, condition, seconds=seconds, what=what)[1]

    def _get(self, what: str, **parameters: str) -> Any:
        return json_api.get(f"{self.url}/api/v1/{what}", parameters)["data"]
