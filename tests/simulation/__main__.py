"""The long run: every fault in clusters of several sizes, as a table of what was named and when.

`make simulation ARGS="--trials 5 --sizes 3,6,12"`; --node-hours for hours without a fault, of
clusters of --control-size.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from datetime import UTC, datetime
from multiprocessing import Pool
from random import Random
from statistics import quantiles

from simulation import trial
from simulation.cluster import Cluster
from simulation.controls import CONTROLS
from simulation.faults import FAULTS, ONE_PERCENT

BACKGROUND_LOSS = (1e-4, 1e-3)
CONTROL_SECONDS = 600.0
TELL_EVERY = 10
"""Runs without a fault: a long one that is ended early has told by then what it saw."""

Job = tuple[int, int, int]
"""The fault's number, the cluster's size, the seed."""


def run(job: Job) -> trial.Outcome:
    number, size, seed = job
    loss = BACKGROUND_LOSS[seed % len(BACKGROUND_LOSS)]
    return trial.run(FAULTS[number], size, seed, background_loss=loss)


def control(job: tuple[str, int, int]) -> tuple[float, int]:
    """(node-hours, verdicts) of ten minutes in which something happens that is no fault."""
    name, size, seed = job
    cluster = Cluster(size, Random(f"{name} {size} {seed}"))
    cluster.network.background_loss = BACKGROUND_LOSS[seed % len(BACKGROUND_LOSS)]
    cluster.run(30.0)
    CONTROLS[name](cluster)
    cluster.run(30.0 + CONTROL_SECONDS)
    return size * CONTROL_SECONDS / 3600, len(cluster.named)


def row(name: str, size: int, outcomes: list[trial.Outcome]) -> str:
    right = sum(one.is_right for one in outcomes)
    healthy = sum(bool(one.healthy) for one in outcomes)
    seconds = sorted(one.seconds for one in outcomes if one.seconds is not None)
    cuts = quantiles(seconds, n=20, method="inclusive") if len(seconds) > 1 else seconds * 19
    when = f"{cuts[9]:.0f} / {cuts[18]:.0f}" if seconds else "never"
    return f"| {name} | {size} | {right} of {len(outcomes)} | {when} | {healthy} |"


def _without(hours: list[tuple[float, int]]) -> str:
    verdicts = sum(each for _, each in hours)
    return f"{sum(each for each, _ in hours):.0f} node-hours without a fault: {verdicts} verdicts"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--sizes", default="3,6,12")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--node-hours", type=float, default=0.0)
    parser.add_argument("--control-size", type=int, default=12)
    given = parser.parse_args()
    sizes = [int(size) for size in given.sizes.split(",")]
    jobs: list[Job] = [
        (number, size, seed)
        for number, fault in enumerate(FAULTS)
        for size in sizes
        if trial.fits(fault, size)
        for seed in range(given.trials)
    ]
    outcomes: dict[tuple[str, int], list[trial.Outcome]] = defaultdict(list)
    size = given.control_size
    a_control = size * CONTROL_SECONDS / 3600
    names = list(CONTROLS)
    controls = [
        (names[seed % len(names)], size, seed)
        for seed in range(round(given.node_hours / a_control))
    ]
    print(f"{datetime.now(UTC):%Y-%m-%d}, {given.trials} trials each\n")
    print("| fault | nodes | right | seconds to name, p50 / p95 | healthy node named |")
    print("|---|---|---|---|---|")
    with Pool(given.jobs) as pool:
        for one in pool.imap(run, jobs):
            of_this = outcomes[one.fault, one.size]
            of_this.append(one)
            if len(of_this) == given.trials:
                print(row(one.fault, one.size, of_this), flush=True)
        hours: list[tuple[float, int]] = []
        for hour in pool.imap_unordered(control, controls):
            hours.append(hour)
            if len(hours) % TELL_EVERY == 0:
                print(_without(hours), file=sys.stderr, flush=True)
    counted = [one for all_ in outcomes.values() for one in all_ if one.fault not in ONE_PERCENT]
    right = sum(one.is_right for one in counted)
    print(f"\nWithout loss of 1 %: {right} of {len(counted)} right")
    for one in (each for each in counted if not each.is_right):
        wrong = [(each.verdict.kind.value, each.verdict.culprit) for each in one.wrong[:3]]
        print(f"  {one.fault}, {one.size} nodes, seed {one.seed}: {one.seconds} {wrong}")
    print(_without(hours))
    return any(one.healthy for all_ in outcomes.values() for one in all_)


if __name__ == "__main__":
    sys.exit(main())
