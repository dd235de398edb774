"""From agents to neighbours: finds the candidates, applies the ring, and reads the objects of those
that it picks.

A picked agent's node is read, and in a large cluster its pod: who turns out to be leaving makes
room for the next of the ring. Blocks while it reads; for one thread.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from kubenurse_otel.discovery.candidates import Candidate, ring, youngest
from kubenurse_otel.discovery.nodes import DELETED, NodeView, decode_node
from kubenurse_otel.discovery.object_cache import Kind, ObjectCache
from kubenurse_otel.discovery.pods import GONE, AgentPod, decode_pod, pods_path
from kubenurse_otel.model import Neighbour, NodeState
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from kubenurse_otel.config import Config
    from kubenurse_otel.discovery.api import ApiServer
    from kubenurse_otel.discovery.timings import Timings

NODES_PATH: Final = "/api/v1/nodes"
MAX_ROUNDS: Final = 50
"""The most rounds of a choice. Each round leaves out the nodes and pods that the round before found
to be leaving.
"""


@record(frozen=True, slots=True)
class Choice:
    """``complete`` is false while objects of the chosen ones are still to be read.

    ``outdated``: pods that were picked by their row in a table turned out to be gone.
    """

    chosen: tuple[Neighbour, ...]
    known: tuple[Neighbour, ...]
    complete: bool
    outdated: bool


class Chooser:
    """Chooses neighbours again and again, and remembers what it read of them."""

    def __init__(self, config: Config, server: ApiServer, timings: Timings) -> None:
        self._limit = config.discovery.neighbour_limit
        self._asks_nodes = not config.discovery.allow_unschedulable
        self._nodes = ObjectCache(server, timings, _nodes(config))
        self._pods = ObjectCache(server, timings, _pods(config))

    def problems(self) -> list[str]:
        """Return why nodes or pods could not be read, a sentence each."""
        return [str(one.problem) for one in (self._nodes, self._pods) if one.problem is not None]

    def choose(
        self,
        pods: Iterable[AgentPod],
        own_node: str,
        *,
        leaving: Collection[str],
        failed: Collection[str],
    ) -> Choice:
        """Return the neighbours of ``own_node`` among ``pods`` (ours is not one of them).

        ``leaving`` are nodes known to be cordoned, ``failed`` nodes whose check failed.
        """
        listed = [pod for pod in pods if pod.eligible and pod.node_name != own_node]
        chosen: list[Candidate] = []
        agents, complete = listed, True
        for _ in range(MAX_ROUNDS):
            before = chosen
            agents = self._remaining(listed, leaving)
            chosen = ring((agent.candidate for agent in agents), own_node, self._limit)
            if chosen == before:
                break  # What was read of them changed nothing.
            nodes = [one.neighbour.node_name for one in chosen]
            complete = self._read(nodes, _incomplete(listed, set(nodes)), failed)
        nodes = [one.neighbour.node_name for one in chosen]
        incomplete = _incomplete(listed, set(nodes))
        self._nodes.retain(nodes)
        self._pods.retain(incomplete)
        return Choice(
            chosen=tuple(self._with_node(one.neighbour) for one in chosen),
            known=tuple(one.neighbour for one in youngest(agent.candidate for agent in agents)),
            complete=complete,
            outdated=bool(self._pods.gone()),
        )

    def _remaining(self, listed: Iterable[AgentPod], leaving: Collection[str]) -> list[AgentPod]:
        gone_nodes = self._nodes.gone().union(leaving)
        gone_pods = self._pods.gone()
        return [
            self._best_known(agent)
            for agent in listed
            if agent.node_name not in gone_nodes and (agent.complete or agent.name not in gone_pods)
        ]

    def _best_known(self, agent: AgentPod) -> AgentPod:
        read = None if agent.complete else self._pods.view(agent.name)
        return read if read is not None and read.eligible else agent

    def _read(
        self,
        nodes: Iterable[str],
        incomplete: dict[str, str],
        failed: Collection[str],
    ) -> bool:
        """Read the chosen's nodes, and all pods on them that are not complete."""
        failed_pods = {pod for pod, node in incomplete.items() if node in failed}
        all_pods = self._pods.read(incomplete, failed_pods)
        all_nodes = not self._asks_nodes or self._nodes.read(nodes, failed)
        return all_pods and all_nodes

    def _with_node(self, neighbour: Neighbour) -> Neighbour:
        view = self._nodes.view(neighbour.node_name)
        if view is None:
            return neighbour
        return replace(neighbour, zone=view.zone, node_state=view.state)


def _incomplete(listed: Iterable[AgentPod], nodes: Collection[str]) -> dict[str, str]:
    """Return {pod: node} of the pods on ``nodes`` that must still be read."""
    return {
        one.name: one.node_name for one in listed if not one.complete and one.node_name in nodes
    }


def _nodes(config: Config) -> Kind[NodeView]:
    taints = frozenset(config.discovery.leaving_taints)
    return Kind(
        asked="get nodes",
        path=NODES_PATH,
        decode=lambda content: decode_node(content, taints)[1],
        missing=DELETED,
        is_gone=lambda view: bool(view.leaving),
        recheck_soon=lambda view: view.state is NodeState.NOT_READY,
    )


def _pods(config: Config) -> Kind[AgentPod]:
    port = config.server.path_port
    return Kind(
        asked="get pods",
        path=pods_path(config.identity.namespace),
        decode=lambda content: decode_pod(content, port)[1],
        missing=GONE,
        is_gone=lambda pod: not pod.eligible,
    )
