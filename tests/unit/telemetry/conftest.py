"""A Telemetry with a clock that the test moves, shut down after the test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from clock import Clock

from kubenurse_otel.config import Config, TelemetryConfig
from kubenurse_otel.telemetry.providers import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start(clock: Clock) -> Iterator[Callable[..., Telemetry]]:
    """start(gauges=..., config=..., **fields of TelemetryConfig) -> Telemetry."""
    started: list[Telemetry] = []

    def start_one(*, gauges: Any = None, config: Config | None = None, **fields: Any) -> Telemetry:
        config = config or Config(telemetry=TelemetryConfig(**fields))
        telemetry = Telemetry.start(config, gauges=gauges or {}, clock=clock)
        started.append(telemetry)
        return telemetry

    yield start_one
    for telemetry in started:
        telemetry.shutdown(1.0)
