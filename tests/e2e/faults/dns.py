"""The cluster's DNS: gone, silent, half dead, wrong, slow, lossy, asked for the wrong names."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from e2e.cluster import dns
from e2e.cluster.cluster import CHART, NAMESPACE, RELEASE
from e2e.cluster.errors import ClusterError
from e2e.cluster.node import CLUSTER_DNS
from e2e.faults.failing import Failing, nothing_else
from e2e.faults.fault import Fault
from e2e.misbehaving import dns as misbehaving
from e2e.misbehaving.dns import Mode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.cluster import Cluster
    from e2e.cluster.jaeger_api import Trace
    from e2e.faults.scene import Scene

_SYSTEM: Final = "kube-system"
_PODS: Final = "k8s-app=kube-dns"
_TABLE: Final = "fault-dns"
_CLUSTER_NAMES: Final = ("api_server_dns", "me_service")
_NAMES: Final = (*_CLUSTER_NAMES, "me_ingress")
"""Types of checks that look up a name; the ingress' is not of the cluster's domain."""
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
    release = (RELEASE, "--namespace", NAMESPACE, "--wait", "--timeout", _HELM_SECONDS)
    upgrade = ("upgrade", release[0], str(CHART), *release[1:], "--reuse-values")
    with in_the_way(Mode.SLOW, cluster, node, seconds=0.3, suffix=_SEARCHED):
        try:
            cluster.helm(*upgrade, values=values)
            yield
        finally:
            values["daemonset"]["dnsConfig"] = {"searches": [], "options": _ONE_DOT}
            cluster.helm(*upgrade, values=values)


_ONE_DOT: Final = [
    {"name": "ndots", "value": "1"},
    {"name": "timeout", "value": "1"},
    {"name": "attempts", "value": "3"},
]
"""The chart's default."""


# --- what must be seen ----------------------------------------------------------------------------


def proof_failing(error_type: str, types: tuple[str, ...], scene: Scene) -> None:
    """Checks by name fail in the look-up, from everywhere; pods and API server by IP go on."""
    for type_ in types:
        Failing(type_, error_type, "dns").seen(scene, nodes=list(scene.cluster.nodes))
    for type_ in types:
        Failing(type_, error_type, "dns").trace(scene)
    scene.alerts("KubenurseDNSFailing")
    nothing_else(scene, *types)


def _slow_look_ups(scene: Scene, seconds: float) -> None:
    """The look-up's figure rises on most nodes, no other step's does; its trace says so."""
    for type_ in _CLUSTER_NAMES:
        scene.shows(
            _mean(type_, "dns"),
            lambda mean: mean > 0.1,
            what=f"kubenurse_check_phase_duration_seconds type={type_} phase=dns above 0.1 s",
            within=40,
        )

    def stalled(trace: Trace) -> bool:
        look_ups = trace.named("DNS lookup")
        return (
            trace.root is not None
            and trace.root.attributes.get("kubenurse.outcome") == "ok"
            and bool(look_ups)
            and look_ups[0].duration > seconds
            and look_ups[0].duration > 0.5 * trace.root.duration
        )

    scene.trace(
        stalled,
        what=f"a good check, its DNS lookup took more than {seconds} s",
        tags={"kubenurse.outcome": "ok"},
        within=60,
    )


def _mean(type_: str, phase: str) -> str:
    of = f'{{type="{type_}", phase="{phase}"}}[10s]'
    metric = "kubenurse_check_phase_duration_seconds"
    return f"sum(rate({metric}_sum{of})) / sum(rate({metric}_count{of}))"


def _other_steps_are_fast(scene: Scene) -> None:
    scene.stays(
        _mean("api_server_dns", "connect"),
        lambda mean: mean < 0.05,
        what="the other steps of the same checks",
    )


def proof_slow(least: float, scene: Scene) -> None:
    """Look-ups take longer, no check fails for it."""
    _slow_look_ups(scene, least)
    scene.alerts("KubenurseDNSSlow", within=150)
    _other_steps_are_fast(scene)
    nothing_else(scene, "none")


def proof_lossy(scene: Scene) -> None:
    """A lost answer costs a second (timeout: 1), a few checks lose two and fail."""
    _slow_look_ups(scene, 0.9)
    scene.alerts("KubenurseDNSSlow", within=150)
    _other_steps_are_fast(scene)
    nothing_else(scene, *_NAMES)


def proof_one_frozen(scene: Scene) -> None:
    """A few look-ups are lost until its probe has failed and the Service leaves it out."""
    scene.counts(
        'kubenurse_check_failures_total{error_type="dns_timeout", phase="dns"}',
        what="kubenurse_check_failures_total error_type=dns_timeout phase=dns",
    )
    scene.wait(12)
    scene.shows(
        "min(min_over_time(kubenurse_check_success[4s]))",
        lambda least: least == 1,
        what="all checks are good again, while it is still frozen",
    )
    nothing_else(scene, *_NAMES)
    scene.wait(40)


FAULTS: Final = (
    Fault(
        "dns-stopped",
        "No CoreDNS pod is left",
        "No name can be looked up",
        "errors at the three checks by name, event dns_done, each counted twice",
        stopped,
        partial(proof_failing, "dns_server_failure", _NAMES),
    ),
    Fault(
        "dns-silent",
        "Both CoreDNS pods are Ready, and answer no query",
        "Look-ups hang and then fail",
        "errors at the three checks by name after their time-out; the round waits for them",
        partial(silent, 2),
        partial(proof_failing, "dns_timeout", _NAMES),
    ),
    Fault(
        "dns-servfail",
        "CoreDNS answers SERVFAIL",
        "No name can be looked up",
        "errors at the three checks by name, each counted twice",
        partial(answering, "SERVFAIL", "."),
        partial(proof_failing, "dns_server_failure", _NAMES),
    ),
    Fault(
        "dns-nxdomain",
        "CoreDNS does not know cluster.local any more",
        "Services cannot be found; names outside of the cluster can",
        "errors at me_service and api_server_dns, each counted twice",
        partial(answering, "NXDOMAIN", "cluster.local"),
        partial(proof_failing, "host_not_found", _CLUSTER_NAMES),
    ),
    Fault(
        "dns-one-frozen",
        "One of two CoreDNS pods is frozen",
        "For some seconds half of the look-ups stall, some fail",
        "some errors at the checks by name",
        one_frozen,
        proof_one_frozen,
    ),
    Fault(
        "dns-slow",
        "Every DNS answer is 0.5 s late",
        "Everything that looks up a name takes 0.5 s longer",
        "longer durations of the checks by name; dns_done tells that it is DNS",
        partial(in_the_way, Mode.SLOW, seconds=0.5),
        partial(proof_slow, 0.4),
    ),
    Fault(
        "dns-2s-slow",
        "Every DNS answer is 2 s late, later than the resolver waits",
        "Look-ups fail, or take seconds",
        "errors at the three checks by name, or durations of 2 s",
        partial(in_the_way, Mode.SLOW, seconds=2.0),
        partial(proof_failing, "dns_timeout", _NAMES),
    ),
    Fault(
        "dns-lossy",
        "A fifth of the DNS answers is lost",
        "A fifth of the look-ups stalls for the resolver's time-out",
        "now and then a longer duration of a check by name, few errors",
        partial(in_the_way, Mode.LOSSY),
        proof_lossy,
    ),
    Fault(
        "dns-search-path",
        "ndots 5 and a slow search domain in the pods' resolv.conf",
        "Every look-up asks for names that do not exist first",
        "longer durations of the checks by name",
        wrong_search_path,
        partial(proof_slow, 0.25),
    ),
)
