"""From what is followed to a Neighbourhood: own pod, candidates, ring, nodes of the chosen, state.

Runs in discovery's thread, one ``take`` at a time; blocks while it reads the chosen's nodes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec

from kubenurse_otel.discovery.api import ApiError, ApiServer
from kubenurse_otel.discovery.book import Book
from kubenurse_otel.discovery.follow import Follower, Selection, Snapshot
from kubenurse_otel.discovery.nodes import NodeView, decode_node
from kubenurse_otel.discovery.pods import AgentPod, decode_pod, find_own
from kubenurse_otel.discovery.schema import RawList
from kubenurse_otel.discovery.selection import Candidate, ring, youngest
from kubenurse_otel.model import Neighbour, Neighbourhood, is_dns_subdomain

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection

    from kubenurse_otel.config import Config
    from kubenurse_otel.discovery.timings import Timings

NODES_PATH: Final = "/api/v1/nodes"
SIZE_READ_SECONDS: Final = 5.0
MAX_COUNT_BYTES: Final = 1024 * 1024
MAX_ROUNDS: Final = 50
"""Choices of one survey: each drops a leaving node that the one before has read."""
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


class Survey:
    """Follows pods, cordoned nodes and our own node; ``take`` makes a Neighbourhood of them."""

    def __init__(
        self,
        config: Config,
        server: ApiServer,
        timings: Timings,
        *,
        stopping: threading.Event,
        on_change: Callable[[], None],
    ) -> None:
        self._config = config
        self._server = server
        self._timings = timings
        self._stopping = stopping
        self._on_change = on_change
        self._taints = frozenset(config.discovery.leaving_taints)
        self._node_book = Book(server, timings, self._nodes_kind())
        self._pod_book = Book(server, timings, _pods_kind(config))
        self._asks_nodes = not config.discovery.allow_unschedulable
        """kubenurse's role holds nodes only where unschedulable ones are left out."""
        self._pods = Follower(
            server,
            _pods(config),
            timings,
            stopping=stopping,
            on_change=on_change,
            expected=self._count_nodes,
        )
        self._cordoned = self._follow_nodes("cordoned nodes", "spec.unschedulable=true")
        self._own_node: Follower[NodeView] | None = None
        self._own_node_seen = False
        self._first_listed_at: float | None = None

    def start(self) -> None:
        self._pods.start()
        if self._asks_nodes:
            self._cordoned.start()

    def join(self, seconds: float) -> None:
        """Wait for the threads, which end when ``stopping`` is set and the server is closed."""
        deadline = time.monotonic() + seconds
        for follower in (self._pods, self._cordoned, self._own_node):
            if follower is not None:
                follower.join(max(0.0, deadline - time.monotonic()))

    def take(self, failed: Collection[str]) -> tuple[Neighbourhood | None, bool]:
        """Return (what is known now, whether nodes are left to be read).

        ``failed`` are nodes whose check failed. None before the API server's first word.
        """
        pods = self._pods.snapshot()
        if pods.heard_at is None:
            if pods.problem is None:
                return None, False
            return Neighbourhood(state=str(pods.problem)), False
        if self._first_listed_at is None:
            self._first_listed_at = pods.heard_at
        own = find_own(pods.items.values(), self._config.identity)
        own_node = self._config.identity.node_name or (own.node_name if own is not None else "")
        if not own_node and self._is_new():
            return None, False
        own_view, node_problem = self._look_at_own_node(own_node)
        candidates = self._candidates(pods, own, own_node)
        chosen, complete = self._choose(candidates, own_node, failed)
        return Neighbourhood(
            chosen=chosen,
            known=tuple(one.neighbour for one in youngest(candidates)),
            state=self._state(pods, own, own_node, bool(candidates), node_problem),
            own_node_name=own_node,
            own_zone=own_view.zone,
            own_node_leaving=bool(own_view.leaving),
            listed_at=pods.heard_at,
        ), not complete

    # --- candidates and the ring ----------------------------------------------------------------

    def _candidates(
        self, pods: Snapshot[AgentPod], own: AgentPod | None, own_node: str
    ) -> list[Candidate]:
        leaving: set[str] = set()
        if self._asks_nodes:
            leaving = set(self._cordoned.snapshot().items) | self._node_book.gone()
        gone = self._pod_book.gone()
        return [
            self._known_better(pod)
            for pod in pods.items.values()
            if pod.eligible
            and pod is not own
            and pod.node_name != own_node
            and pod.node_name not in leaving
            and (pod.whole or pod.name not in gone)
        ]

    def _known_better(self, pod: AgentPod) -> Candidate:
        if pod.whole:
            return pod.candidate
        read = self._pod_book.view(pod.name)
        return read.candidate if read is not None else pod.candidate

    def _choose(
        self,
        candidates: list[Candidate],
        own_node: str,
        failed: Collection[str],
        short: Collection[str],
    ) -> tuple[tuple[Neighbour, ...], bool]:
        """Return (the ring's choice without those that reading shows to leave, all are read).

        ``short`` are the pods of which only a line is known; ``candidates`` lose who leaves.
        """
        limit = self._config.discovery.neighbour_limit
        chosen = ring(candidates, own_node, limit)
        complete = True
        for _ in range(MAX_ROUNDS):
            nodes = [one.neighbour.node_name for one in chosen]
            pods = [
                one.neighbour.pod_name
                for one in (candidates if short else ())
                if one.neighbour.node_name in set(nodes) and one.neighbour.pod_name in short
            ]

    # --- our own node ---------------------------------------------------------------------------

    def _look_at_own_node(self, name: str) -> tuple[NodeView, str]:
        """Return (our node, what is wrong with knowing it). Watched as its kubelet does."""
        if not self._asks_nodes or not is_dns_subdomain(name):
            return NodeView(), ""
        if self._own_node is None:
            self._own_node = self._follow_nodes(f"node {name}", f"metadata.name={name}")
            self._own_node.start()
        nodes = self._own_node.snapshot()
        view = nodes.items.get(name)
        if view is not None:
            self._own_node_seen = True
            return view, str(nodes.problem or "")
        if nodes.heard_at is None:
            return NodeView(), str(nodes.problem or "")
        if self._own_node_seen:
            return NodeView(leaving="deleted"), ""
        # Never there: a wrong name makes us not unready, it is said.
        return NodeView(), f"the API server has no node {name}: is KUBENURSE_NODE_NAME right?"

    def _follow_nodes(self, name: str, field_selector: str) -> Follower[NodeView]:
        return Follower(
            self._server,
            Selection(
                name=name,
                path=NODES_PATH,
                query={"fieldSelector": field_selector},
                decode=lambda content: decode_node(content, self._taints),
            ),
            self._timings,
            stopping=self._stopping,
            on_change=self._on_change,
        )

    # --- what is said ---------------------------------------------------------------------------

    def _state(
        self,
        pods: Snapshot[AgentPod],
        own: AgentPod | None,
        own_node: str,
        has_candidates: bool,  # noqa: FBT001 - private
        node_problem: str,
    ) -> str:
        identity, selector = self._config.identity, self._config.discovery.neighbour_filter
        sentences = [str(pods.problem)] if pods.problem is not None else []
        if own is None and not self._is_new():
            sentences.append(
                f"the filter {selector or '(none)'} misses our own pod {identity.pod_name}"
                " among the running pods: is KUBENURSE_NEIGHBOUR_FILTER or KUBENURSE_NAMESPACE"
                " wrong?"
            )
        if not own_node:
            sentences.append("our own node is unknown: KUBENURSE_NODE_NAME is not set")
        if not has_candidates:
            sentences.append("no neighbour: no other node that stays has a started agent")
        if self._asks_nodes:
            cordoned = self._cordoned.snapshot().problem
            problems = (str(cordoned or ""), node_problem, str(self._book.problem or ""))
            sentences.extend(one for one in dict.fromkeys(problems) if one)
        return "; ".join(dict.fromkeys(sentences)) or "ok"

    def _is_new(self) -> bool:
        """Whether our own pod need not be in the list yet: it is not Running at once."""
        first = self._first_listed_at
        return first is None or time.monotonic() - first < self._timings.own_pod_grace

    # --- the start ------------------------------------------------------------------------------

    def _start_delay(self) -> float:
        """Ask for one node and how many follow: a kilobyte, before a list of megabytes."""
        if not self._asks_nodes:
            return 0.0
        try:
            answer = self._server.get(
                NODES_PATH,
                {"limit": "1"},
                asked="count nodes",
                read_seconds=SIZE_READ_SECONDS,
                accept=_METADATA_ONLY,
            )
            with answer:
                counted = msgspec.json.decode(answer.read(MAX_COUNT_BYTES), type=RawList)
        except (ApiError, msgspec.DecodeError, RecursionError):
            return 0.0  # The list that follows says what is wrong.
        nodes = len(counted.items or ()) + (counted.metadata.remaining_item_count or 0)
        return self._timings.start_jitter(nodes)


def _pods(config: Config) -> Selection[AgentPod]:
    namespace, selector = config.identity.namespace, config.discovery.neighbour_filter
    port = config.checks.path_port
    # Running alone: of a roll-out's eight events a pod, those of its start need not be seen.
    query = {"fieldSelector": "status.phase=Running"}
    if selector:
        query["labelSelector"] = selector
    return Selection(
        name=f"pods in namespace {namespace}" if namespace else "pods",
        path=f"/api/v1/namespaces/{namespace}/pods" if namespace else "/api/v1/pods",
        query=query,
        decode=lambda content: decode_pod(content, port),
    )
