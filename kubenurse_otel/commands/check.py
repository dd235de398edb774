"""One-off checks of given URLs: the agent's own transport, without agent and without telemetry."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from opentelemetry.trace import NoOpTracerProvider

from kubenurse_otel.model import CheckResult, Target, TargetKind
from kubenurse_otel.probe.prober import KernelTimedTransport
from kubenurse_otel.probe.trust import TrustStore
from kubenurse_otel.tracing.check import Checker, instrumented

if TYPE_CHECKING:
    from kubenurse_otel.config import TrustConfig


def targets(urls: list[str], *, timeout_seconds: float, expect: tuple[int, int]) -> list[Target]:
    """Make one target a URL, keyed by its place."""
    return [
        Target(
            key=f"{number}",
            type=url,
            kind=TargetKind.EXTRA,
            url=url,
            interval_seconds=timeout_seconds,
            timeout_seconds=timeout_seconds,
            expect=expect,
            answered_by_agent=True,
        )
        for number, url in enumerate(urls, start=1)
    ]


async def check_once(wanted: list[Target], trust: TrustConfig) -> list[CheckResult]:
    """Check all of them beside each other; results in the order given."""
    tracing = NoOpTracerProvider()
    transport = KernelTimedTransport(trust=TrustStore(trust), tracer_provider=None)
    async with instrumented(transport, tracing) as sender:
        checker = Checker(sender, tracing.get_tracer(__name__))
        return list(await asyncio.gather(*(checker.check(target) for target in wanted)))
