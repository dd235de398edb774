"""What else the agents check (KUBENURSE_EXTRA_CHECKS) fails, by TCP or DNS; all else is well.

Nothing stands there before: agents get the check with the fault, and all of them start anew.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from e2e.cluster.credentials import INGRESS_HOST
from e2e.cluster.dns import INGRESS_ADDRESS
from e2e.cluster.node import CLUSTER_DNS
from e2e.faults import agents, wire
from e2e.faults.failing import nothing_else
from e2e.faults.fault import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.cluster import Cluster
    from e2e.cluster.jaeger_api import Trace
    from e2e.faults.scene import Scene

NAME: Final = "outside"
PORT: Final = 5432
"""Nothing listens there on the machine of that address, `edge`."""
TO_PORT: Final = f"tcp dport {PORT}"
TCP: Final = f"tcp://{INGRESS_ADDRESS}:{PORT}"
OTHER_ADDRESS: Final = f"dns://{CLUSTER_DNS}/{INGRESS_HOST};expect=10.90.0.99"
NO_SUCH_NAME: Final = f"dns://{CLUSTER_DNS}/gone.default.svc.cluster.local"


@contextmanager
def checked(url: str, cluster: Cluster, _node: str) -> Iterator[None]:
    with agents.installed_with(cluster, extra_checks=f"{NAME}:{url}"):
        yield


@contextmanager
def silent(cluster: Cluster, node: str) -> Iterator[None]:
    """What is sent to the port vanishes, as behind a firewall that drops."""
    drop = wire.dropping(cluster, "edge", to=TO_PORT)
    with drop, checked(TCP, cluster, node):
        yield


def proof(error_type: str, phase: str, span: str, scene: Scene) -> None:
    """From every node, for one cause, in one span; no other check knows of it."""
    scene.begin_again()
    of_type = f'type="{NAME}"'
    cause = f'error_type="{error_type}", phase="{phase}"'
    for node in scene.cluster.nodes:
        scene.counts(
            f'kubenurse_check_failures_total{{{of_type}, {cause}, node="{node}"}}',
            what=f"kubenurse_check_failures_total {of_type} {cause} from {node}",
            at_least=2,
            within=60,
        )
    scene.unmoved(
        f'kubenurse_check_failures_total{{{of_type}, error_type!="{error_type}"}}',
        what=f"failures of {NAME} with another cause",
    )
    scene.trace(
        lambda one: _tells(one, span, error_type),
        what=f"check of {NAME} with {span}: {error_type}, phase {phase}",
        operation="check extra",
        tags={"kubenurse.type": NAME},
    )
    scene.alerts("KubenurseExtraCheckFailing", type=NAME)
    nothing_else(scene, NAME)


def _tells(trace: Trace, span: str, error_type: str) -> bool:
    root = trace.root
    return (
        root is not None
        and root.status == "ERROR"
        and root.attributes.get("kubenurse.error.type") == error_type
        and bool(root.attributes.get("kubenurse.error.message"))
        and bool(trace.named(span))
    )


FAULTS: Final = (
    Fault(
        "extra-tcp-refused",
        "Nothing listens where an extra check connects to",
        "Whoever needs that service is refused",
        "nothing: its extra checks are HTTP only",
        partial(checked, TCP),
        partial(proof, "connection_refused", "connect", "TCP connect"),
    ),
    Fault(
        "extra-tcp-silent",
        "Packets to an extra check's port are dropped",
        "Whoever needs that service waits for a time-out",
        "nothing: its extra checks are HTTP only",
        silent,
        partial(proof, "connect_timeout", "connect", "TCP connect"),
    ),
    Fault(
        "extra-dns-other-address",
        "A name server answers an extra check with another address than expected",
        "Whoever looks up that name is sent to another place",
        "nothing: its extra checks are HTTP only",
        partial(checked, OTHER_ADDRESS),
        partial(proof, "unexpected_answer", "status", "DNS query"),
    ),
    Fault(
        "extra-dns-nxdomain",
        "A name server says that an extra check's name does not exist",
        "Whoever looks up that name finds nothing",
        "nothing: its extra checks are HTTP only",
        partial(checked, NO_SUCH_NAME),
        partial(proof, "unexpected_answer", "status", "DNS query"),
    ),
)
