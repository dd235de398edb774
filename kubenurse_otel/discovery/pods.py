"""From a Pod to an agent: who may be a neighbour, and which one we are. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from kubenurse_otel.discovery.candidates import Candidate, candidate
from kubenurse_otel.discovery.schema import ContainerStatus, Metadata, Pod, decode
from kubenurse_otel.model import Neighbour, is_dns_subdomain
from kubenurse_otel.record import record
from kubenurse_otel.text import is_address

if TYPE_CHECKING:
    from collections.abc import Collection

    from kubenurse_otel.config import IdentityConfig

CONTAINER_PREFIX: Final = "kubenurse"
MAX_TEXT_LENGTH: Final = 253
"""The longest name (DNS subdomain); UIDs and times are shorter."""

_POD: Final = msgspec.json.Decoder(Pod)


@record(frozen=True, slots=True)
class AgentPod:
    """What we keep of a pod. ``eligible``: as far as the pod itself tells, it may be a neighbour.

    Not ``complete``: it comes from the short form of a list, and must be read before it is checked.
    """

    uid: str
    candidate: Candidate
    eligible: bool
    host_network: bool
    complete: bool = True
    ready: bool = True
    """False: its /ready says no, maybe because its node is leaving."""

    @property
    def name(self) -> str:
        return self.candidate.neighbour.pod_name

    @property
    def node_name(self) -> str:
        return self.candidate.neighbour.node_name


def pods_path(namespace: str) -> str:
    """Return the API's path of a namespace's pods, or of all (empty)."""
    return f"/api/v1/namespaces/{namespace}/pods" if namespace else "/api/v1/pods"


def decode_pod(content: bytes, port: int) -> tuple[str, AgentPod]:
    """Return (UID, agent) of a Pod's JSON. ``port`` is where an agent answers checks.

    Raises msgspec.DecodeError.
    """
    pod = decode(_POD, content)
    return bounded(pod.metadata.uid), agent_pod(pod, port)


def bounded(text: str) -> str:
    """Return the text if it is no longer than Kubernetes allows, else an empty one: it is kept of
    every pod.
    """
    return text if len(text) <= MAX_TEXT_LENGTH else ""


_ALIVE: Final = ("Running", "Pending")
"""Pending, too, while another container of the pod has never run; ``started`` says the rest."""


def agent_pod(pod: Pod, port: int) -> AgentPod:
    meta, status = pod.metadata, pod.status
    listed = tuple(one.ip for one in status.pod_ips or () if is_address(one.ip))
    pod_ip = status.pod_ip if is_address(status.pod_ip) else ""
    containers = agent_containers(pod, port)
    eligible = (
        status.phase in _ALIVE
        and meta.deletion_timestamp is None
        and pod_ip != ""
        and is_dns_subdomain(meta.name)
        and is_dns_subdomain(pod.spec.node_name)
        and any(container.started is True for container in containers)
    )
    neighbour = Neighbour(
        pod_name=bounded(meta.name),
        node_name=bounded(pod.spec.node_name),
        pod_ip=pod_ip,
        # A single address is pod_ip itself: an empty tuple is shared by all, and we hold thousands.
        pod_ips=tuple(dict.fromkeys((pod_ip, *listed))) if len(listed) > 1 else (),
        host_ip=status.host_ip if is_address(status.host_ip) else "",
    )
    # In the order of time as they stand: RFC 3339 in UTC with seconds, as Kubernetes writes them.
    started = f"{bounded(status.start_time or '')}/{bounded(meta.creation_timestamp or '')}"
    return AgentPod(
        bounded(meta.uid),
        candidate(neighbour, started),
        eligible,
        pod.spec.host_network,
        ready=any(container.ready for container in containers),
    )


def agent_containers(pod: Pod, port: int) -> list[ContainerStatus]:
    """Return the status of the agent's container: ``started`` counts, ``ready`` is a hint.

    The agent's container is the one that declares the checks' port, else the one whose name begins
    with kubenurse (its and our charts' names), else any: sidecars may stand beside it.
    """
    containers = pod.spec.containers or ()
    names = {
        container.name
        for container in containers
        if any(one.container_port == port for one in container.ports or ())
    } or {container.name for container in containers if container.name.startswith(CONTAINER_PREFIX)}
    return [
        status
        for status in pod.status.container_statuses or ()
        if not names or status.name in names
    ]


GONE: Final = agent_pod(Pod(metadata=Metadata()), 0)
"""The view of a pod that the API server no longer has."""


def find_own(pods: Collection[AgentPod], identity: IdentityConfig) -> AgentPod | None:
    """Return our own pod: by UID, by name, by address, then by the host's name.

    Without the downward API ``identity.pod_name`` is the host name: the pod's name, or under
    hostNetwork the node's (maybe without its domain), where one agent per node is on the host's
    network.
    """
    for pod in pods:
        if identity.pod_uid and pod.uid == identity.pod_uid:
            return pod
    named = [pod for pod in pods if pod.name == identity.pod_name]
    if named:
        return named[0]
    if identity.pod_ip:
        return next(
            (pod for pod in pods if pod.candidate.neighbour.pod_ip == identity.pod_ip), None
        )
    host = identity.pod_name.partition(".")[0]
    on_host = [
        pod for pod in pods if pod.host_network and pod.node_name.partition(".")[0] == host != ""
    ]
    return on_host[0] if len(on_host) == 1 else None
