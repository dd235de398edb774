"""Our prober alone: checks one URL again and again, one JSON line a check.

Beside the figures that it reports stand those of user-space marks, made from the same exchange:
its marks as they would be on a kernel without time stamps.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from kubenurse_otel.config import TrustConfig
from kubenurse_otel.config.urls import parse_url
from kubenurse_otel.model import Target, TargetKind
from kubenurse_otel.probe import phases
from kubenurse_otel.probe.prober import Prober
from kubenurse_otel.probe.trust import TrustStore


async def _probe(arguments: argparse.Namespace) -> None:
    prober = Prober(trust=TrustStore(TrustConfig(ca_file=arguments.ca)))
    target = Target(
        key="bench",
        type="bench",
        kind=TargetKind.PATH,
        url=parse_url(arguments.url),
        interval_seconds=1,
        timeout_seconds=arguments.timeout,
        answered_by_agent=True,
    )
    for _ in range(arguments.count):
        await asyncio.sleep(arguments.pause)
        print(json.dumps(await _check(prober, target)), flush=True)
    prober.close()


async def _check(prober: Prober, target: Target) -> dict[str, Any]:
    started_ns = time.time_ns()
    before = time.perf_counter_ns()
    probed = await prober.probe(target)
    outer_ns = time.perf_counter_ns() - before
    if probed.failure is not None:
        return {
            "started_ns": started_ns,
            "ended_ns": time.time_ns(),
            "error": probed.failure.message,
        }
    measured, connected = probed.measurement, probed.marks.info_at_connect
    by_user_space = phases.measure(replace(probed.marks, timestamps_enabled=False))
    return {
        "started_ns": started_ns,
        "ended_ns": time.time_ns(),
        "outer": outer_ns / 1e9,
        "kernel": asdict(measured.split),
        "user": asdict(by_user_space.split),
        "source": measured.timing_source.value,
        "reason": measured.fallback_reason.value,
        "round_trip_source": measured.round_trip_source,
        "retransmits": measured.retransmits,
        "last_ack_ms": None if connected is None else connected.last_ack_received_ms,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between checks")
    parser.add_argument("--timeout", type=float, default=8.0)
    parser.add_argument("--ca", type=Path, default=Path("/nonexistent"))
    asyncio.run(_probe(parser.parse_args()))


if __name__ == "__main__":
    main()
