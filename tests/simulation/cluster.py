"""Agents in simulated time: the real package's plan, ring, phases and diagnosis over a Network."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING

from kubenurse_otel.config import ChecksConfig, Config, IdentityConfig
from kubenurse_otel.config.urls import parse_url
from kubenurse_otel.diagnosis.diagnosis import Diagnosis, Judgement
from kubenurse_otel.discovery.candidates import candidate, choose
from kubenurse_otel.model import Neighbour, Neighbourhood, Target
from kubenurse_otel.plan.schedule import Place, choose_phase
from kubenurse_otel.plan.targets import plan
from simulation.network import WAYS_TO_FAIL, Network, result

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from kubenurse_otel.diagnosis.verdict import Verdict
    from kubenurse_otel.diagnosis.view import View

INTERVAL = 5.0
JUDGE_SECONDS = 1.0
HASTE_SECONDS = 0.1
DISCOVERY_SECONDS = (0.1, 1.5)
"""How long after a change an agent has heard of it."""
RINGS_LIMIT = 10

Liar = "Callable[[View, Cluster], View]"


@dataclass(slots=True)
class Agent:
    node: str
    diagnosis: Diagnosis
    neighbourhood: Neighbourhood = field(default_factory=Neighbourhood)
    targets: dict[str, Target] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    judged_at: float = 0.0
    is_hasty: bool = False
    judgement: Judgement = field(default_factory=Judgement)


@dataclass(frozen=True, slots=True)
class Named:
    """That ``by`` raised ``verdict`` at ``at``."""

    at: float
    by: str
    verdict: Verdict


class Cluster:
    """``size`` nodes in ``zones`` zones, each with an agent. Times are seconds from 0 on."""

    def __init__(self, size: int, random: Random, *, zones: int = 3) -> None:
        self.random = random
        self.network = Network(random)
        self.zones = {f"node-{n:03}": f"zone-{n % zones}" for n in range(size)}
        self.present = list(self.zones)
        """Nodes that discovery lists: there, and not leaving."""
        self.liars: dict[str, Callable[[View, Cluster], View]] = {}
        self.agents: dict[str, Agent] = {}
        self.now = 0.0
        self.named: list[Named] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()
        self._addresses = count(1)
        self._pods: dict[str, Neighbour] = {}
        self._candidates: list[object] = []
        for node in self.zones:
            self.add(node)
        self.changed(at_once=True)

    # --- nodes come and go ----------------------------------------------------------------------

    def add(self, node: str) -> None:
        """A new agent on ``node``; ``changed`` tells the others."""
        number = next(self._addresses)
        address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        self._pods[node] = Neighbour(
            pod_name=f"agent-{number}", node_name=node, pod_ip=address, zone=self.zones[node]
        )
        self.agents[node] = Agent(
            node,
            Diagnosis(node=node, interval_seconds=INTERVAL, timeout_seconds=5.0, slow_seconds=1.0),
        )

    def stop(self, node: str) -> None:
        """The agent on ``node`` is gone."""
        self.agents.pop(node, None)

    def changed(self, *, at_once: bool = False) -> None:
        """Let every agent hear who is there, each in its own time."""
        for agent in list(self.agents.values()):
            delay = 0.0 if at_once else self.random.uniform(*DISCOVERY_SECONDS)
            self.after(delay, lambda agent=agent: self._discover(agent))

    def _discover(self, agent: Agent) -> None:
        if self.agents.get(agent.node) is not agent:
            return
        if self.network.is_off(agent.node):
            self.after(1.0, lambda: self._discover(agent))  # no word comes in
            return
        pods = [self._pods[node] for node in self.present if node != agent.node]
        chosen = choose(map(candidate, pods), agent.node, RINGS_LIMIT)
        agent.neighbourhood = Neighbourhood(
            chosen=chosen,
            known=tuple(pods),
            state="ok",
            own_node_name=agent.node,
            own_zone=self.zones[agent.node],
            own_node_leaving=agent.node not in self.present,
        )
        config = Config(
            identity=IdentityConfig(node_name=agent.node),
            checks=ChecksConfig(
                ingress_url=parse_url("https://ingress.example"),
                service_url=parse_url("http://kubenurse.kube-system.svc:8080"),
                api_server_host="10.96.0.1",
            ),
        )
        targets = {target.key: target for target in plan(config, agent.neighbourhood).targets}
        new = [key for key, one in targets.items() if agent.targets.get(key) != one]
        agent.targets = targets
        agent.diagnosis.retain(targets.values())
        agent.places = {key: at for key, at in agent.places.items() if key in targets}
        for key in new:
            agent.places.pop(key, None)
        for key in new:
            taken = Counter(agent.places.values())
            agent.places[key] = choose_phase(agent.node, targets[key], taken)
            phase, _interval = agent.places[key]
            first = self.now + (phase - self.now) % INTERVAL
            self._at(first, lambda key=key: self._tick(agent, key, agent.targets.get(key)))

    def heal(self) -> None:
        """Everything is well again; whose agent was gone gets a new one."""
        background_loss = self.network.background_loss
        self.network = Network(self.random, background_loss=background_loss)
        for node in self.present:
            if node not in self.agents:
                self.add(node)
        self.changed()

    # --- time -----------------------------------------------------------------------------------

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        self._at(self.now + seconds, what)

    def _at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._number), what))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, what = heapq.heappop(self._events)
            what()
        self.now = until

    # --- checks ---------------------------------------------------------------------------------

    def _tick(self, agent: Agent, key: str, target: Target | None) -> None:
        if target is None or self._is_gone(agent, key, target):
            return
        if self.network.agents.get(agent.node) == "mute":  # it is frozen
            self.after(INTERVAL, lambda: self._tick(agent, key, target))
            return
        if agent.node in self.network.starved:
            agent.diagnosis.lagged(self.random.uniform(0.0, 3.0), self.now)
        if key not in agent.running:
            self._check(agent, target)
        self.after(INTERVAL, lambda: self._tick(agent, key, target))

    def _is_gone(self, agent: Agent, key: str, target: Target) -> bool:
        return self.agents.get(agent.node) is not agent or agent.targets.get(key) != target

    def _check(self, agent: Agent, target: Target, *, is_hasty: bool = False) -> None:
        network, started = self.network, self.now
        if target.neighbour is not None:
            shown = network.path(agent.node, target.neighbour.node_name)
            if self.agents.get(target.neighbour.node_name) is None and shown.error is None:
                shown = WAYS_TO_FAIL["refused"]
        else:
            shown = network.common(agent.node, target.kind, self.present, started)
        if agent.node in network.starved and self.random.random() < 0.4:
            shown = WAYS_TO_FAIL["starved"]
        if not is_hasty:
            agent.running.add(target.key)
        self.after(
            shown.seconds,
            lambda: self._done(agent, target, result(target, shown, started), is_hasty=is_hasty),
        )

    def _done(self, agent: Agent, target: Target, checked: object, *, is_hasty: bool) -> None:
        if not is_hasty:
            agent.running.discard(target.key)
        if self._is_gone(agent, target.key, target):
            return
        agent.diagnosis.note(checked, self.now, is_hasty=is_hasty)
        if is_hasty:
            return
        if target.neighbour is not None and checked.failure is None:
            other = self.agents.get(target.neighbour.node_name)
            if other is not None:
                agent.diagnosis.hear(self._view(other), self.now)
        if self.now - agent.judged_at >= JUDGE_SECONDS:
            self._judge(agent)

    def _view(self, agent: Agent) -> View:
        view = agent.diagnosis.own_view(self.now)
        lie = self.liars.get(agent.node)
        return view if lie is None else replace(lie(view, self), node=agent.node)

    def _judge(self, agent: Agent) -> None:
        agent.judged_at = self.now
        agent.judgement = agent.diagnosis.judge(agent.neighbourhood, self.now)
        self.named += [Named(self.now, agent.node, one) for one in agent.judgement.raised]
        if agent.diagnosis.wants_haste(self.now) and not agent.is_hasty:
            agent.is_hasty = True
            self._hurry(agent)

    def _hurry(self, agent: Agent) -> None:
        agent.is_hasty = agent.diagnosis.wants_haste(self.now)
        paths = [one for one in agent.targets.values() if one.neighbour is not None]
        if not agent.is_hasty or not paths or self.agents.get(agent.node) is not agent:
            return
        self._check(agent, self.random.choice(paths), is_hasty=True)
        self.after(HASTE_SECONDS, lambda: self._hurry(agent))
