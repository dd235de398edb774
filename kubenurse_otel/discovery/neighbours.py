"""From the informers to a Neighbourhood: our own pod and node, the choice, the state.

Runs in discovery's thread, one ``current`` at a time; blocks while the chosen are read.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import msgspec

from kubenurse_otel.discovery.api import ApiError, ApiServer, Problem
from kubenurse_otel.discovery.chooser import NODES_PATH, Chooser
from kubenurse_otel.discovery.dns_endpoints import slices_of_dns, together
from kubenurse_otel.discovery.informer import Informer, ListWatch, ShortForm, Snapshot
from kubenurse_otel.discovery.nodes import NodeView, decode_node
from kubenurse_otel.discovery.pod_table import ACCEPT, QUERY, decode_pod_table
from kubenurse_otel.discovery.pods import AgentPod, decode_pod, find_own, pods_path
from kubenurse_otel.discovery.schema import RawList
from kubenurse_otel.discovery.timings import LARGE_CLUSTER
from kubenurse_otel.model import Neighbourhood, is_dns_subdomain

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection

    from kubenurse_otel.config import Config
    from kubenurse_otel.discovery.dns_endpoints import Endpoints
    from kubenurse_otel.discovery.timings import Timings

log = logging.getLogger(__name__)

NO_NEIGHBOUR: Final = "no neighbour: no other node that stays has a started agent"
SIZE_READ_SECONDS: Final = 5.0
MAX_COUNT_BYTES: Final = 1024 * 1024
_SHORT: Final = ShortForm(above=LARGE_CLUSTER, accept=ACCEPT, query=QUERY, decode=decode_pod_table)
_OF_THE_WAY: Final = frozenset(
    {Problem.UNREACHABLE, Problem.UNAUTHORIZED, Problem.THROTTLED, Problem.GONE}
)
"""Reasons that affect every request. They are reported once, for the neighbours."""
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


class Neighbours:
    """Pods, cordoned nodes and our own node; ``current`` makes a Neighbourhood of them."""

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
        self._chooser = Chooser(config, server, timings)
        self._asks_nodes = not config.discovery.allow_unschedulable
        """kubenurse's role may read nodes only if unschedulable ones are left out."""
        self._pods = Informer(
            server,
            _pods(config),
            timings,
            stopping=stopping,
            on_change=on_change,
            expected=self._count_nodes,
        )
        self._cordoned = self._node_informer("cordoned nodes", "spec.unschedulable=true")
        self._own_node: Informer[NodeView] | None = None
        self._own_node_seen = False
        self._dns = self._dns_informer()
        self._dns_said = ""
        self._first_listed_at: float | None = None

    def start(self) -> None:
        self._pods.start()
        if self._asks_nodes:
            self._cordoned.start()
        if self._dns is not None:
            self._dns.start()

    def join(self, seconds: float) -> None:
        """Wait for the threads, which end when ``stopping`` is set and the server is closed."""
        deadline = time.monotonic() + seconds
        for informer in (self._pods, self._cordoned, self._own_node, self._dns):
            if informer is not None:
                informer.join(max(0.0, deadline - time.monotonic()))

    def current(self, failed: Collection[str]) -> tuple[Neighbourhood | None, bool]:
        """Return (what is known now, whether all of the chosen are read).

        ``failed`` are nodes whose check failed. None before the API server's first answer.
        """
        pods = self._pods.snapshot()
        if pods.heard_at is None:
            if pods.problem is None:
                return None, True
            own_node = self._config.identity.node_name
            return Neighbourhood(state=str(pods.problem), own_node_name=own_node), True
        if self._first_listed_at is None:
            self._first_listed_at = pods.heard_at
        own = find_own(pods.items.values(), self._config.identity)
        own_node = self._config.identity.node_name or (own.node_name if own is not None else "")
        if not own_node and self.is_new():
            return None, True
        own_view, node_problem = self._look_at_own_node(own_node)
        # Taints are not watched. An agent whose node is leaving says so: it is not ready.
        unready = {pod.node_name for pod in pods.items.values() if not pod.ready}
        choice = self._chooser.choose(
            (pod for pod in pods.items.values() if pod is not own),
            own_node,
            leaving=self._cordoned.snapshot().items if self._asks_nodes else (),
            failed=unready.union(failed),
        )
        if choice.outdated:
            self._pods.hurry()
        return Neighbourhood(
            chosen=choice.chosen,
            known=choice.known,
            agents=tuple(pod.candidate.neighbour for pod in pods.items.values() if pod is not own),
            state=self._state(pods, own, own_node, bool(choice.known), node_problem),
            own_node_name=own_node,
            own_zone=own_view.zone,
            own_node_leaving=bool(own_view.leaving),
            listed_at=pods.heard_at,
            dns_endpoints=self._dns_endpoints(),
        ), choice.complete

    # --- our own node ---------------------------------------------------------------------------

    def _look_at_own_node(self, name: str) -> tuple[NodeView, str]:
        """Return (our node, what is wrong with knowing it). Watched as its kubelet does."""
        if not self._asks_nodes or not is_dns_subdomain(name):
            return NodeView(), ""
        if self._own_node is None:
            self._own_node = self._node_informer(f"node {name}", f"metadata.name={name}")
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
        # Never there: the name is probably wrong. Report it, stay ready.
        return NodeView(), f"the API server has no node {name}: is KUBENURSE_NODE_NAME right?"

    def _node_informer(self, name: str, field_selector: str) -> Informer[NodeView]:
        return Informer(
            self._server,
            ListWatch(
                name=name,
                path=NODES_PATH,
                query={"fieldSelector": field_selector},
                decode=lambda content: decode_node(content, self._taints),
            ),
            self._timings,
            stopping=self._stopping,
            on_change=self._on_change,
        )

    # --- the servers of DNS ---------------------------------------------------------------------

    def _dns_informer(self) -> Informer[Endpoints] | None:
        discovery = self._config.discovery
        if not (discovery.dns_namespace and self._config.checks.asks_name_servers):
            return None
        return Informer(
            self._server,
            slices_of_dns(discovery.dns_namespace, discovery.dns_selector),
            self._timings,
            stopping=self._stopping,
            on_change=self._on_change,
        )

    def _dns_endpoints(self) -> Endpoints:
        """Return the endpoints of DNS. None while they cannot be read: an old one may be gone, and
        silent for that reason.
        """
        if self._dns is None:
            return ()
        slices = self._dns.snapshot()
        problem = ""
        if slices.problem is not None:
            problem = "" if slices.problem.problem in _OF_THE_WAY else str(slices.problem)
        elif slices.heard_at is not None and not slices.items:
            discovery = self._config.discovery
            problem = (
                f"namespace {discovery.dns_namespace} has no EndpointSlice with the labels "
                f"{discovery.dns_selector}: is KUBENURSE_DNS_SELECTOR right?"
            )
        if problem and problem != self._dns_said:
            log.warning("the servers of DNS are not asked by their own addresses: %s", problem)
        if problem or slices.items:
            self._dns_said = problem
        return together(slices.items.values()) if slices.problem is None else ()

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
        if own is None and not self.is_new():
            sentences.append(
                f"the filter {selector or '(none)'} misses our own pod {identity.pod_name}"
                " among the running pods: is KUBENURSE_NEIGHBOUR_FILTER or KUBENURSE_NAMESPACE"
                " wrong?"
            )
        if not own_node:
            sentences.append("our own node is unknown: KUBENURSE_NODE_NAME is not set")
        if not has_candidates:
            sentences.append(NO_NEIGHBOUR)
        if self._asks_nodes:
            sentences += [str(self._cordoned.snapshot().problem or ""), node_problem]
        sentences += self._chooser.problems()
        sentences = [sentence for sentence in sentences if sentence]
        return "; ".join(dict.fromkeys(sentences)) or "ok"

    def is_new(self) -> bool:
        """Whether our own pod may still be missing from the list: it is not Running at once."""
        first = self._first_listed_at
        return first is None or time.monotonic() - first < self._timings.own_pod_grace

    # --- the start ------------------------------------------------------------------------------

    def _count_nodes(self) -> int:
        """Ask for one node and how many follow: a kilobyte, before a list of megabytes."""
        if not self._asks_nodes:
            return 0
        try:
            answer = self._server.get(
                NODES_PATH,
                {"limit": "1"},
                asked="count nodes",
                read_seconds=SIZE_READ_SECONDS,
                max_bytes=MAX_COUNT_BYTES,
                accept=_METADATA_ONLY,
            )
            with answer:
                counted = msgspec.json.decode(answer.read(), type=RawList)
        except (ApiError, msgspec.DecodeError, RecursionError):
            return 0  # The list that follows says what is wrong.
        return len(counted.items or ()) + (counted.metadata.remaining_item_count or 0)


def _pods(config: Config) -> ListWatch[AgentPod]:
    namespace, selector = config.identity.namespace, config.discovery.neighbour_filter
    port = config.server.path_port
    # With an address: what happens to a pod before that is three of a roll-out's ten events. Not
    # Running alone: while another container's image is missing, the agent beside it is Pending.
    query = {"fieldSelector": "status.podIP!=,status.phase!=Failed,status.phase!=Succeeded"}
    if selector:
        query["labelSelector"] = selector
    return ListWatch(
        name=f"pods in namespace {namespace}" if namespace else "pods",
        path=pods_path(namespace),
        query=query,
        decode=lambda content: decode_pod(content, port),
        # Where pods are read one by one they must have a namespace to be read from.
        short=_SHORT if namespace else None,
    )
