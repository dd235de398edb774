"""Our transport alone as a prober: checks one URL again and again, one JSON line a check.

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
from typing import TYPE_CHECKING, Any

import httpx
from opentelemetry.trace import NoOpTracerProvider

from kubenurse_otel.config import TrustConfig
from kubenurse_otel.model import PROBE, Probe, Target, TargetKind
from kubenurse_otel.probe import phases
from kubenurse_otel.probe.prober import KernelTimedTransport
from kubenurse_otel.probe.trust import TrustStore

if TYPE_CHECKING:
    from kubenurse_otel.probe.marks import Marks


class _Listening:
    """Keeps the marks of the exchange that was measured last."""

    def __init__(self) -> None:
        self._measure = phases.measure
        self.marks: Marks | None = None

    def __call__(self, marks: Marks) -> phases.Timeline:
        self.marks = marks
        return self._measure(marks)

    def by_user_space(self) -> phases.Timeline:
        assert self.marks is not None
        return self._measure(replace(self.marks, timestamps_enabled=False))


async def _probe(arguments: argparse.Namespace) -> None:
    listening = _Listening()
    phases.measure = listening  # marks are nobody else's business
    trust = TrustStore(TrustConfig(ca_file=arguments.ca))
    transport = KernelTimedTransport(trust=trust, tracer_provider=NoOpTracerProvider())
    target = Target(
        key="bench",
        type="bench",
        kind=TargetKind.PATH,
        url=arguments.url,
        interval_seconds=1,
        timeout_seconds=arguments.timeout,
        answered_by_agent=True,
    )
    for _ in range(arguments.count):
        await asyncio.sleep(arguments.pause)
        print(json.dumps(await _check(transport, target, listening)), flush=True)
    await transport.aclose()


async def _check(
    transport: KernelTimedTransport, target: Target, listening: _Listening
) -> dict[str, Any]:
    probe = Probe(target)
    request = httpx.Request("GET", target.url, extensions={PROBE: probe})
    started_ns = time.time_ns()
    before = time.perf_counter_ns()
    try:
        await transport.handle_async_request(request)
    except httpx.TransportError as error:
        return {"started_ns": started_ns, "ended_ns": time.time_ns(), "error": str(error)}
    outer_ns = time.perf_counter_ns() - before
    measured = probe.measurement
    assert measured is not None
    return {
        "started_ns": started_ns,
        "ended_ns": time.time_ns(),
        "outer": outer_ns / 1e9,
        "kernel": asdict(measured.split),
        "user": asdict(listening.by_user_space().split),
        "source": measured.timing_source.value,
        "reason": measured.fallback_reason.value,
        "round_trip_source": measured.round_trip_source,
        "retransmits": measured.retransmits,
        "last_ack_ms": None
        if listening.marks is None or listening.marks.info_at_connect is None
        else listening.marks.info_at_connect.last_ack_received_ms,
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
