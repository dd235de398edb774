"""(b) What live agents cost, all at the same time and each in a network of its own: ratios between
them hold on a machine that does other things, too.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bench import image
from bench.agent import OTLP, TARGETS, Agent, agent, place
from bench.network import NEEDED, BenchError, Network, require
from bench.tables import Table, number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SCRAPE_SECONDS: Final = 15.0
WARM_UP_SECONDS: Final = 20.0
ROUNDS: Final = 3
_REQUESTS: Final = "kubenurse_httpclient_requests_total"
_OWN_DELAY: Final = "kubenurse_own_delay_seconds"
_WITHOUT_CHECKS: Final = {"KUBENURSE_CHECK_INTERVAL": "10h"}


@dataclass(frozen=True, slots=True)
class Variant:
    name: str
    command: Sequence[str]
    extra: Mapping[str, str]
    checks: bool = True
    """Without checks it is not scraped either."""


@dataclass(frozen=True, slots=True)
class _Reading:
    cpu_seconds: float
    at: float
    checks: float
    own_delay_seconds: float
    timed: float

    @classmethod
    def of(cls, variant: Variant, one: Agent) -> _Reading:
        samples = one.samples() if variant.checks else []

        def total(name: str) -> float:
            return sum(value for found, _, value in samples if found == name)

        checks, delay, timed = map(total, (_REQUESTS, f"{_OWN_DELAY}_sum", f"{_OWN_DELAY}_count"))
        return cls(one.cpu_seconds(), time.monotonic(), checks, delay, timed)


@dataclass(frozen=True, slots=True)
class Round:
    """One window of one agent. ``own_delay_ms`` is None where the agent does not know it."""

    checks: float
    cpu_ms_a_check: float
    cpu_ms_a_second: float
    own_delay_ms: float | None

    @classmethod
    def between(cls, before: _Reading, after: _Reading) -> Round:
        spent_ms = (after.cpu_seconds - before.cpu_seconds) * 1e3
        checks, timed = after.checks - before.checks, after.timed - before.timed
        delay = after.own_delay_seconds - before.own_delay_seconds
        return cls(
            checks,
            spent_ms / checks if checks else 0.0,
            spent_ms / (after.at - before.at),
            delay / timed * 1e3 if timed else None,
        )


def measure(
    *,
    seconds: float,
    trees: Sequence[tuple[str, Path]],
    others: Sequence[tuple[str, Sequence[str]]],
) -> list[Table]:
    """``trees`` are (name, directory) of other commits, ``others`` (name, command) of other
    agents; they get the same environment. Medians of ROUNDS windows of ``seconds``.
    """
    require(*NEEDED)
    ours = image.command()
    built = [("kubenurse-otel", ours), *((name, image.command(tree)) for name, tree in trees)]
    variants = [Variant(name, command, {}) for name, command in built]
    variants += [Variant(f"{name}, OTLP on", command, OTLP) for name, command in built]
    variants += [
        Variant(
            "kubenurse-otel, OTLP on, every trace", ours, {**OTLP, "KUBENURSE_TRACE_RATIO": "1"}
        )
    ]
    variants += [Variant(name, command, {}) for name, command in others]
    variants += [Variant(name, command, _WITHOUT_CHECKS, checks=False) for name, command in built]
    rounds, memory = side_by_side(variants, seconds=seconds)
    return [
        _checking(variants, rounds, memory, [name for name, _ in (*built[1:], *others)]),
        _idle(variants, rounds),
    ]


def side_by_side(
    variants: Sequence[Variant], *, seconds: float
) -> tuple[list[list[Round]], list[dict[str, float]]]:
    """Run all at once; each one's rounds, and what it holds at the end."""
    with contextlib.ExitStack() as stack:
        running: list[Agent] = []
        for turn, variant in enumerate(variants):
            where = stack.enter_context(place(stack.enter_context(Network())))
            # As on nodes of their own: of one name all would check at the same moment.
            extra = {**variant.extra, "KUBENURSE_NODE_NAME": f"bench-node-{turn}"}
            running.append(stack.enter_context(agent(where, variant.command, extra)))
        _watch(variants, running, WARM_UP_SECONDS)
        rounds: list[list[Round]] = [[] for _ in variants]
        for _ in range(ROUNDS):
            before = [_Reading.of(v, one) for v, one in zip(variants, running, strict=True)]
            _watch(variants, running, seconds)
            for i, (variant, one) in enumerate(zip(variants, running, strict=True)):
                rounds[i].append(Round.between(before[i], _Reading.of(variant, one)))
                if variant.checks and not rounds[i][-1].checks:
                    raise BenchError(f"{variant.name} made no checks")
                print(f"  {variant.name}: {rounds[i][-1]}", file=sys.stderr)
        return rounds, [one.memory_mib() for one in running]


def _watch(variants: Sequence[Variant], running: Sequence[Agent], seconds: float) -> None:
    """Let them live for a while, each scraped as Prometheus would."""
    scraped = [one for variant, one in zip(variants, running, strict=True) if variant.checks]
    ends = time.monotonic() + seconds
    turn = 0
    while (left := ends - time.monotonic()) > 0:
        time.sleep(min(left, SCRAPE_SECONDS / len(scraped)))
        scraped[turn % len(scraped)].get("/metrics")
        turn += 1


def _checking(
    variants: Sequence[Variant],
    rounds: Sequence[Sequence[Round]],
    memory: Sequence[Mapping[str, float]],
    beside: Sequence[str],
) -> Table:
    """``beside`` names the variants of which each one's CPU is given as a share."""
    table = Table(
        f"Live agents beside each other: {TARGETS} targets every 5 s, 3 of them TLS, "
        "scraped every 15 s",
        (
            *("agent", "checks", "CPU ms a check"),
            *(f"of {name}" for name in beside),
            *("own delay ms", "RSS MiB", "anonymous MiB"),
        ),
    )
    by_name = {variant.name: rounds[i] for i, variant in enumerate(variants) if variant.checks}
    for variant, own, held in zip(variants, rounds, memory, strict=True):
        if not variant.checks:
            continue
        delays = [one.own_delay_ms for one in own if one.own_delay_ms is not None]
        table.rows.append(
            (
                variant.name,
                number(sum(one.checks for one in own)),
                number(statistics.median(one.cpu_ms_a_check for one in own), 2),
                *(number(share(own, by_name[name]), 2) for name in beside),
                number(statistics.median(delays) if delays else None, 2),
                number(held["Rss"], 1),
                number(held["Anonymous"], 1),
            )
        )
    table.notes.append(
        "All of the process's CPU time is counted: checks, scrapes, exports, timers. Medians of "
        f"{ROUNDS} rounds; each share is the median of the rounds' shares."
    )
    return table


def share(own: Sequence[Round], other: Sequence[Round]) -> float:
    """What a check costs of what the other's costs in the same window; the rounds' median."""
    return statistics.median(
        one.cpu_ms_a_check / beside.cpu_ms_a_check for one, beside in zip(own, other, strict=True)
    )


def _idle(variants: Sequence[Variant], rounds: Sequence[Sequence[Round]]) -> Table:
    table = Table("The same without checks and scrapes", ("agent", "CPU ms a second"))
    for variant, own in zip(variants, rounds, strict=True):
        if not variant.checks:
            spent = statistics.median(one.cpu_ms_a_second for one in own)
            table.rows.append((variant.name, number(spent, 2)))
    return table
