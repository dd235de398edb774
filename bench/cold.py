"""What one more of a thing costs, hot in a loop and after a pause: a check, a span, a look-up.

Runs in this process against the bench's server on loopback; CPU time of the process, the least of
a few rounds for the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import NoOpTracerProvider, TracerProvider

from bench.network import ROOT, BenchError, stop
from bench.tables import Table, number
from kubenurse_otel.config import TrustConfig
from kubenurse_otel.model import Target, TargetKind, Url
from kubenurse_otel.probe.prober import Prober
from kubenurse_otel.probe.resolve import ThreadResolver
from kubenurse_otel.probe.trust import TrustStore
from kubenurse_otel.tracing.check import Checker
from kubenurse_otel.tracing.check_spans import CheckTracerProvider
from kubenurse_otel.tracing.httpx_adapter import InstrumentedProber
from kubenurse_otel.tracing.sampling import CheckSampler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

ADDRESS: Final = "127.0.0.1"
PAUSES: Final = ((0.015, 150), (0.35, 30))
"""(seconds between checks, checks): 14 targets every 200 ms, and every 5 s."""


def measure() -> Table:
    table = Table(
        "One more, CPU ms: hot in a loop, and after a pause in which others run",
        ("what", "hot", *(f"every {pause * 1e3:.0f} ms" for pause, _ in PAUSES)),
    )
    with _server() as port:
        table.rows += asyncio.run(_rows(port))
    return table


@contextlib.contextmanager
def _server() -> Iterator[int]:
    with socket.socket() as free:
        free.bind((ADDRESS, 0))
        port = int(free.getsockname()[1])
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.server", "--bind", ADDRESS, "--port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise BenchError("the server did not start")
        yield port
    finally:
        stop(process)


async def _rows(port: int) -> list[tuple[str, ...]]:
    target = Target(
        key="bench",
        type="bench",
        kind=TargetKind.PATH,
        url=Url.of("http", ADDRESS, port, "/alwayshappy"),
        interval_seconds=1,
        timeout_seconds=5,
        answered_by_agent=True,
    )
    prober = Prober(trust=TrustStore(TrustConfig()))
    loop = asyncio.get_running_loop()

    async def bare() -> None:
        with socket.socket() as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, (ADDRESS, port))
            await loop.sock_sendall(sock, b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n")
            await loop.sock_recv(sock, 65536)

    async def alone() -> None:
        await prober.probe(target)

    def checking(provider: TracerProvider) -> Callable[[], Awaitable[object]]:
        checker = Checker(InstrumentedProber(prober, provider), provider.get_tracer("bench"))
        return lambda: checker.check(target)

    spans = CheckTracerProvider(
        sampler=CheckSampler(0), processor=SpanProcessor(), resource=Resource.get_empty()
    )
    tracer, resolve = spans.get_tracer("bench"), ThreadResolver()

    async def span() -> None:
        tracer.start_span("one", Context(), attributes={"a": "b", "c": 1}).end()

    async def look_up() -> None:
        await resolve("localhost", deadline=loop.time() + 5)

    rows = [
        await _row("a bare asyncio socket", bare),
        await _row("our prober, plain HTTP", alone),
        await _row("a check, no-op tracer", checking(NoOpTracerProvider())),
        await _row("a check, its spans", checking(spans)),
        await _row("one span", span),
        await _row("one look-up of a name (localhost, in its thread)", look_up),
    ]
    prober.close()
    return rows


async def _row(name: str, run: Callable[[], Awaitable[object]]) -> tuple[str, ...]:
    await _cost(run, 50, 0)
    hot = min([await _cost(run, 150, 0) for _ in range(4)])
    paused = [await _cost(run, count, pause) for pause, count in PAUSES]
    return (name, *(number(ms, 3) for ms in (hot, *paused)))


async def _cost(run: Callable[[], Awaitable[object]], count: int, pause: float) -> float:
    began = time.process_time()
    for _ in range(count):
        await run()
        if pause:
            await asyncio.sleep(pause)
    return (time.process_time() - began) / count * 1e3
