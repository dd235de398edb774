"""The agents of a cluster, listed and asked through its API server from outside the cluster.

The pods' proxy of the API server leads to them: no port-forward, no ingress, and our token goes to
the API server alone. Blocking: for threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from kubenurse_otel.discovery.api import ApiError, ApiServer, Problem
from kubenurse_otel.discovery.listing import MAX_LIST_BYTES, ListError, read_list
from kubenurse_otel.discovery.pods import pods_path
from kubenurse_otel.discovery.schema import Pod, decode
from kubenurse_otel.model import is_dns_subdomain
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from kubenurse_otel.config import Config
    from kubenurse_otel.config.environment import KubectlProxies

DEFAULT_SELECTOR: Final = "app.kubernetes.io/name=kubenurse"
"""The label of our chart's pods, unless the release changes it."""
LIST_SECONDS: Final = 10.0
PORT_NAMES: Final = ("admin", "http")
"""Port names of our chart. The first one that a pod has is asked."""
_POD: Final = msgspec.json.Decoder(Pod)


@record(frozen=True, slots=True)
class AgentAt:
    """``port`` is where the agent serves its documents; 0: the pod's first port."""

    node: str
    namespace: str
    pod: str
    port: int


class ProxiedAgents:
    """Agents behind one API server, that of KUBECONFIG. Methods raise ApiError."""

    def __init__(self, config: Config, proxies: KubectlProxies) -> None:
        self._server = ApiServer(config, proxies=proxies)

    def list(self, namespace: str, selector: str) -> list[AgentAt]:
        """Return the running agents by node; ``namespace`` empty: of all."""
        found: list[AgentAt] = []

        def take(content: bytes) -> None:
            pod = decode(_POD, content)
            named = all(
                is_dns_subdomain(name)
                for name in (pod.metadata.name, pod.metadata.namespace, pod.spec.node_name)
            )
            if pod.status.phase == "Running" and named:
                found.append(
                    AgentAt(
                        pod.spec.node_name, pod.metadata.namespace, pod.metadata.name, _port(pod)
                    )
                )

        answer = self._server.get(
            pods_path(namespace),
            {"labelSelector": selector},
            asked=f"list pods in {f'namespace {namespace}' if namespace else 'all namespaces'}",
            read_seconds=LIST_SECONDS,
            max_bytes=MAX_LIST_BYTES,
        )
        try:
            with answer:
                read_list(answer.chunks(), take)
        except (ListError, msgspec.DecodeError, RecursionError) as error:
            raise ApiError(Problem.INVALID, f"the API server's list of pods: {error}") from None
        return sorted(found, key=lambda agent: (agent.node, agent.pod))

    def get(self, agent: AgentAt, path: str, *, seconds: float, max_bytes: int) -> bytes:
        """GET ``path`` of the agent."""
        port = f":{agent.port}" if agent.port else ""
        with self._server.get(
            f"{pods_path(agent.namespace)}/{agent.pod}{port}/proxy{path}",
            {},
            asked=f"reach pod {agent.pod} by its proxy",
            read_seconds=seconds,
            max_bytes=max_bytes,
            total_seconds=seconds,
        ) as answer:
            return answer.read()

    def close(self) -> None:
        """End what is under way."""
        self._server.close()


def _port(pod: Pod) -> int:
    ports = {
        port.name: port.container_port
        for container in pod.spec.containers or ()
        for port in container.ports or ()
        if 0 < port.container_port < 65_536
    }
    return next((ports[name] for name in PORT_NAMES if name in ports), 0)
