"""Where neighbours come from, which of them are checked, and when a node is leaving."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from kubenurse_otel.config.lists import LABEL_SELECTOR, TAINTS
from kubenurse_otel.config.values import BOOLEAN, NAME, PATH, integer, one_of, printable
from kubenurse_otel.config.variable import variable
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from pathlib import Path

    from kubenurse_otel.config.reader import Reader


class DiscoverySource(StrEnum):
    KUBERNETES = "kubernetes"
    STATIC = "static"


@record(frozen=True, slots=True, kw_only=True)
class DiscoveryConfig:
    """Where neighbours come from, which of them are checked, and when a node counts as leaving."""

    neighbour_filter: str = variable(
        "KUBENURSE_NEIGHBOUR_FILTER",
        LABEL_SELECTOR,
        None,
        "A label selector: which pods of the namespace are agents.",
        otherwise="",
        kubenurse=True,
        absent="every pod",
        example="app.kubernetes.io/name=kubenurse",
    )
    neighbour_limit: int = variable(
        "KUBENURSE_NEIGHBOUR_LIMIT",
        integer(0, 2**31 - 1),
        "10",
        "How many neighbours an agent checks; 0 is no limit.",
        kubenurse=True,
        example="0",
    )
    allow_unschedulable: bool = variable(
        "KUBENURSE_ALLOW_UNSCHEDULABLE",
        BOOLEAN,
        "false",
        "Check neighbours on nodes that are leaving, too (and never ask about nodes).",
        kubenurse=True,
        example="true",
        lenient=True,
    )
    leaving_taints: tuple[str, ...] = variable(
        "KUBENURSE_LEAVING_TAINTS",
        TAINTS,
        "node.kubernetes.io/unschedulable,ToBeDeletedByClusterAutoscaler,karpenter.sh/disrupted,"
        "karpenter.sh/disruption,node.kubernetes.io/out-of-service,"
        "node.cloudprovider.kubernetes.io/shutdown",
        "A node with a taint of one of these keys is leaving.",
        example="example.com/draining",
    )
    unready_when_cordoned: bool = variable(
        "KUBENURSE_UNREADY_WHEN_CORDONED",
        BOOLEAN,
        "true",
        "/ready answers 503 while our own node is leaving.",
        example="false",
    )
    source: DiscoverySource = variable(
        "KUBENURSE_DISCOVERY",
        one_of(DiscoverySource),
        "kubernetes",
        "Where neighbours come from: the API server, or KUBENURSE_NEIGHBOURS_FILE.",
        example="static",
    )
    neighbours_file: Path | None = variable(
        "KUBENURSE_NEIGHBOURS_FILE",
        PATH,
        None,
        "A YAML or JSON list of podName, nodeName (that agent's KUBENURSE_NODE_NAME), podIP, and "
        "optionally hostIP, port, zone; reread when it changes.",
        absent="required by KUBENURSE_DISCOVERY=static",
        example="/etc/kubenurse/neighbours.yaml",
    )
    dns_namespace: str = variable(
        "KUBENURSE_DNS_NAMESPACE",
        NAME,
        None,
        "The namespace of the cluster's DNS Service: each of its ready endpoints is asked by its "
        "own address, by UDP and by TCP (docs/dns.md). Needs the right to get, list and watch "
        "endpointslices there.",
        otherwise="",
        absent="they are not asked",
        example="kube-system",
    )
    dns_selector: str = variable(
        "KUBENURSE_DNS_SELECTOR",
        LABEL_SELECTOR,
        "k8s-app=kube-dns",
        "A label selector: which EndpointSlices of that namespace are the DNS Service's. They have "
        "the Service's own labels, and kubernetes.io/service-name.",
        example="dns.operator.openshift.io/owning-dns=default",
    )
    kubeconfig: str = variable(
        "KUBECONFIG",
        printable(4000),
        None,
        "How to reach the API server from outside of a cluster.",
        otherwise="",
        absent="in cluster: the service account",
        example="/root/.kube/config",
    )


def read_discovery(reader: Reader) -> DiscoveryConfig:
    discovery = reader.record(DiscoveryConfig)
    file = discovery.neighbours_file
    if discovery.source is DiscoverySource.STATIC and file is None:
        reader.problem("KUBENURSE_NEIGHBOURS_FILE", "a file, as KUBENURSE_DISCOVERY is static")
    reader.warn_without_file("KUBENURSE_NEIGHBOURS_FILE", file)
    return discovery
