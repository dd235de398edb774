"""Agents in simulated time: the real plan, ring, ticks, judging and views over a Network.

What an agent sees goes to who checks it as the bytes of a header, to agents alone that it knows.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from kubenurse_otel import semconv
from kubenurse_otel.config import ChecksConfig, Config, IdentityConfig, ServerConfig
from kubenurse_otel.config.urls import parse_url
from kubenurse_otel.diagnosis import wire
from kubenurse_otel.diagnosis.diagnosis import Diagnosis, Judgement
from kubenurse_otel.diagnosis.verdict import Direction, Kind, State
from kubenurse_otel.discovery.candidates import candidate, choose
from kubenurse_otel.model import Neighbour, Neighbourhood, Target, TargetKind
from kubenurse_otel.plan.explore import Explore
from kubenurse_otel.plan.targets import explored, plan
from kubenurse_otel.plan.ticks import ticks_of
from kubenurse_otel.probe import agent_headers
from kubenurse_otel.probe.half_open import HalfOpen
from kubenurse_otel.process.loop_lag import PERIOD_SECONDS
from kubenurse_otel.state.judging import Judging
from kubenurse_otel.state.known_agents import KnownAgents
from simulation.network import SYN_ACK_AGAIN, WAYS_TO_FAIL, Network, result

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random
    from socket import AddressFamily

    from kubenurse_otel.diagnosis.verdict import Verdict
    from kubenurse_otel.diagnosis.view import View
    from simulation.network import Shown

STARTED = 1_800_000_000.0
"""Unix seconds at 0."""
INTERVAL = 5.0
LOOK_SECONDS = 1.0
"""How often it is asked whether there is haste still (plan/haste.py)."""
NOT_QUIET_SECONDS = 2.0
"""A judgement waits so long for a quiet moment (app.py)."""
HASTE_SECONDS = 0.1
MOST_HASTY = 16
DISCOVERY_SECONDS = (0.1, 1.5)
"""How long after a change an agent has heard of it."""
RINGS_LIMIT = 10
AGENT_PORT = 8080

_HEADER = semconv.HEADER_VIEW.lower().encode()


@dataclass(eq=False, slots=True)
class Agent:
    node: str
    cluster: Cluster
    neighbourhood: Neighbourhood = field(default_factory=Neighbourhood)
    config: Config = field(default_factory=Config)
    targets: dict[str, Target] = field(default_factory=dict)
    paths: list[Target] = field(default_factory=list)
    running: set[str] = field(default_factory=set)
    at_once: set[str] = field(default_factory=set)
    """Checked beside the schedule: no quiet moment follows."""
    waiting: set[str] = field(default_factory=set)
    """Whose tick waits for the end of the check before."""
    clock_ahead: float = field(init=False)
    """Of ours: each node's monotonic clock began at another time."""
    explore: Explore = field(init=False)
    is_hasty: bool = False
    hasty_checks: int = 0
    turn: int = 0
    judging: Judging = field(init=False)
    known: KnownAgents = field(init=False)
    half_open: HalfOpen = field(init=False)
    says: frozenset[tuple[Kind, str, Direction]] = frozenset()

    def __post_init__(self) -> None:
        clock = self.cluster.clock
        self.clock_ahead = self.cluster.random.uniform(0.0, 1e6)
        self.known = KnownAgents(lambda: self.neighbourhood)
        self.neighbourhood = Neighbourhood(own_node_name=self.node)
        self.explore = Explore(self.node)
        self.half_open = HalfOpen(lambda: AGENT_PORT, ask=self._half_open_connections)
        self.judging = Judging(
            lambda node: Diagnosis(
                node=node, interval_seconds=INTERVAL, timeout_seconds=5.0, slow_seconds=1.0
            ),
            lambda: self.neighbourhood,
            interval_seconds=INTERVAL,
            tell=self._tell,
            half_open=lambda now, tell: tell(
                self.known.latest_by_node(self.half_open.look(self.known.addresses, now))
            ),
            clock=clock,
            wall_clock=clock,
        )

    def _half_open_connections(
        self, _of: AddressFamily, _port: int
    ) -> tuple[dict[tuple[str, int], bool], bool]:
        """What the kernel would tell: each connection has a far port of its own."""
        cluster = self.cluster
        found = {
            (cluster.address(asker), round(at * 1000)): cluster.now - at >= SYN_ACK_AGAIN
            for asker, at in cluster.network.half_open(self.node, cluster.now)
        }
        return found, True

    def _tell(self, judgement: Judgement) -> None:
        """The direction of a verdict may be known later than the rest."""
        said = {
            (one.kind, one.culprit, one.direction): one
            for one in judgement.verdicts
            if one.state in (State.RAISED, State.FLAPPING)
        }
        new = said.keys() - self.says
        now = self.cluster.now
        self.cluster.named += [Named(now, self.node, said[key]) for key in sorted(new)]
        self.says = frozenset(said)


