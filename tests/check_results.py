"""A target and what came of its check, as those who take in results get them."""

from __future__ import annotations

from typing import Any

from kubenurse_otel.config.urls import parse_url
from kubenurse_otel.model import CheckResult, Failure, Outcome, Phase, Target, TargetKind

TRACE = "0af7651916cd43dd8448eb211c80319c"
REFUSED = Failure(
    error_type="connection_refused", phase=Phase.CONNECT, event="connect_done", message="it refused"
)


def target(
    key: str, type_: str = "", url: str = "http://10.0.0.2:8080/alwayshappy", **changes: Any
) -> Target:
    """A neighbour's, each 5 s, but for the ``changes``."""
    settings: dict[str, Any] = {
        "kind": TargetKind.PATH,
        "interval_seconds": 5.0,
        "timeout_seconds": 5.0,
    }
    return Target(key=key, type=type_ or key, url=parse_url(url), **(settings | changes))


def result(of: Target, at: float = 0.0, *, good: bool = True, **changes: Any) -> CheckResult:
    """What is not ``good`` was REFUSED."""
    settings: dict[str, Any] = {
        "outcome": Outcome.OK if good else Outcome.FAILED,
        "failure": None if good else REFUSED,
    }
    return CheckResult(target=of, started_at=at, **(settings | changes))
