"""(a) What a prober reports against what the wire saw, check by check.

The prober runs in one network namespace, a plain server in another; a capture of the prober's
device holds the truth. Owns the cases and the comparison.
"""

from __future__ import annotations

import bisect
import contextlib
import json
import shlex
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import trustme

from bench import wire
from bench.network import NEEDED, BenchError, Network, busy, require
from bench.tables import Table, number, quantile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PORT: Final = 8080
TLS_PORT: Final = 8443
FIGURES: Final = ("connect", "tls", "network_round_trip", "request", "loss")
_LONG_BYTES: Final = 1_700
"""More than a segment on Ethernet holds."""
_MOST_SECONDS_A_CASE: Final = 150.0


def _drop(hook: str, match: str, share: str = "numgen inc mod 2 == 0") -> str:
    """An nft table that drops, of the packets that match, every second one (or ``share``)."""
    return (
        "table inet bench {\n chain drops {\n"
        f"  type filter hook {hook} priority 0;\n  {match} {share} drop\n }}\n}}\n"
    )


_SYN: Final = "tcp flags & (syn | ack) == syn"
_SYN_ACK: Final = "tcp flags & (syn | ack) == (syn | ack)"
_REQUEST: Final = f"tcp dport {PORT} @th,256,32 0x47455420"  # "GET ", after 32 bytes of TCP
_ANSWER: Final = f"tcp sport {PORT} @th,256,32 0x48545450"  # "HTTP"
_HELLO: Final = f"tcp dport {TLS_PORT} @th,256,24 0x160301"


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    tls: bool = False
    busy: bool = False
    rules: str = ""
    long: bool = False
    """The request has two segments, each a packet of its own."""
    checks: int | None = None
    """None: as many as the command line says."""


CASES: Final = (
    Case("idle"),
    Case("busy", busy=True),
    Case("TLS, idle", tls=True),
    Case("TLS, busy", tls=True, busy=True),
    Case("request lost", rules=_drop("input", _REQUEST), checks=40),
    Case("first of two segments lost", rules=_drop("input", _REQUEST), long=True, checks=40),
    Case("two segments", long=True, checks=40),
    Case("answer lost", rules=_drop("output", _ANSWER), checks=40),
    Case("SYN lost", rules=_drop("input", _SYN), checks=20),
    Case("SYN-ACK lost", rules=_drop("output", _SYN_ACK), checks=20),
    Case("SYN lost, busy", rules=_drop("input", _SYN), checks=20, busy=True),
    Case("ClientHello lost", tls=True, rules=_drop("input", _HELLO), checks=40),
    Case(
        "5 % lost each way",
        rules=_drop("input", "tcp dport 8080", "numgen random mod 100 < 5")
        + _drop("output", "tcp sport 8080", "numgen random mod 100 < 5").replace(
            "inet bench", "inet bench_back"
        ),
        checks=150,
    ),
)


@dataclass(frozen=True, slots=True)
class Pair:
    """One check: what was reported and what the wire saw."""

    reported: dict[str, Any]
    exchange: wire.Exchange


@contextlib.contextmanager
def servers(network: Network) -> Iterator[Path]:
    """The plain server on every address of namespace b; gives the CA that signs for it."""
    with tempfile.TemporaryDirectory(prefix="kbench-") as directory:
        authority, certificate = Path(directory) / "ca.pem", Path(directory) / "server.pem"
        ca = trustme.CA()
        ca.cert_pem.write_to_path(authority)
        issued = ca.issue_cert(*network.server_addresses)
        issued.private_key_and_cert_chain_pem.write_to_path(certificate)
        process = network.start(
            network.b,
            [
                *(sys.executable, "-m", "bench.server", "--bind", *network.server_addresses),
                *("--bind-tls", *network.server_addresses),
                *("--port", str(PORT), "--tls-port", str(TLS_PORT)),
                *("--certificate", str(certificate)),
            ],
        )
        assert process.stdout is not None
        if not process.stdout.readline():
            raise BenchError("the server did not start")
        yield authority


def url(network: Network, *, tls: bool) -> str:
    scheme, port = ("https", TLS_PORT) if tls else ("http", PORT)
    return f"{scheme}://{network.server_address}:{port}/alwayshappy"


def pair(reports: Sequence[dict[str, Any]], exchanges: Sequence[wire.Exchange]) -> list[Pair]:
    """Join by time: the connection whose SYN left while the check ran."""
    starts = [exchange.started_ns for exchange in exchanges]
    pairs: list[Pair] = []
    for report in reports:
        at = bisect.bisect_left(starts, report["started_ns"])
        if at < len(starts) and starts[at] <= report["ended_ns"] and "error" not in report:
            pairs.append(Pair(report, exchanges[at]))
    return pairs


def truth_seconds(exchange: wire.Exchange, figure: str) -> float | None:
    """The wire's word for one figure of ``model.Split``."""
    if figure == "loss":
        syn_excess = 0
        if exchange.syn_count > 1 and exchange.connect_ns is not None:
            syn_excess = exchange.connect_ns - (exchange.round_trip_ns or 0)
        return (exchange.loss_ns + syn_excess) / 1e9
    ns = {
        "connect": exchange.connect_ns,
        "tls": exchange.tls_ns,
        "network_round_trip": exchange.round_trip_ns,
        "request": exchange.request_ns,
    }[figure]
    return None if ns is None else ns / 1e9


def errors_us(pairs: Sequence[Pair], source: str, figure: str) -> list[float]:
    """|reported - true| in microseconds, where both tell."""
    found: list[float] = []
    for one in pairs:
        said = one.reported[source].get(figure)
        true = truth_seconds(one.exchange, figure)
        if said is not None and true is not None:
            found.append(abs(said - true) * 1e6)
    return found


