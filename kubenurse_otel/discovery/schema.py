"""The few fields of Kubernetes objects that we read; msgspec skips all others. No I/O.

Field names are those of the API reference (v1.Pod, v1.Node, meta/v1 Status and WatchEvent).
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

T = TypeVar("T")

MAX_VALUES: Final = 500_000
"""The most JSON values that are decoded at once: about 30 MiB of objects. 5,000 pods as rows have
100,000.
"""


def decode(decoder: msgspec.json.Decoder[T], content: bytes | bytearray) -> T:
    """Decode what may be hostile: `{},{},...` takes twenty times its bytes as objects.

    Raises msgspec.DecodeError, also for more than MAX_VALUES, and RecursionError for its depth.
    """
    if len(content) > MAX_VALUES and content.count(b",") > MAX_VALUES:
        raise msgspec.DecodeError(f"more than {MAX_VALUES} values")
    return decoder.decode(content)


class Struct(msgspec.Struct, gc=False, rename="camel"):
    """Holds no reference to itself, so the garbage collector need not look."""


class Metadata(Struct):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class Port(Struct):
    name: str = ""
    container_port: int = 0


class Container(Struct):
    name: str = ""
    ports: list[Port] | None = None


class PodSpec(Struct):
    node_name: str = ""
    host_network: bool = False
    containers: list[Container] | None = None


class PodIP(Struct):
    ip: str = ""


class ContainerStatus(Struct):
    name: str = ""
    started: bool | None = None
    ready: bool = False


class PodStatus(Struct):
    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    host_ip: str = msgspec.field(default="", name="hostIP")
    pod_ips: list[PodIP] | None = msgspec.field(default=None, name="podIPs")
    start_time: str | None = None
    container_statuses: list[ContainerStatus] | None = None


class Pod(Struct):
    metadata: Metadata
    spec: PodSpec = msgspec.field(default_factory=PodSpec)
    status: PodStatus = msgspec.field(default_factory=PodStatus)


class NodeLabels(msgspec.Struct, gc=False):
    zone: str = msgspec.field(default="", name="topology.kubernetes.io/zone")


class NodeMetadata(Metadata):
    labels: NodeLabels | None = None


class Taint(Struct):
    key: str = ""


class NodeSpec(Struct):
    unschedulable: bool = False
    taints: list[Taint] | None = None


class NodeCondition(Struct):
    type: str = ""
    status: str = ""


class NodeStatus(Struct):
    conditions: list[NodeCondition] | None = None


class Node(Struct):
    metadata: NodeMetadata
    spec: NodeSpec = msgspec.field(default_factory=NodeSpec)
    status: NodeStatus = msgspec.field(default_factory=NodeStatus)


class EndpointConditions(Struct):
    ready: bool | None = None
    """None is to be read as true."""
    terminating: bool | None = None
    """An endpoint may be ready as well, if the Service has publishNotReadyAddresses."""


class Endpoint(Struct):
    addresses: list[str] | None = None
    """Clients use the first address of an endpoint."""
    conditions: EndpointConditions | None = None
    node_name: str | None = None


class SlicePort(Struct):
    name: str = ""
    protocol: str = "TCP"
    port: int | None = None


class EndpointSlice(Struct):
    metadata: Metadata
    address_type: str = ""
    endpoints: list[Endpoint] | None = None
    ports: list[SlicePort] | None = None


class ListMetadata(Struct):
    resource_version: str = ""
    remaining_item_count: int | None = None


class ListHead(Struct):
    """A list without its items."""

    metadata: ListMetadata = msgspec.field(default_factory=ListMetadata)


class RawList(Struct):
    metadata: ListMetadata = msgspec.field(default_factory=ListMetadata)
    items: list[msgspec.Raw] | None = None


class WatchEvent(Struct):
    type: str
    object: msgspec.Raw


class Status(Struct):
    """The object of an ERROR event, and the body of a refusal."""

    code: int = 0
    reason: str = ""


class Bookmark(Struct):
    metadata: Metadata
