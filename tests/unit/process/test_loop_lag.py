"""loop_lag.py: the prober's pulse."""

from __future__ import annotations

import asyncio
import time

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from kubenurse_otel import semconv
from kubenurse_otel.process import loop_lag
from kubenurse_otel.telemetry.instruments import make_instruments


async def test_a_blocked_loop_is_seen_as_lag() -> None:
    """A timer that ran late tells how late."""
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    instruments = make_instruments(provider, semconv.METRICS)
    pulse = asyncio.create_task(loop_lag.LoopLag(instruments, period_seconds=0.05).run())
    await asyncio.sleep(0)  # the pulse begins
    time.sleep(0.2)  # noqa: ASYNC251 - blocking the loop is what this test is about
    while instruments.pending == 0:
        await asyncio.sleep(0.01)
    pulse.cancel()
    data = reader.get_metrics_data()
    assert data is not None
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    assert metric.name == semconv.EVENT_LOOP_LAG.name
    (point,) = metric.data.data_points
    assert 0.14 < point.max < 1  # type: ignore[union-attr]