def run_case(network: Network, case: Case, *, checks: int, ca: Path) -> list[Pair]:
    count = min(case.checks or checks, checks)
    suffix = "?" + "x" * _LONG_BYTES if case.long else ""
    packets = network.single_segments() if case.long else contextlib.nullcontext()
    command = [
        *(sys.executable, "-m", "bench.prober", url(network, tls=case.tls) + suffix),
        *("--count", str(count), "--ca", str(ca)),
    ]
    with network.rules(case.rules), packets, network.capture() as segments:
        load = busy(2, at_most_seconds=_MOST_SECONDS_A_CASE) if case.busy else None
        with load or contextlib.nullcontext():
            output = network.run(network.a, command, timeout_seconds=_MOST_SECONDS_A_CASE)
    reports = [json.loads(line) for line in output.splitlines()]
    port = TLS_PORT if case.tls else PORT
    pairs = pair(reports, wire.exchanges(segments, server_port=port))
    failed = [report["error"] for report in reports if "error" in report]
    if failed:
        print(f"  {case.name}: {len(failed)} checks failed: {sorted(set(failed))}", file=sys.stderr)
    if len(pairs) + len(failed) != count:
        raise BenchError(f"{case.name}: {count} checks, {len(pairs)} of them found on the wire")
    return pairs


_COLUMNS: Final = (
    "case, figure",
    "checks",
    "wire p50",
    "kernel p50",
    "p99",
    "max",
    "user p50",
    "p99",
    "max",
)


def _rows(case: Case, pairs: Sequence[Pair]) -> Iterator[tuple[str, ...]]:
    for figure in FIGURES:
        kernel, user = errors_us(pairs, "kernel", figure), errors_us(pairs, "user", figure)
        true = [t for one in pairs if (t := truth_seconds(one.exchange, figure)) is not None]
        if not kernel or (figure == "loss" and not any(true)):
            continue
        cells = [f"{case.name}: {figure.replace('_', ' ')}", number(len(kernel))]
        cells.append(number(quantile(true, 0.5) * 1e6))
        for errors in (kernel, user):
            if errors:
                cells += [number(quantile(errors, q)) for q in (0.5, 0.99, 1.0)]
            else:
                cells += ["-"] * 3
        yield tuple(cells)


def measure(*, checks: int, others: Sequence[tuple[str, str]], only: str) -> list[Table]:
    """All cases. ``others`` are (name, command with {url})."""
    require(*NEEDED)
    table = Table("Error against the wire (microseconds)", _COLUMNS)
    with Network() as network, servers(network) as ca:
        for case in CASES:
            if only and only not in case.name:
                continue
            pairs = run_case(network, case, checks=checks, ca=ca)
            table.rows += _rows(case, pairs)
            by_user = [p.reported["reason"] for p in pairs if p.reported["source"] == "user"]
            if by_user:
                reasons = ", ".join(f"{by_user.count(r)} {r}" for r in sorted(set(by_user)))
                table.notes.append(f"{case.name}: not timed by the kernel: {reasons}.")
            print(f"  {case.name}: {len(pairs)} checks", file=sys.stderr)
        tables = [table]
        if others:
            tables.append(_others(network, others, checks=checks))
    return tables


def _others(network: Network, others: Sequence[tuple[str, str]], *, checks: int) -> Table:
    """Any prober that prints JSON lines {"connect_seconds", "request_seconds"}, started again
    and again until there are enough of them.
    """
    table = Table(
        "Other probers, error against the wire (microseconds)",
        ("prober, figure", "checks", "wire p50", "error p50", "p99", "max"),
    )
    for name, command in others:
        for load in (False, True):
            pairs = _other(network, command, checks=min(checks, 200), loaded=load)
            for figure in ("connect", "request"):
                errors = errors_us(pairs, "other", figure)
                true = [t for p in pairs if (t := truth_seconds(p.exchange, figure)) is not None]
                if errors:
                    table.rows.append(
                        (
                            f"{name}, {'busy' if load else 'idle'}: {figure}",
                            number(len(errors)),
                            number(quantile(true, 0.5) * 1e6),
                            *(number(quantile(errors, q)) for q in (0.5, 0.99, 1.0)),
                        )
                    )
    return table


def other_figures(said: dict[str, Any]) -> dict[str, float | None]:
    """A prober's JSON line -> its figures. curl has no time of its request but two moments."""
    request = said.get("request_seconds")
    if request is None and {"sent_seconds", "first_byte_seconds"} <= said.keys():
        request = said["first_byte_seconds"] - said["sent_seconds"]
    return {"connect": said.get("connect_seconds"), "request": request}


def _other(network: Network, command: str, *, checks: int, loaded: bool) -> list[Pair]:
    words = [w.replace("{url}", url(network, tls=False)) for w in shlex.split(command)]
    reports: list[dict[str, Any]] = []
    ends = time.monotonic() + _MOST_SECONDS_A_CASE / 2
    load = busy(2, at_most_seconds=_MOST_SECONDS_A_CASE) if loaded else contextlib.nullcontext()
    with network.capture() as segments, load:
        while len(reports) < checks and time.monotonic() < ends:
            output = network.run(network.a, words, timeout_seconds=_MOST_SECONDS_A_CASE)
            lines = [line for line in output.splitlines() if line.startswith("{")]
            if not lines:
                raise BenchError(f"{words[0]} printed no JSON line")
            reports += [{"other": other_figures(json.loads(line))} for line in lines]
    exchanges = wire.exchanges(segments, server_port=PORT)
    if len(exchanges) != len(reports):
        raise BenchError(f"{words[0]}: {len(reports)} lines, {len(exchanges)} connections")
    return [Pair(r, e) for r, e in zip(reports, exchanges, strict=True)]
