"""Spans and bytes of a check's trace, both ends, from what an OTLP receiver got."""

from __future__ import annotations

import gzip
import sys
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.large import agents
from bench.large.agents import Variant

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SINK: Final = "127.0.0.1:4318"
SECONDS: Final = 60.0


def sink_command(directory: Path) -> tuple[str, ...]:
    keep = directory / "traces"
    keep.mkdir()
    return (
        sys.executable,
        "-m",
        "bench.server",
        "--port",
        "1",
        "--sink",
        SINK,
        "--keep",
        str(keep),
    )


def measure(number: int, directory: Path, known: int) -> tuple[dict[str, Any], str]:
    """Run an agent that exports every trace; count spans and bytes of whole traces.

    Returns that and the agent's /metrics.
    """
    variant = Variant(
        "traces",
        64001,
        10,
        {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://{SINK}/v1/traces",
            "KUBENURSE_TRACE_RATIO": "1",
        },
    )
    with agents.measured(variant, number, directory) as agent:
        agent.wait_for_neighbours(known)
        time.sleep(SECONDS)
        memory, text = agent.read().rss, agent.get("/metrics").decode()
    time.sleep(6)  # the neighbours' exports (OTEL_BSP_SCHEDULE_DELAY)
    return {"rss": memory, **_count(sorted((directory / "traces").iterdir()))}, text


def _count(files: Iterable[Path]) -> dict[str, Any]:
    roots: dict[bytes, str] = {}
    spans: dict[bytes, int] = defaultdict(int)
    servers: dict[bytes, int] = defaultdict(int)
    total = size = zipped = requests = 0
    for file in files:
        body = file.read_bytes()
        requests += 1
        size += len(body)
        zipped += len(gzip.compress(body))
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    total += 1
                    spans[span.trace_id] += 1
                    servers[span.trace_id] += span.kind == span.SPAN_KIND_SERVER
                    if not span.parent_span_id:
                        roots[span.trace_id] = span.name
    by_kind: dict[str, list[int]] = defaultdict(list)
    for trace, name in roots.items():
        by_kind[name].append(spans[trace])
    return {
        "spans_a_trace": {name: sum(n) / len(n) for name, n in sorted(by_kind.items())},
        "traces": {name: len(n) for name, n in sorted(by_kind.items())},
        "bytes_a_span": size / max(1, total),
        "bytes_a_span_gzip": zipped / max(1, total),
        "spans": total,
        "server_spans": sum(servers.values()),
        "requests": requests,
    }
