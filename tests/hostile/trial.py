"""One attack from start to end on one work tree's agent; what it did, as figures."""

from __future__ import annotations

import contextlib
import http.client
import math
import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from hostile import network, scene
from hostile.agent import Agent, running
from hostile.attack import Target
from hostile.outcome import FILES_MORE, RSS_MIB_MORE, THREADS_MORE, Outcome
from hostile.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hostile.agent import Footprint
    from hostile.attack import Attack

T = TypeVar("T")

_WARM_SECONDS: Final = 3.0
_GIVE_UP_SECONDS: Final = 10.0
_PATIENCE_SECONDS: Final = 8.0
_FORK: Final = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True)
class Plan:
    """How a trial is run."""

    tree: Path
    seconds: float
    settle_seconds: float
    pause_seconds: float


def run(attack: Attack, plan: Plan) -> Outcome:
    """Raises RuntimeError where it is the neighbour that does not start."""
    with tempfile.TemporaryDirectory(prefix="kubenurse-hostile-") as name:
        folder = Path(name)
        scene.make(folder)
        neighbour_environment = scene.environment(network.NEIGHBOUR, folder, tls=attack.tls)
        with running(
            network.NEIGHBOUR, neighbour_environment, tree=plan.tree, folder=folder
        ) as neighbour:
            try:
                with _attacked(attack, plan, folder) as agent:
                    outcome = _observe(attack, plan, agent, neighbour)
            except RuntimeError as problem:
                return Outcome(attack.name, ended=str(problem))
            finally:
                _keep_log(attack, folder)
        if agent.hung and not outcome.ended:
            return replace(outcome, ended="SIGTERM did not end it")
        return outcome


@contextlib.contextmanager
def _attacked(attack: Attack, plan: Plan, folder: Path) -> Iterator[Agent]:
    environment = scene.environment(network.AGENT, folder, tls=attack.tls)
    for name, value in attack.environment.items():
        environment[name] = value.replace("{folder}", str(folder))
    with running(
        network.AGENT,
        environment,
        tree=plan.tree,
        folder=folder,
        wrapper=attack.wrapper.replace("{folder}", str(folder)),
        unread_stderr=attack.unread_stderr,
        start_seconds=30.0,
    ) as agent:
        yield agent


def _observe(attack: Attack, plan: Plan, agent: Agent, neighbour: Agent) -> Outcome:
    _warm_up(agent)
    judge = attack.judge(agent)
    honest = _Honest(agent, neighbour)
    before = agent.footprint()
    agent.start_watching()
    with Witness() as witness:
        opened = _play(attack, plan, agent)
        seen = witness.testify()
    peak = agent.peak
    wrong = _patiently(agent, judge)
    hangs = wrong is None and agent.process.poll() is None
    after, settled_seconds = _settle(agent, before, attack.learns_mib, plan.settle_seconds)
    neighbour_failures, own_failures, missed = honest.since()
    return Outcome(
        attack.name,
        ended="does not answer any more" if hangs else _ended(agent),
        opened=opened,
        wrong=wrong or "",
        peak_rss_mib=peak.rss_mib,
        peak_sockets_mib=peak.sockets_mib,
        peak_mib=peak.total_mib,
        p99_seconds=seen.p99_seconds,
        slowest_probe_seconds=seen.slowest_probe_seconds,
        neighbour_p99_seconds=seen.neighbour_p99_seconds,
        neighbour_failures=neighbour_failures,
        own_failures=own_failures,
        missed=missed,
        scrapes=seen.scrapes,
        whole_scrapes=seen.whole_scrapes,
        slowest_scrape_seconds=seen.slowest_scrape_seconds,
        rss_before_mib=before.rss_mib,
        rss_after_mib=after.rss_mib,
        learnt_mib=attack.learns_mib,
        settled_seconds=settled_seconds,
        files_before=before.open_files,
        files_after=after.open_files,
        threads_before=before.threads,
        threads_after=after.threads,
    )


