"""Endurance: some 40 failing targets, a silent collector, one hostile client at a time.

`make hostile ARGS="--soak-minutes 120 --samples FILE"`: what grows, a line each ten seconds.
"""

from __future__ import annotations

import csv
import itertools
import math
import multiprocessing
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from servers import BEHAVIOURS, Certificates, FaultServer, Kind
from servers.behaviours import silent

from hostile import network, scene, trial
from hostile.agent import running
from hostile.attack import Group, Target
from hostile.attacks import ATTACKS, collector

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.process import BaseProcess

    from hostile.agent import Agent

SAMPLE_SECONDS: Final = 10.0
CLIENT_SECONDS: Final = 60.0
WARM_SHARE: Final = 0.25
"""Of the run: what is allocated once is allocated by then."""
RSS_MIB_AN_HOUR: Final = 0.5
FILES_MORE: Final = 8
THREADS_MORE: Final = 2
_FIRST_PORT: Final = 9_100
_FORK: Final = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the agent; ``seconds`` since the soak began."""

    seconds: float
    client: str
    rss_mib: float
    sockets_mib: float
    open_files: int
    threads: int


def main(tree: Path, minutes: float, samples_file: Path | None) -> int:
    """Run, and say what grew. The exit code is 1 where something did."""
    with tempfile.TemporaryDirectory(prefix="kubenurse-hostile-") as name, ExitStack() as stack:
        folder = Path(name)
        scene.make(folder)
        (folder / "far-ends").mkdir()
        certificates = Certificates(folder / "far-ends")
        far_ends = _FORK.Process(target=_serve, args=(certificates,), daemon=True)
        far_ends.start()
        stack.callback(far_ends.kill)
        environment = scene.environment(network.NEIGHBOUR, folder, tls=False)
        stack.enter_context(running(network.NEIGHBOUR, environment, tree=tree, folder=folder))
        agent = stack.enter_context(
            running(network.AGENT, _environment(folder), tree=tree, folder=folder)
        )
        samples = _sample(agent, minutes * 60, samples_file)
        ended = agent.process.poll() is not None
    print(report(samples))
    return 1 if ended or fallen(samples) else 0


def slope_mib_an_hour(samples: Sequence[Sample]) -> float:
    """RSS by the least squares' line, without the time in which it warms up; NaN of too few."""
    warm = samples[int(len(samples) * WARM_SHARE) :]
    if len(warm) < 2:
        return math.nan
    return (
        3_600
        * statistics.linear_regression(
            [one.seconds for one in warm], [one.rss_mib for one in warm]
        ).slope
    )


def fallen(samples: Sequence[Sample]) -> list[str]:
    """What grew: RSS by its slope, files and threads by the medians of second and last quarter."""
    slope = slope_mib_an_hour(samples)
    grew = [] if slope < RSS_MIB_AN_HOUR else [f"RSS {slope:+.2f} MiB an hour"]
    quarter = max(1, len(samples) // 4)
    for name, allowed in (("open_files", FILES_MORE), ("threads", THREADS_MORE)):
        early = statistics.median(
            getattr(one, name) for one in samples[quarter : 2 * quarter] or samples
        )
        late = statistics.median(getattr(one, name) for one in samples[-quarter:])
        if late > early + allowed:
            grew.append(f"{name} {early:g} -> {late:g}")
    return grew


def report(samples: Sequence[Sample]) -> str:
    last = samples[-1]
    return (
        f"{last.seconds / 60:.0f} minutes, RSS {slope_mib_an_hour(samples):+.2f} MiB an hour;"
        f" last {last.rss_mib:.1f} MiB, {last.open_files} files, {last.threads} threads;"
        f" highest {max(one.rss_mib for one in samples):.1f} MiB,"
        f" {max(one.open_files for one in samples)}, {max(one.threads for one in samples)};"
        f" grew: {', '.join(fallen(samples)) or 'nothing'}"
    )


def ways() -> list[tuple[str, str]]:
    """(scheme, name) of some 40 targets: every plain behaviour, and every certificate there is."""
    return [*(("http", name) for name in BEHAVIOURS), *(("https", kind.value) for kind in Kind)]


def _environment(folder: Path) -> dict[str, str]:
    far_end = f"{network.FAR_END_NAME}:"
    checks = [
        f"{scheme}-{name.replace('_', '-')}:{scheme}://{far_end}{_FIRST_PORT + number}/"
        for number, (scheme, name) in enumerate(ways())
    ]
    return {
        **scene.environment(network.AGENT, folder, tls=False),
        **collector.ENVIRONMENT,
        "OTEL_METRIC_EXPORT_INTERVAL": "10000",
        "KUBENURSE_EXTRA_CA": str(folder / "far-ends" / "ca.crt"),
        "KUBENURSE_EXTRA_CHECKS": "|".join([scene.HONEST, *checks]),
        "KUBENURSE_CHECK_INTERVAL": "5s",
        "KUBENURSE_CHECK_TIMEOUT": "2s",
    }


def _serve(certificates: Certificates) -> None:
    """All far ends and the collector, for ever."""
    with ExitStack() as stack:
        for number, (scheme, name) in enumerate(ways()):
            tls = certificates.context(Kind(name)) if scheme == "https" else None
            behaviour = BEHAVIOURS["ok" if tls else name]
            stack.enter_context(FaultServer(behaviour, network.FAR_END, _FIRST_PORT + number, tls))
        stack.enter_context(FaultServer(silent, network.COLLECTOR, collector.PORT))
        while True:
            time.sleep(60)


def _sample(agent: Agent, seconds: float, path: Path | None) -> list[Sample]:
    clients = itertools.cycle(
        # One client is of one kind, so the mixture is none.
        one
        for one in ATTACKS.values()
        if one.group is Group.CLIENTS and not one.tls and one.name != "mixed"
    )
    samples: list[Sample] = []
    began = time.monotonic()
    with (path or Path("/dev/null")).open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Sample)])
        writer.writeheader()
        while agent.process.poll() is None and time.monotonic() - began < seconds:
            attack = replace(next(clients), connections=1, addresses=1)
            target = Target(
                agent.address, agent.folder, time.monotonic() + CLIENT_SECONDS, 1, 1, 0.2
            )
            client: BaseProcess = _FORK.Process(
                target=trial.play, args=(attack, target), daemon=True
            )
            client.start()
            while not target.over() and time.monotonic() - began < seconds:
                time.sleep(SAMPLE_SECONDS)
                now = agent.footprint()
                samples.append(
                    Sample(
                        round(time.monotonic() - began, 1),
                        attack.name,
                        round(now.rss_mib, 2),
                        round(now.sockets_mib, 2),
                        now.open_files,
                        now.threads,
                    )
                )
                writer.writerow(asdict(samples[-1]))
                file.flush()
            client.kill()
            client.join()
    return samples
