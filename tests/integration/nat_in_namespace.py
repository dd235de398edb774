"""The checks of test_interception.py through NAT, run in a namespace; prints JSON.

A real server on three ports: straight, behind source NAT, behind source NAT that picks the port.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from probing import Prober
from running_server import running
from waiting import until

from kubenurse_otel import semconv

PORTS = {"straight": 8001, "another_address": 8002, "another_port": 8003}
RULES = """
table ip between {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    tcp dport 8002 snat to 127.0.0.9
    tcp dport 8003 snat to 127.0.0.9:1025-1100
  }
}
"""


async def check(port: int) -> dict[str, Any]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with running(tracer=provider.get_tracer("server"), port=port), Prober() as prober:
        checked = await prober.check_path(f"http://127.0.0.1:{port}/alwayshappy")
        await until(lambda: bool(exporter.get_finished_spans()))
    span: ReadableSpan
    (span,) = exporter.get_finished_spans()
    failure = checked.probe.failure
    return {
        "failure": failure.message if failure is not None else None,
        "intercepted": checked.measured.intercepted,
        "seen_as": (span.attributes or {})[semconv.NETWORK_PEER_ADDRESS],
    }


async def main() -> dict[str, Any]:
    return {case: await check(port) for case, port in PORTS.items()}


if __name__ == "__main__":
    subprocess.run(["nft", "-f", "-"], input=RULES, text=True, check=True)
    json.dump(asyncio.run(main()), sys.stdout)