class _Honest:
    """What became of the checks that nobody attacks, since this was made."""

    def __init__(self, agent: Agent, neighbour: Agent) -> None:
        self._agent = agent
        self._neighbour = neighbour
        self._before = self._read()

    def since(self) -> tuple[float, float, float]:
        """Return the neighbour's failures, the attacked one's own, its missed ticks."""
        now = self._read()
        return now[0] - self._before[0], now[1] - self._before[1], now[2] - self._before[2]

    def _read(self) -> tuple[float, float, float]:
        own = (f'type="path_{scene.NODES[network.NEIGHBOUR]}"', 'type="honest"')
        path = f'type="path_{scene.NODES[network.AGENT]}"'
        failures, missed = "kubenurse_check_failures_total", "kubenurse_missed_checks_total"
        return (
            _number(self._neighbour, lambda: self._neighbour.total(failures, path)),
            _number(self._agent, lambda: sum(self._agent.total(failures, one) for one in own)),
            _number(self._agent, lambda: sum(self._agent.total(missed, one) for one in own)),
        )


def _patiently(agent: Agent, ask: Callable[[], T]) -> T | None:
    """Ask again while the agent is busy; None where it does not answer, or is no more."""
    ends = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return ask()
        except (OSError, http.client.HTTPException):
            if time.monotonic() > ends or agent.process.poll() is not None:
                return None
            time.sleep(0.5)


def _number(agent: Agent, ask: Callable[[], float]) -> float:
    found = _patiently(agent, ask)
    return math.nan if found is None else found


def _warm_up(agent: Agent) -> None:
    """Whatever is imported or allocated at the first use is there before we look."""
    ends = time.monotonic() + _WARM_SECONDS
    while time.monotonic() < ends:
        for path in ("/alwayshappy", "/metrics", "/alive"):
            with contextlib.suppress(OSError, http.client.HTTPException):
                agent.get(path)
        time.sleep(0.05)


def _play(attack: Attack, plan: Plan, agent: Agent) -> int:
    """Play the attack in a process of its own to its end; returns how many connections it had.

    Raises AssertionError where it is the attack that failed.
    """
    seconds = plan.seconds * attack.times
    target = Target(
        address=agent.address,
        folder=agent.folder,
        ends_at=time.monotonic() + seconds,
        connections=attack.connections,
        addresses=attack.addresses,
        pause_seconds=plan.pause_seconds,
    )
    process = _FORK.Process(target=play, args=(attack, target), daemon=True)
    process.start()
    process.join(seconds + _GIVE_UP_SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()
    else:
        assert process.exitcode == 0, f"the attack {attack.name} itself failed"
    return target.opened.value


def play(attack: Attack, target: Target) -> None:
    """The whole life of an attack's process."""
    os.nice(5)  # It stands for other machines: it gets what the agents and the witness leave.
    attack.run(target)
    os._exit(0)  # Threads that still serve are nobody's any more.


def _settle(
    agent: Agent, before: Footprint, learns_mib: float, seconds: float
) -> tuple[Footprint, float]:
    """Wait until memory, files and threads are back where they were, for ``seconds`` at most."""
    began = time.monotonic()
    while True:
        now, took = agent.footprint(), time.monotonic() - began
        back = (
            now.rss_mib <= before.rss_mib + learns_mib + RSS_MIB_MORE
            and now.open_files <= before.open_files + FILES_MORE
            and now.threads <= before.threads + THREADS_MORE
            and took >= min(2.0, seconds)
        )
        if back or took >= seconds:
            return now, took
        time.sleep(0.2)


def _ended(agent: Agent) -> str:
    code = agent.process.poll()
    if code is None:
        return ""
    if agent.group is not None and agent.group.out_of_memory_kills():
        return "killed for memory"
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"


def _keep_log(attack: Attack, folder: Path) -> None:
    """For whoever asks why: KUBENURSE_HOSTILE_LOGS names a folder."""
    kept = os.environ.get("KUBENURSE_HOSTILE_LOGS")
    if kept:
        for log in folder.glob("*.log"):
            shutil.copy(log, Path(kept) / f"{attack.name}-{log.name}")
