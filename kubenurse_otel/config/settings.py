"""The whole configuration, frozen, and the list of its variables.

Durations are seconds. ``Config()`` is the result of an empty environment, except for the host's
name.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from kubenurse_otel.config.checks import ChecksConfig
from kubenurse_otel.config.discovery import DiscoveryConfig
from kubenurse_otel.config.identity import IdentityConfig, TrustConfig
from kubenurse_otel.config.page import PageConfig
from kubenurse_otel.config.server import ServerConfig
from kubenurse_otel.config.telemetry import TelemetryConfig
from kubenurse_otel.config.values import one_of, word
from kubenurse_otel.config.variable import filling, part, variable
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubenurse_otel.config.variable import Variable


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


@record(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """Which lines are logged, and how they look."""

    level: str = variable(
        "KUBENURSE_LOG_LEVEL",
        word("debug", "info", "warning", "error", "critical").to(str.upper),
        "info",
        "The least severe message that is logged.",
        example="debug",
    )
    format: LogFormat = variable(
        "KUBENURSE_LOG_FORMAT",
        one_of(LogFormat),
        "text",
        "How log lines are written.",
        example="json",
    )


@record(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole environment, checked and frozen. Nothing else reads the environment."""

    checks: ChecksConfig = field(default_factory=ChecksConfig)
    trust: TrustConfig = field(default_factory=TrustConfig)
    identity: IdentityConfig = field(default_factory=IdentityConfig)
    discovery: DiscoveryConfig = field(default_factory=DiscoveryConfig)
    server: ServerConfig = field(default_factory=ServerConfig)
    page: PageConfig = field(default_factory=PageConfig)
    telemetry: TelemetryConfig = field(default_factory=TelemetryConfig)
    log: LogConfig = field(default_factory=LogConfig)
    warnings: tuple[str, ...] = ()
    """Logged once at the start."""


def walk(record: type, path: str = "") -> Iterator[tuple[Variable[object], str]]:
    """Each variable with the field that it fills, as in ``checks.interval_seconds``."""
    for one in fields(record):
        filled = filling(one)
        if filled is not None:
            yield from ((each, path + one.name) for each in filled.variables)
        elif inner := part(one):
            yield from walk(inner, f"{path}{one.name}.")


LANDS: Final[dict[str, list[str]]] = defaultdict(list)
"""The fields that a variable fills, by its name."""
BY_NAME: Final[dict[str, Variable[object]]] = {}
"""All variables by name, in the order of the reference."""

for _variable, _path in walk(Config):
    BY_NAME[_variable.name] = _variable
    if _path not in LANDS[_variable.name]:
        LANDS[_variable.name].append(_path)
