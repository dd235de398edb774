"""How DNS is broken: at CoreDNS, or between the pods and CoreDNS. Heals whatever happened."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from e2e.cluster import dns
from e2e.cluster.cluster import CHART, NAMESPACE, RELEASE
from e2e.cluster.errors import ClusterError
from e2e.cluster.fabric import UPLINK
from e2e.cluster.node import CLUSTER_DNS
from e2e.misbehaving import dns as misbehaving
from e2e.misbehaving.dns import Mode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.cluster import Cluster

_SYSTEM: Final = "kube-system"
_PODS: Final = "k8s-app=kube-dns"
_TABLE: Final = "fault-dns"
_SEARCHED: Final = "corp.example"
_HELM_SECONDS: Final = "120s"


# --- CoreDNS itself -------------------------------------------------------------------------------


@contextmanager
def stopped(cluster: Cluster, _node: str) -> Iterator[None]:
    try:
        cluster.kubectl("--namespace", _SYSTEM, "scale", "deployment/coredns", "--replicas=0")
        yield
    finally:
        _restore(cluster)


@contextmanager
def answering(rcode: str, zone: str, cluster: Cluster, _node: str) -> Iterator[None]:
    """CoreDNS answers every query below ``zone`` with ``rcode``, by its plugin `template`."""
    path = f"/api/v1/namespaces/{_SYSTEM}/configmaps/coredns"
    sound: str = cluster.api.must("GET", path)["data"]["Corefile"]
    template = f"  template ANY ANY {zone} {{\n    rcode {rcode}\n  }}\n"
    try:
        corefile = sound.replace("  errors\n", f"  errors\n{template}")
        assert corefile != sound, f"not the Corefile that we know: {sound}"
        cluster.api.merge(path, {"data": {"Corefile": corefile}})
        _hurry_kubelet(cluster)
        yield
    finally:
        _restore(cluster)


def _restore(cluster: Cluster) -> None:
    cluster.apply(*dns.manifests(CLUSTER_DNS))
    _hurry_kubelet(cluster)


def _hurry_kubelet(cluster: Cluster) -> None:
    """It writes a new ConfigMap into a pod when it looks after the pod; a change makes it look."""
    stamp = f"e2e/touched={time.time_ns()}"
    cluster.kubectl(
        *("--namespace", _SYSTEM, "annotate", "pods", "--selector", _PODS, "--overwrite", stamp)
    )


@contextmanager
def silent(count: int, cluster: Cluster, _node: str) -> Iterator[None]:
    """Queries to ``count`` of CoreDNS' pods are lost on the way; kubelet's probes are not."""
    pods = cluster.pods(_PODS, namespace=_SYSTEM)[:count]
    with ExitStack() as healing:
        for pod in pods:
            machine = cluster.nodes[pod["spec"]["nodeName"]].machine
            to_pod = f"ip daddr {pod['status']['podIP']}"
            rules = f"{to_pod} udp dport 53 drop\n{to_pod} tcp dport 53 drop\n"
            table = f"{_TABLE}-{pod['metadata']['name']}"
            chain = f"chain forward {{\ntype filter hook forward priority -10;\n{rules}}}\n"
            healing.callback(machine.net, "nft", "delete", "table", "ip", table, check=False)
            machine.net("nft", "-f", "-", text=f"table ip {table} {{\n{chain}}}\n")
        yield


@contextmanager
def one_frozen(cluster: Cluster, _node: str) -> Iterator[None]:
    """SIGSTOP to one of CoreDNS' processes: its kernel still takes queries, its probes fail."""
    pod = cluster.pods(_PODS, namespace=_SYSTEM)[0]
    pids = _processes(cluster, pod["spec"]["nodeName"], pod["metadata"]["uid"])
    try:
        _signal(pids, signal.SIGSTOP)
        yield
    finally:
        _signal(pids, signal.SIGCONT)


def _processes(cluster: Cluster, node: str, uid: str) -> list[int]:
    group = Path("/sys/fs/cgroup/pids") / cluster.nodes[node].machine.cgroup
    files = group.glob(f"**/pod{uid}/*/cgroup.procs")
    pids = [int(pid) for file in files for pid in file.read_text().split()]
    found = [pid for pid in pids if b"coredns" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    if not found:
        raise ClusterError(f"no process of CoreDNS on {node}")
    return found


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


# --- between the pods and CoreDNS -----------------------------------------------------------------


@contextmanager
def in_the_way(
    mode: Mode, cluster: Cluster, _node: str, *, seconds: float = 0.0, suffix: str = ""
) -> Iterator[None]:
    """Every node's pods ask a name server that is slow, or loses a fifth of the queries."""
    with ExitStack() as healing:
        for node in cluster.nodes.values():
            # Nodes here have no default route, and ours asks the Service from the node itself.
            route = (CLUSTER_DNS, "dev", UPLINK)
            healing.callback(node.machine.net, "ip", "route", "delete", *route, check=False)
            node.machine.net("ip", "route", "replace", *route)
            healing.callback(misbehaving.remove, node.machine)
            misbehaving.insert(
                node.machine, mode, service=CLUSTER_DNS, seconds=seconds, suffix=suffix
            )
        yield


@contextmanager
def wrong_search_path(cluster: Cluster, node: str) -> Iterator[None]:
    """ndots 5, as pods have it by default, and a search domain whose name server takes 0.3 s."""
    options = [
        {"name": name, "value": value}
        for name, value in (("ndots", "5"), ("timeout", "1"), ("attempts", "3"))
    ]
    values = {"daemonset": {"dnsConfig": {"searches": [_SEARCHED], "options": options}}}
    where, wait = ("--namespace", NAMESPACE), ("--wait", "--timeout", _HELM_SECONDS)
    history = cluster.helm("history", RELEASE, *where, "--max=1", "--output=json")
    sound = str(json.loads(history)[-1]["revision"])
    with in_the_way(Mode.SLOW, cluster, node, seconds=0.3, suffix=_SEARCHED):
        try:
            cluster.helm(
                *("upgrade", RELEASE, str(CHART), *where, *wait, "--reuse-values"), values=values
            )
            yield
        finally:
            cluster.helm("rollback", RELEASE, sound, *where, *wait)
