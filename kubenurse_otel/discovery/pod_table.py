"""The short form of a pod list, for large clusters: one row per pod instead of 9 KB. No I/O.

What `kubectl get pods -o wide` asks for (meta/v1 Table): name, status, address and node. Everything
else is read only of the chosen pods. See docs/scale.md for the figures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from kubenurse_otel.discovery.candidates import candidate
from kubenurse_otel.discovery.pods import AgentPod
from kubenurse_otel.discovery.schema import ListMetadata, Struct, decode
from kubenurse_otel.model import Neighbour, is_dns_subdomain
from kubenurse_otel.text import is_address

if TYPE_CHECKING:
    from collections.abc import Mapping

ACCEPT: Final = "application/json;as=Table;v=v1;g=meta.k8s.io"
QUERY: Final = {"includeObject": "None"}
COLUMNS: Final = ("Name", "Status", "IP", "Node")
_TERMINATING: Final = "Terminating"


class Column(Struct):
    name: str = ""


class Row(Struct):
    cells: list[Any]


class Table(Struct):
    kind: str
    metadata: ListMetadata = msgspec.field(default_factory=ListMetadata)
    column_definitions: list[Column] | None = None
    rows: list[Row] | None = None


_TABLE: Final = msgspec.json.Decoder(Table)


def decode_pod_table(
    content: bytes, before: Mapping[str, AgentPod]
) -> tuple[str, dict[str, AgentPod]]:
    """Return (resourceVersion, agents by pod name). Raises msgspec.DecodeError.

    An agent is eligible as far as its row tells; the row does not tell whether it has started.
    ``before`` is the result of the last list: an agent that has not changed stays the same object.
    """
    table = decode(_TABLE, content)
    names = [column.name for column in table.column_definitions or ()]
    if table.kind != "Table" or (table.rows and not set(COLUMNS) <= set(names)):
        raise msgspec.DecodeError(f"no table with the columns {', '.join(COLUMNS)}")
    agents: dict[str, AgentPod] = {}
    at = [names.index(column) for column in COLUMNS] if table.rows else []
    for row in table.rows or ():
        if len(row.cells) <= max(at):
            raise msgspec.DecodeError("a row of the table is too short")
        name, status, ip, node = (str(row.cells[index]) for index in at)
        known = before.get(name)
        agents[name] = (
            known
            if known is not None and _is_unchanged(known, status, ip, node)
            else _agent(name, status, ip, node)
        )
    return table.metadata.resource_version, agents


def _is_unchanged(known: AgentPod, status: str, ip: str, node: str) -> bool:
    neighbour = known.candidate.neighbour
    return (
        known.eligible
        and not known.complete
        and status != _TERMINATING
        and neighbour.pod_ip == ip
        and neighbour.node_name == node
    )


def _agent(name: str, status: str, ip: str, node: str) -> AgentPod:
    eligible = (
        status != _TERMINATING
        and is_address(ip)
        and is_dns_subdomain(name)
        and is_dns_subdomain(node)
    )
    neighbour = Neighbour(pod_name=name, node_name=node, pod_ip=ip if eligible else "")
    return AgentPod("", candidate(neighbour), eligible, host_network=False, complete=False)
