"""A node has no way to Services: kube-proxy's rules are gone there, and nobody writes them anew."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from e2e.faults import elsewhere
from e2e.faults.failing import SPANS
from e2e.faults.fault import Fault
from e2e.faults.spans import begun_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.cluster import Cluster
    from e2e.faults.scene import Scene

_KUBE_PROXY: Final = "kube-proxy"


@contextmanager
def no_service_rules(cluster: Cluster, node: str) -> Iterator[None]:
    machine = cluster.nodes[node].machine
    machine.end(_KUBE_PROXY)
    try:
        for family in ("ip", "ip6"):
            machine.net("nft", "delete", "table", family, _KUBE_PROXY, check=False)
        yield
    finally:
        cluster.nodes[node].start_kube_proxy(cluster.credentials)


def proof_no_service_rules(scene: Scene) -> None:
    node = scene.node
    here = f'node="{node}"'
    for kind, phase in (
        ("api_server_direct", "connect"),
        ("api_server_dns", "dns"),
        ("me_service", "dns"),
        ("me_ingress", "dns"),
    ):
        scene.counts(
            f'kubenurse_check_failures_total{{{here}, type="{kind}", phase="{phase}"}}',
            what=f"kubenurse_check_failures_total type={kind} phase={phase} at {node}",
            at_least=2,
        )
    _ends_at(
        scene,
        "check api_server_direct",
        phase="connect",
        what=f"check api_server from {node}: socket connect has the error, no TLS span",
        never="TLS client handshake",
    )
    _ends_at(
        scene,
        "check me_service",
        phase="dns",
        what=f"check me_service from {node}: DNS lookup has the error, no socket connect",
        never="socket connect",
    )
    scene.alerts("KubenurseNodeServicesUnreachable", node=node)
    elsewhere.no_failure(scene, f'{here}, type=~"path_.+", ', what=f"of paths from {node}")
    elsewhere.no_failure(scene, f'node!="{node}", ', what="of checks from the other nodes")


def _ends_at(scene: Scene, operation: str, *, phase: str, what: str, never: str) -> None:
    """A trace of a check in which the step of ``phase`` has the error, and ``never`` is no span."""
    trace = scene.trace(
        lambda one: begun_by(one, scene.node, phase=phase), what=what, operation=operation
    )
    failed = trace.named(SPANS[phase])
    assert failed, f"no {SPANS[phase]}: {trace}"
    assert failed[0].status == "ERROR", failed[0]
    assert not trace.named(never), trace


FAULTS: Final = (
    Fault(
        "service-rules-flushed",
        "kube-proxy has died on a node, and its rules are gone",
        "Pods there reach no DNS, no API server and no Service. They reach pods by address",
        "errors of api_server_*, me_ingress and me_service at one node. Checks of neighbours work",
        no_service_rules,
        proof_no_service_rules,
    ),
)
