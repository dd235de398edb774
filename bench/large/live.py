"""The live run: steady state, a watch storm, and a restart of the API server, of several agents
at once, so that what differs between them is not the hour.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench import machine
from bench.large import apiserver, borrowed, objects
from bench.large.agents import OPENMETRICS, Agent, Scraper, Variant
from bench.large.figures import between, failures, series
from bench.network import BenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.large.borrowed import Administrator

VARIANTS: Final = (
    Variant("limit-10", 64001, 10, {}),
    Variant("limit-20", 64002, 20, {}),
    Variant("arena-2", 64003, 20, {"MALLOC_ARENA_MAX": "2"}),
    Variant("arena-1", 64004, 20, {"MALLOC_ARENA_MAX": "1"}),
)
STORM_SECONDS: Final = 60.0
AFTER_SECONDS: Final = 90.0
_RECONNECT_SECONDS: Final = 180.0


class Run:
    """Phases of one run; ``results`` fills as they pass."""

    def __init__(
        self, server: Administrator, agents: Sequence[Agent], cast: Sequence[int], count: int
    ) -> None:
        self._server = server
        self._agents = agents
        self._count = count
        self._audit = apiserver.AuditLog(server.directory / "audit.log")
        storm = range(0, count, max(1, count // 500))
        # Of our neighbours only two leave for a while, and never a measured agent's own node.
        kept = set(cast) - set(cast[len(agents) + 2 : len(agents) + 4])
        leaving = cast[len(agents) + 2 : len(agents) + 4]
        self._stormy = [*leaving, *(n for n in storm if n not in kept and n not in leaving)]
        self._cordoned = [n for n in range(1, count, max(2, count // 10)) if n not in cast][:10]
        self._stormy = [n for n in self._stormy if n not in self._cordoned]
        self._seen = [*(agent.number for agent in agents), *self._cordoned]
        self.results: dict[str, Any] = {
            "machine": machine.describe(),
            "stormy": len(self._stormy),
            "cordoned": len(self._cordoned),
        }

    def all(self, seconds: float) -> None:
        # A few nodes are cordoned in any large cluster, and each heartbeat of them comes to us.
        for number in self._cordoned:
            objects.cordon(self._server, number, on=True)
        for agent in self._agents:
            agent.wait_for_neighbours(self._count - 1 - len(self._cordoned))
        kubelets = objects.Kubelets(self._server, self._seen, self._count)
        scraper = Scraper(self._agents)
        kubelets.start()
        scraper.start()
        try:
            self.phase("warm_up", lambda: time.sleep(20.0))
            self.phase("steady", lambda: self._steady(seconds))
            self.results["exposition"] = {a.variant.name: _exposition(a) for a in self._agents}
            self.results["tasks"] = {a.variant.name: a.tasks() for a in self._agents}
            took: list[float] = []
            self.phase("storm", lambda: took.append(self._storm()))
            self.results["storm_took"] = took[0]
            self.phase("after_storm", lambda: time.sleep(AFTER_SECONDS))
            self.phase("restart", self._restart)
            self.phase("after_restart", lambda: time.sleep(AFTER_SECONDS))
            self.results["tasks_after"] = {a.variant.name: a.tasks() for a in self._agents}
        finally:
            kubelets.end()
            scraper.end()
        for number in self._cordoned:
            objects.cordon(self._server, number, on=False)
        self.results["logs"] = {a.variant.name: a.log()[-3000:] for a in self._agents}
        self.results["scrape_failures"] = scraper.failures
        self.results["kubelets_problem"] = kubelets.problem

    def phase(self, name: str, work: Callable[[], object]) -> None:
        """Do ``work`` and note what each agent and the API server made of it."""
        self._audit.skip()
        busy, idle = _machine()
        server, own = _cpu(self._server), time.process_time()
        before = [agent.read() for agent in self._agents]
        work()
        after = [agent.read() for agent in self._agents]
        more_busy, more_idle = _machine()
        asked = self._audit.read()
        agents = {
            agent.variant.name: between(then, now)
            for agent, then, now in zip(self._agents, before, after, strict=True)
        }
        self.results[name] = {
            "machine_busy_percent": (more_busy - busy)
            / max(1, more_busy - busy + more_idle - idle)
            * 100,
            "api_server_cpu": _cpu(self._server) - server if name != "restart" else None,
            "bench_cpu": time.process_time() - own,
            "agents": agents,
            "failures": {
                agent.variant.name: failures(then, now)
                for agent, then, now in zip(self._agents, before, after, strict=True)
            },
            "audit": {
                "requests": dict(asked.requests),
                "codes": dict(asked.codes),
                "events": dict(asked.events),
                "bytes": dict(asked.bytes),
            },
        }
        short = {k: round(v, 2) for k, v in next(iter(agents.values())).items()}
        print(f"{name}: {json.dumps(short)}", file=sys.stderr, flush=True)

    def _steady(self, seconds: float) -> None:
        """Nothing happens; memory is noted once a minute."""
        ends = time.monotonic() + seconds
        memory: dict[str, list[float]] = {agent.variant.name: [] for agent in self._agents}
        while (left := ends - time.monotonic()) > 0:
            for agent in self._agents:
                memory[agent.variant.name].append(agent.memory()["VmRSS"])
            time.sleep(min(left, 60.0))
        self.results["steady_rss"] = memory

    def _storm(self) -> float:
        return objects.storm(self._server, self._stormy, STORM_SECONDS)

    def _restart(self) -> None:
        """Stop, start again on the same etcd, and wait until every agent has heard of it."""
        chosen = [_chosen(agent) for agent in self._agents]
        began = time.monotonic()
        self._server.stop()
        down = time.monotonic()
        self._server.start(*apiserver.options(self._server.directory))
        up = time.monotonic()
        heard: dict[str, float] = {}
        while len(heard) < len(self._agents):
            for agent in self._agents:
                if agent.variant.name not in heard and _state(agent) == "ok":
                    heard[agent.variant.name] = time.monotonic() - up
            if time.monotonic() - up > _RECONNECT_SECONDS:
                raise BenchError(f"only {heard} came back; {[_state(a) for a in self._agents]}")
            time.sleep(0.2)
        self.results["restart_times"] = {
            "stopping": down - began,
            "down": up - down,
            "heard_after": heard,
            "neighbours_kept": chosen == [_chosen(agent) for agent in self._agents],
        }


def _chosen(agent: Agent) -> list[str]:
    names: list[str] = json.loads(agent.get("/alive"))["details"]["neighbours"]["chosen"]
    return names


def _state(agent: Agent) -> str:
    with contextlib.suppress(OSError):
        return str(json.loads(agent.get("/alive"))["last_check_result"]["neighbourhood_state"])
    return "does not answer"


def _cpu(server: Administrator) -> float:
    return server.cpu_seconds()


def _machine() -> tuple[int, int]:
    """(busy, idle) ticks of all cores."""
    with Path("/proc/stat").open(encoding="ascii") as stat:
        spent = [int(n) for n in stat.readline().split()[1:9]]
    idle = spent[3] + spent[4]
    return sum(spent) - idle, idle


def _exposition(agent: Agent) -> dict[str, Any]:
    text = agent.get("/metrics")
    return {
        "series": series(text.decode()),
        "text": len(text),
        "text_gzip": len(agent.get("/metrics", zipped=True)),
        "openmetrics": len(agent.get("/metrics", OPENMETRICS)),
        "openmetrics_gzip": len(agent.get("/metrics", OPENMETRICS, zipped=True)),
    }


def addresses(numbers: Sequence[int]) -> list[str]:
    return [borrowed.daemonset.address(number) for number in numbers]
