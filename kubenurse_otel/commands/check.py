"""One-off checks of given URLs: the agent's own prober, without agent and without telemetry."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from kubenurse_otel import unhandled
from kubenurse_otel.plan.targets import extra_target
from kubenurse_otel.probe import verdict
from kubenurse_otel.probe.dns.resolver import resolver_of
from kubenurse_otel.probe.prober import Prober
from kubenurse_otel.probe.trust import TrustStore
from kubenurse_otel.unhandled import Part

if TYPE_CHECKING:
    from kubenurse_otel.config import Config, ExtraCheck
    from kubenurse_otel.model import CheckResult, Statuses, Target


def targets(checks: list[ExtraCheck], *, timeout_seconds: float, expect: Statuses) -> list[Target]:
    """Make one target of each, keyed by its place; what it says itself wins."""
    return [
        replace(
            extra_target(
                replace(check, expect=check.expect or expect),
                interval_seconds=timeout_seconds,
                timeout_seconds=timeout_seconds,
            ),
            key=f"{number}",
            type=check.url.text,
            answered_by_agent=check.url.speaks_http,
        )
        for number, check in enumerate(checks, start=1)
    ]


async def check_once(wanted: list[Target], config: Config) -> list[CheckResult]:
    """Check all of them beside each other; results in the order given."""
    prober = Prober(trust=TrustStore(config.trust), resolve=resolver_of(config.checks))
    try:
        return list(await asyncio.gather(*(_check(prober, target) for target in wanted)))
    finally:
        await prober.part()
        prober.close()


async def _check(prober: Prober, target: Target) -> CheckResult:
    started_at = time.time()
    try:
        return verdict.result(await prober.probe(target), started_at)
    except Exception as error:  # noqa: BLE001 - the edge of one check: a bug must not end others
        unhandled.caught(Part.CHECK, error, about=target.key)
        return verdict.bug(error, target, started_at)
