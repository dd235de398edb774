"""(d) Scrapes and what they do to checks, (e) dead peers, (f) how fast it answers. Owns the
scenarios; agent.py runs the agent.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

from bench import image, wire
from bench.agent import PEERS, PORT, Agent, agent, place
from bench.network import NEEDED, BenchError, Network, inside, require
from bench.tables import Table, number, quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

WARM_UP_SECONDS: Final = 12.0
DEAD: Final = tuple(f"127.0.3.{n}" for n in range(1, 11))
_REQUESTS: Final = "kubenurse_httpclient_requests_total"


def scrapes(*, seconds: float) -> list[Table]:
    """(d) How long /metrics takes, and what checks notice of it."""
    require(*NEEDED)
    times = Table("/metrics (milliseconds)", ("form", "scrapes", "p50", "p99", "max", "KiB"))
    delays = Table(
        "A check's own delay, with and without scrapes (14 targets every second)",
        ("scrapes", "checks", "own delay mean ms", "over 5 ms %", "over 20 ms %", "loop lag ms"),
    )
    forms = {"text 0.0.4": "", "OpenMetrics 1.0": "application/openmetrics-text; version=1.0.0"}
    with (
        Network() as network,
        place(network) as where,
        agent(where, extra={"KUBENURSE_CHECK_INTERVAL": "1s"}) as one,
    ):
        time.sleep(WARM_UP_SECONDS / 2)
        for form, accept in forms.items():
            took, size = _scrape_times(one, accept)
            cells = [number(quantile(took, q) * 1e3, 1) for q in (0.5, 0.99, 1.0)]
            times.rows.append((form, number(len(took)), *cells, number(size / 1024, 1)))
        for pause in (None, 1.0, 0.1):
            delays.rows.append(_delay_row(one, seconds, pause))
    return [times, delays]


def _scrape_times(one: Agent, accept: str) -> tuple[list[float], int]:
    took: list[float] = []
    size = 0
    for _ in range(60):
        time.sleep(0.1)
        began = time.perf_counter()
        size = len(one.get("/metrics", accept=accept))
        took.append(time.perf_counter() - began)
    return took, size


def _delay_row(one: Agent, seconds: float, pause: float | None) -> tuple[str, ...]:
    before = _delays(one)
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        time.sleep(min(left, pause or seconds))
        if pause:
            one.get("/metrics")
    found = {name: value - before[name] for name, value in _delays(one).items()}
    checks = max(1.0, found["count"])
    return (
        "none" if pause is None else f"every {pause} s",
        number(found["count"]),
        number(found["sum"] / checks * 1e3, 2),
        number((1 - found["0.005"] / checks) * 100, 1),
        number((1 - found["0.02"] / checks) * 100, 1),
        number(found["lag_sum"] / max(1.0, found["lag_count"]) * 1e3, 2),
    )


def _delays(one: Agent) -> dict[str, float]:
    found = dict.fromkeys(("count", "sum", "0.005", "0.02", "lag_sum", "lag_count"), 0.0)
    own, lag = "kubenurse_own_delay_seconds", "kubenurse_event_loop_lag_seconds"
    for name, labels, value in one.samples():
        if name in {f"{own}_sum", f"{own}_count"}:
            found[name.rpartition("_")[2]] += value
        elif name == f"{own}_bucket":
            for bound in ("0.005", "0.02"):
                if f'le="{bound}"' in labels:
                    found[bound] += value
        elif name in {f"{lag}_sum", f"{lag}_count"}:
            found["lag_" + name.rpartition("_")[2]] += value
    return found


def dead_peers(*, seconds: float) -> Table:
    """(e) Ten peers that answer nothing; what others miss of it."""
    require(*NEEDED)
    table = Table(
        f"Ten dead peers (SYNs dropped), 14 targets every second, timeout 5 s, {seconds:.0f} s",
        ("targets", "checks", "failed", "ticks missed"),
    )
    drop = (
        "table inet bench {\n chain dead {\n  type filter hook input priority 0;\n"
        "  ip daddr 127.0.3.0/24 drop\n }\n}\n"
    )
    quiet = {"KUBENURSE_CHECK_INTERVAL": "1s", "KUBENURSE_LOG_LEVEL": "ERROR"}
    with (
        Network() as network,
        place(network, peers=DEAD) as where,
        network.rules(drop),
        agent(where, extra=quiet) as one,
    ):
        time.sleep(seconds)
        samples = one.samples()
    for title, dead in (("10 dead peers", True), ("the 4 others", False)):

        def count(metric: str, *, dead: bool = dead, code: str = "") -> str:
            return number(
                sum(
                    value
                    for name, labels, value in samples
                    if name == metric and ('type="path_' in labels) == dead and code in labels
                )
            )

        table.rows.append(
            (
                title,
                count(_REQUESTS),
                count(_REQUESTS, code='code="round_trip_error"'),
                count("kubenurse_missed_checks_total"),
            )
        )
    return table


def answering(*, requests: int, others: Sequence[tuple[str, Sequence[str]]]) -> Table:
    """(f) /alwayshappy on the wire: first segment of the request to first of the answer."""
    require(*NEEDED)
    table = Table(
        "/alwayshappy answered, on the wire (milliseconds)",
        ("agent", "requests", "p50", "p90", "p99", "max"),
    )
    with Network() as network, place(network) as where:
        bare = (sys.executable, "-m", "bench.server", "--bind", where.address, "--port", str(PORT))
        runs = [
            ("kubenurse-otel", image.command()),
            ("a bare asyncio protocol, no checks", bare),
            *others,
        ]
        for name, command in runs:
            with agent(where, command) as one, network.capture() as segments:
                time.sleep(2)
                for number_ in range(requests):
                    time.sleep(0.01 + number_ % 7 * 0.001)  # not in step with anything of its
                    _ask(network, where.address)
                assert one.process.poll() is None
            found = wire.exchanges(segments, server_port=PORT, answer_bytes=1)
            took = [e.request_ns / 1e6 for e in found if e.request_ns is not None]
            cells = [number(quantile(took, q), 3) for q in (0.5, 0.9, 0.99, 1.0)]
            table.rows.append((name, number(len(took)), *cells))
    table.notes.append(
        "One connection a request, as agents ask; the agent itself checks 14 targets "
        f"({len(PEERS)} of them paths) every 5 s meanwhile. Aim: p50 within 0.3 ms."
    )
    return table


def _ask(network: Network, address: str) -> None:
    import socket  # noqa: PLC0415 - beside its only use

    with inside(network.a), socket.create_connection((address, PORT), timeout=5) as sock:
        sock.sendall(
            b"GET /alwayshappy HTTP/1.1\r\nHost: bench\r\n"
            b"KUBENURSE-NEIGHBOUR-ORIGIN: bench-asker\r\n\r\n"
        )
        if not sock.recv(4096).startswith(b"HTTP/1.1 200"):
            raise BenchError("/alwayshappy did not answer 200")
