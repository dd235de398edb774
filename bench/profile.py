"""Where the live agent's CPU and memory go: samples by part, memory by import."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from bench.agent import agent, place
from bench.network import NEEDED, ROOT, Network, require
from bench.tables import Table, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Stack = list[list[str]]

PARTS: Final = (
    # (part, a regex for "file:function"): a sample belongs to the innermost frame that fits one.
    ("a collection, and text for /metrics", r"telemetry/(exposition|collection|gauges)\.py"),
    ("recording: the store", r"telemetry/(meter|store|instruments)\.py"),
    ("spans to metrics (bridge)", r"tracing/(bridge|recording|export_form|sampling)\.py"),
    ("OTLP", r"opentelemetry/exporter/|kubenurse_otel/telemetry/"),
    (
        "httpx and its instrumentation",
        r"/httpx/|httpx_adapter|opentelemetry/(instrumentation|util)",
    ),
    ("spans of a check", r"tracing/(spans|check_spans)\.py|opentelemetry/"),
    ("TLS", r"/ssl\.py|probe/(trust|hello|certificate)|client_hello|sockets\.py:.*_tls"),
    (
        "figures of the stamps (phases)",
        r"probe/(phases|findings|agent_headers|directions|egress|repairs|round_trip|verdict)\.py",
    ),
    ("HTTP", r"probe/(exchange|answer|body|buffer|fields)\.py"),
    ("sockets, stamps", r"probe/(sockets|kernel|marks|addresses|effort)\.py"),
    ("name look-up", r"probe/resolve\.py|/socket\.py:getaddrinfo"),
    ("probe, the rest", r"kubenurse_otel/probe/"),
    ("diagnosis", r"kubenurse_otel/(diagnosis|state/(judging|hearing))"),
    ("server", r"kubenurse_otel/server/"),
    ("schedule, check, results", r"kubenurse_otel/(plan|tracing/check|state|log|app|process)"),
    ("event loop", r"/asyncio/|/selectors\.py"),
    ("garbage collection, rest", r""),
)
_PARTS: Final = tuple((part, re.compile(pattern)) for part, pattern in PARTS)


def by_part(samples: Iterable[tuple[Stack, int]]) -> Counter[str]:
    """Samples by the part of their innermost frame that belongs to one."""
    found: Counter[str] = Counter()
    for stack, count in samples:
        found[_part(stack)] += count
    return found


def _part(stack: Stack) -> str:
    for file, function in reversed(stack):
        for part, pattern in _PARTS[:-1]:
            if pattern.search(f"{file}:{function}"):
                return part
    return PARTS[-1][0]


def inclusive(samples: Iterable[tuple[Stack, int]]) -> Counter[str]:
    """Samples by every function of ours that they are within, each counted once a sample."""
    found: Counter[str] = Counter()
    for stack, count in samples:
        for name in {_name(file, function) for file, function in stack} - {""}:
            found[name] += count
    return found


def _name(file: str, function: str) -> str:
    _, here, path = file.rpartition("kubenurse_otel/")
    return f"{path}:{function}" if here else ""


def cpu(*, seconds: float, interval: str = "500ms") -> list[Table]:
    """Sample a live agent. More checks a second than live, so that a minute is enough."""
    require(*NEEDED)
    with Network() as network, place(network) as where:
        out = where.directory / "samples.json"
        command = (sys.executable, "-m", "bench.sampled", str(out), "run")
        extra = {"KUBENURSE_CHECK_INTERVAL": interval}
        with agent(where, command, extra) as one:
            time.sleep(seconds / 2)
            before, spent = one.total("kubenurse_httpclient_requests_total"), one.cpu_seconds()
            time.sleep(seconds / 2)
            spent = one.cpu_seconds() - spent
            checks = one.total("kubenurse_httpclient_requests_total") - before
        samples = [(stack, count) for stack, count in json.loads(out.read_text())]
    return tables(samples, ms_a_check=spent / checks * 1e3, interval=interval)


def tables(
    samples: Sequence[tuple[Stack, int]], *, ms_a_check: float, interval: str
) -> list[Table]:
    total = sum(count for _, count in samples)
    parts = Table(
        f"CPU by part (sampled; 14 targets every {interval}; {ms_a_check:.2f} ms a check)",
        ("part", "%", "ms a check"),
    )
    for part, count in by_part(samples).most_common():
        share = count / total
        parts.rows.append((part, number(share * 100, 1), number(share * ms_a_check, 2)))
    functions = Table("CPU by function of ours, with what it calls", ("function", "%"))
    for name, count in inclusive(samples).most_common(25):
        functions.rows.append((f"`{name}`", number(count / total * 100, 1)))
    return [parts, functions]


_IMPORT_MEMORY: Final = """
import importlib, json, re, sys
def rss():
    return int(re.search(r"Rss:\\s+(\\d+)", open("/proc/self/smaps_rollup").read())[1]) / 1024
found = [["the interpreter", rss()]]
for name in sys.argv[1:]:
    importlib.import_module(name)
    found.append([name, rss()])
print(json.dumps(found))
"""
IMPORTS: Final = (
    "asyncio",
    "ssl",
    "httpx",
    "msgspec",
    "opentelemetry.sdk.trace",
    "kubenurse_otel.tracing.httpx_adapter",
    "kubenurse_otel.probe.prober",
    "kubenurse_otel.tracing.bridge",
    "kubenurse_otel.server",
    "kubenurse_otel.app",
    "opentelemetry.exporter.otlp.proto.common.trace_encoder",
    "kubenurse_otel.telemetry.points",
    "kubenurse_otel.telemetry.otlp_http",
)


def memory() -> Table:
    """RSS after each import, in the order in which the agent meets them."""
    table = Table("Memory by import (RSS, MiB)", ("after importing", "RSS", "more"))
    printed = subprocess.run(
        [sys.executable, "-c", _IMPORT_MEMORY, *IMPORTS],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    last = 0.0
    for name, mib in json.loads(printed.stdout):
        table.rows.append((name, number(mib, 1), number(mib - last, 1)))
        last = mib
    return table