@dataclass(frozen=True, slots=True)
class Named:
    """That ``by`` raised ``verdict`` at ``at``, or found its direction."""

    at: float
    by: str
    verdict: Verdict


class Cluster:
    """``size`` nodes in ``zones`` zones, each with an agent. Times are seconds from 0 on."""

    def __init__(self, size: int, random: Random, *, zones: int = 3, tls: bool = False) -> None:
        self.random = random
        self.network = Network(random, agents_by_tls=tls)
        self.zones = {f"node-{n:03}": f"zone-{n % zones}" for n in range(size)}
        self.present = list(self.zones)
        """Nodes that discovery lists: there, and not leaving."""
        self.liars: dict[str, Callable[[View, Cluster], View | bytes]] = {}
        """What they say in the place of what they see; bytes are the header as it leaves."""
        self.agents: dict[str, Agent] = {}
        self.now = 0.0
        self.named: list[Named] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()
        self._addresses = count(1)
        self._pods: dict[str, Neighbour] = {}
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
        agent = self.agents[node] = Agent(node, self)
        self.after(self.random.uniform(0.0, PERIOD_SECONDS), lambda: self._beat(agent))

    def address(self, node: str) -> str:
        return self._pods[node].pod_ip

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
            agents=tuple(self._pods[node] for node in self.agents if node != agent.node),
            state="ok",
            listed_at=self.now,
            own_node_name=agent.node,
            own_zone=self.zones[agent.node],
            own_node_leaving=agent.node not in self.present,
        )
        config = Config(
            identity=IdentityConfig(node_name=agent.node),
            server=ServerConfig(use_tls=self.network.agents_by_tls),
            checks=ChecksConfig(
                ingress_url=parse_url("https://ingress.example"),
                service_url=parse_url("http://kubenurse.kube-system.svc:8080"),
                api_server_host="10.96.0.1",
            ),
        )
        agent.config = config
        targets = {target.key: target for target in plan(config, agent.neighbourhood).targets}
        new = [key for key, one in targets.items() if agent.targets.get(key) != one]
        agent.targets = targets
        agent.paths = [one for one in targets.values() if one.kind is TargetKind.PATH]
        agent.judging.retain(targets.values())
        for key in new:
            self._set_timer(agent, targets[key])

    def heal(self) -> None:
        """Everything is well again; whose agent was gone gets a new one."""
        self.network = Network(
            self.random,
            background_loss=self.network.background_loss,
            agents_by_tls=self.network.agents_by_tls,
        )
        for node in self.present:
            if node not in self.agents:
                self.add(node)
        self.changed()

    # --- time -----------------------------------------------------------------------------------

    def clock(self) -> float:
        return STARTED + self.now

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

    def _set_timer(self, agent: Agent, target: Target) -> None:
        ticks = ticks_of(
            agent.node,
            key=target.key,
            interval=target.interval_seconds,
            train_seconds=target.train_seconds,
        )
        at = ticks.at(ticks.after(self.now + agent.clock_ahead)) - agent.clock_ahead
        # Rounding may have it a little before: it must not be the same tick again.
        self._at(at + 1e-6, lambda: self._tick(agent, target))

    def _tick(self, agent: Agent, target: Target) -> None:
        if self._is_gone(agent, target.key, target):
            return
        self._set_timer(agent, target)
        if self.network.agents.get(agent.node) == "mute":  # it is frozen
            return
        if agent.node in self.network.starved:
            agent.judging.lagged(self.random.uniform(0.0, 3.0))
        if target.key in agent.running:
            agent.waiting.add(target.key)
        else:
            self._begin(agent, target)

    def _begin(self, agent: Agent, target: Target) -> None:
        agent.running.add(target.key)
        self._check(agent, target, self._done)

    def _is_gone(self, agent: Agent, key: str, target: Target) -> bool:
        is_other = agent.targets.get(key) != target and target.kind is not TargetKind.EXPLORE
        return self.agents.get(agent.node) is not agent or is_other

    def _check(
        self, agent: Agent, target: Target, done: Callable[[Agent, Target, Shown, float], None]
    ) -> None:
        network, started = self.network, self.now
        target = self._asked(agent, target)
        if target.neighbour is not None:
            ask = network.full_size if target.full_size else network.path
            shown = ask(agent.node, target.neighbour.node_name)
            network.knock(agent.node, target.neighbour.node_name, started)
            if self.agents.get(target.neighbour.node_name) is None and shown.error is None:
                shown = WAYS_TO_FAIL["refused"]
        else:
            shown = network.common(agent.node, target.kind, self.present, started)
        if agent.node in network.starved and self.random.random() < 0.4:
            shown = WAYS_TO_FAIL["starved"]
        self.after(shown.seconds, lambda: done(agent, target, shown, started))

    def _asked(self, agent: Agent, target: Target) -> Target:
        """Whom ``target`` leads to now."""
        if target.kind is not TargetKind.EXPLORE:
            return target
        first = agent.judging.explore_first()
        neighbour = agent.explore.next(
            agent.neighbourhood, again=first.again, witnesses=first.witnesses
        )
        return target if neighbour is None else explored(agent.config, neighbour)

    def _done(self, agent: Agent, target: Target, shown: Shown, started: float) -> None:
        agent.running.discard(target.key)
        if target.key in agent.waiting:
            agent.waiting.discard(target.key)
            if self.agents.get(agent.node) is agent and target.key in agent.targets:
                self._begin(agent, agent.targets[target.key])
        if self._is_gone(agent, target.key, target):
            return
        view = self._heard(agent, target, shown)
        agent.judging.note(result(target, shown, STARTED + started, view=view))
        is_quiet = target.key not in agent.at_once
        agent.judging.judge(late_seconds=0.0 if is_quiet else NOT_QUIET_SECONDS)
        agent.at_once.discard(target.key)

    def _beat(self, agent: Agent) -> None:
        """Once a period, whatever is checked."""
        if self.agents.get(agent.node) is not agent:
            return
        self.after(PERIOD_SECONDS, lambda: self._beat(agent))
        if self.network.agents.get(agent.node) == "mute":  # it is frozen
            return
        agent.judging.judge(late_seconds=NOT_QUIET_SECONDS)
        for wanted in agent.judging.sizes_wanted():
            if wanted.key not in agent.running:
                agent.at_once.add(wanted.key)
                self._begin(agent, wanted)
        if not agent.is_hasty:
            self._hurry(agent)

    def _heard(self, agent: Agent, target: Target, shown: Shown) -> str:
        if target.neighbour is None or shown.error is not None:
            return ""
        return self._view(target.neighbour.node_name, self._pods[agent.node])

    def _view(self, node: str, asker: Neighbour) -> str:
        """What the agent on ``node`` says in its answer to ``asker``, as it is read."""
        other = self.agents.get(node)
        if other is None or not other.known.is_asking(asker.pod_ip, asker.pod_name):
            return ""
        said = other.judging.encoded_view()
        lie, view = self.liars.get(node), other.judging.view()
        if lie is not None and view is not None:
            told = lie(view, self)
            said = told if isinstance(told, bytes) else wire.encode(told).encode("ascii")
        return agent_headers.view([(_HEADER, said)]) if said else ""

    # --- haste ----------------------------------------------------------------------------------

    def _hurry(self, agent: Agent) -> None:
        """A second of it, where it is wanted."""
        agent.is_hasty = self.agents.get(agent.node) is agent and agent.judging.wants_haste()
        if not agent.is_hasty:
            return
        for number in range(round(LOOK_SECONDS / HASTE_SECONDS)):
            self.after(number * HASTE_SECONDS, lambda: self._check_hastily(agent))
        self.after(LOOK_SECONDS, lambda: self._hurry(agent))

    def _check_hastily(self, agent: Agent) -> None:
        if agent.paths and agent.hasty_checks < MOST_HASTY:
            agent.hasty_checks += 1
            agent.turn = (agent.turn + 1) % len(agent.paths)
            self._check(agent, agent.paths[agent.turn], self._hastily_done)

    def _hastily_done(self, agent: Agent, target: Target, shown: Shown, started: float) -> None:
        agent.hasty_checks -= 1
        if not self._is_gone(agent, target.key, target):
            view = self._heard(agent, target, shown)
            agent.judging.note_hasty(result(target, shown, STARTED + started, view=view))
