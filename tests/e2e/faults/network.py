"""A node's link is down, flaps, is late in one direction, or has no room for what is sent."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from e2e.cluster import fabric
from e2e.cluster.errors import ClusterError
from e2e.faults import wire
from e2e.faults.fault import Fault
from e2e.misbehaving import bulk, delay

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.cluster import Cluster
    from e2e.cluster.jaeger_api import Trace
    from e2e.faults.scene import Scene

_DELAY_MS: Final = 20.0
_FLAP_DOWN_SECONDS: Final = 1.0
_FLAP_UP_SECONDS: Final = 4.0
_RATE: Final = "4mbit"
_IN_FLIGHT_BYTES: Final = 64 * 1024
"""Of one bulk transfer: at 4 Mbit/s a queue of some 130 ms, and never a full one."""
_MUCH_BYTES: Final = 1000
"""IP packets above this are dropped by the black hole. A check's own are smaller."""


@contextmanager
def link_down(cluster: Cluster, node: str) -> Iterator[None]:
    port = fabric.port_of(node)
    cluster.control.net("ip", "link", "set", port, "down")
    try:
        yield
    finally:
        cluster.control.net("ip", "link", "set", port, "up")


def proof_link_down(scene: Scene) -> None:
    node = scene.node
    for other in scene.others:
        scene.shows(
            f'kubenurse_check_success{{type="path_{node}", node="{other}"}}',
            lambda value: value == 0,
            what=f"kubenurse_check_success type=path_{node} from {other} is 0",
        )
    scene.counts(
        f'kubenurse_check_failures_total{{type="path_{node}"}}',
        what="kubenurse_check_failures_total",
        at_least=2,
    )
    scene.alerts("KubenurseNodeUnreachable", node=node)
    first, second = scene.others[:2]
    scene.unmoved(
        f'kubenurse_errors_total{{type="path_{second}", node="{first}"}}',
        what="errors between the other nodes",
    )


# --- a link that comes and goes -------------------------------------------------------------------


@contextmanager
def flapping(cluster: Cluster, node: str) -> Iterator[None]:
    port, over = fabric.port_of(node), threading.Event()

    def flap() -> None:
        while not over.wait(_FLAP_UP_SECONDS):
            for state, seconds in (("down", _FLAP_DOWN_SECONDS), ("up", 0)):
                with suppress(ClusterError):
                    cluster.control.net("ip", "link", "set", port, state)
                over.wait(seconds)

    flapper = threading.Thread(target=flap, name="flap", daemon=True)
    flapper.start()
    try:
        yield
    finally:
        over.set()
        flapper.join()
        cluster.control.net("ip", "link", "set", port, "up")


def proof_flapping(scene: Scene) -> None:
    node = scene.node
    for other in scene.others:
        scene.counts(
            f'kubenurse_loss_delay_seconds_count{{type="path_{node}", node="{other}"}}',
            what=f"kubenurse_loss_delay_seconds type=path_{node} from {other}",
            at_least=2,
            within=60,
        )
    scene.trace(
        lambda one: _client_number(one, "kubenurse.loss") > 0.2,
        what=f"a check of {node} that lost more than 0.2 s",
        tags={"kubenurse.type": f"path_{node}"},
    )
    scene.alerts("KubenurseNodePacketLoss", node=node, within=150)
    _nothing_between_others(scene)


# --- late, in one direction -----------------------------------------------------------------------


@contextmanager
def delayed(
    cluster: Cluster, node: str, *, to_node: float = 0, from_node: float = 0
) -> Iterator[None]:
    port = fabric.port_of(node)
    delay.insert(cluster.control, port, to_node_ms=to_node, from_node_ms=from_node)
    try:
        yield
    finally:
        delay.remove(cluster.control, port)


def proof_delayed(scene: Scene) -> None:
    """Neither end can tell the directions apart: each sees 20 ms more on the way and back."""
    node = scene.node
    into = f'type="path_{node}"'
    out = f'type=~"path_.+", node="{node}"'
    for checks in (into, out):
        for metric, more, what in (
            ("network_round_trip_seconds", "", "network_round_trip_seconds"),
            ("check_phase_duration_seconds", ', phase="connect"', "phase connect"),
        ):
            before = _mean(scene, metric, checks + more, at=scene.began_at)
            scene.shows(
                _mean_expression(metric, checks + more),
                lambda seconds, before=before: 0.018 <= seconds - before <= 0.045,
                what=f"kubenurse_{what} of {checks} grows by 20 ms",
                within=45,
            )
    scene.trace(
        lambda one: 0.018 <= _client_number(one, "kubenurse.network.round_trip") < 0.1,
        what=f"a check of {node} whose kubenurse.network.round_trip is 20 ms longer",
        tags={"kubenurse.type": f"path_{node}"},
        within=90,
    )
    for checks in (into, out):
        for metric in ("far_end_duration_seconds", "own_delay_seconds"):
            before = _mean(scene, metric, checks, at=scene.began_at)
            scene.stays(
                _mean_expression(metric, checks),
                lambda seconds, before=before: seconds - before < 0.01,
                what=f"kubenurse_{metric} of {checks}",
            )
    scene.unmoved("kubenurse_errors_total", what="failed checks")
    others = "|".join(scene.others)
    scene.stays(
        _mean_expression(
            "network_round_trip_seconds", f'type=~"path_({others})", node=~"{others}"'
        ),
        lambda seconds: seconds < 0.01,
        what="the network round trip between the other nodes",
    )


# --- a full queue before a node -------------------------------------------------------------------


@contextmanager
def bufferbloat(cluster: Cluster, node: str) -> Iterator[None]:
    """A bulk transfer fills the queue of a narrow link, and everything else waits behind it."""
    machine = cluster.nodes[node].machine
    with (
        wire.limited(cluster, node, rate=_RATE, queue_bytes=8 * _IN_FLIGHT_BYTES),
        bulk.transfer(cluster.edge, machine, in_flight_bytes=_IN_FLIGHT_BYTES),
    ):
        yield


def proof_bufferbloat(scene: Scene) -> None:
    node = scene.node
    for checks in (f'type="path_{node}"', f'type=~"path_.+", node="{node}"'):
        scene.shows(
            _mean_expression("network_round_trip_seconds", checks),
            lambda seconds: seconds > 0.05,
            what=f"kubenurse_network_round_trip_seconds of {checks} is above 50 ms",
            within=45,
        )
    scene.shows(
        f'kubenurse:node_in:round_trip_seconds5m{{node="{node}"}}',
        lambda seconds: seconds > 0.05,
        what=f"kubenurse:node_in:round_trip_seconds5m of {node}",
        within=60,
    )
    scene.trace(
        lambda one: _client_number(one, "kubenurse.network.round_trip") > 0.05,
        what=f"a check of {node} with a long kubenurse.network.round_trip",
        tags={"kubenurse.type": f"path_{node}"},
        within=90,
    )
    for metric in ("far_end_duration_seconds", "own_delay_seconds"):
        scene.stays(
            _mean_expression(metric, f'type="path_{node}"'),
            lambda seconds: seconds < 0.05,
            what=f"kubenurse_{metric} of path_{node}",
        )
    scene.unmoved("kubenurse_errors_total", what="failed checks")
    _nothing_between_others(scene)


# --- large packets vanish -------------------------------------------------------------------------


@contextmanager
def mtu_black_hole(cluster: Cluster, node: str) -> Iterator[None]:
    """Large packets to the node vanish, and nobody is told (no ICMP)."""
    match = f"ip protocol tcp meta length > {_MUCH_BYTES + 14}"
    with wire.dropping(cluster, node, to=match):
        yield


def proof_mtu_black_hole(scene: Scene) -> None:
    """TLS shows it, for a certificate is large; checks of neighbours are small and see nothing."""
    node = scene.node
    for kind in ("api_server_direct", "api_server_dns", "me_ingress"):
        scene.counts(
            f'kubenurse_check_failures_total{{node="{node}", type="{kind}",'
            f' phase="tls", error_type="tls_handshake_timeout"}}',
            what=f"kubenurse_check_failures_total type={kind} phase=tls"
            f" error_type=tls_handshake_timeout at {node}",
            at_least=2,
        )
    trace = scene.trace(
        lambda one: one.root is not None and one.root.resource.get("k8s.node.name") == node,
        what=f"check api_server_direct from {node}: socket connect is good, TLS has the error",
        tags={"kubenurse.error.type": "tls_handshake_timeout"},
        operation="check api_server_direct",
    )
    assert [span.status for span in trace.named("socket connect")] == ["UNSET"], trace
    assert [span.status for span in trace.named("TLS client handshake")] == ["ERROR"], trace
    scene.alerts("KubenurseNodeServicesUnreachable", node=node)
    scene.unmoved('kubenurse_errors_total{type=~"path_.+"}', what="checks of neighbours")
    scene.unmoved(f'kubenurse_errors_total{{node!="{node}"}}', what="checks from other nodes")
    scene.unmoved(
        f'kubenurse_loss_delay_seconds_count{{type="path_{node}"}}', what=f"loss of path_{node}"
    )


# --- helpers --------------------------------------------------------------------------------------


def _nothing_between_others(scene: Scene) -> None:
    others = "|".join(scene.others)
    pair = f'type=~"path_({others})", node=~"{others}"'
    for metric, what in (("loss_delay_seconds_count", "loss"), ("errors_total", "errors")):
        scene.unmoved(f"kubenurse_{metric}{{{pair}}}", what=f"{what} between the other nodes")


def _mean_expression(metric: str, labels: str) -> str:
    """The mean of a histogram in the last 10 s."""
    total, number = (
        f"sum(rate(kubenurse_{metric}_{part}{{{labels}}}[10s]))" for part in ("sum", "count")
    )
    return f"{total} / {number}"


def _mean(scene: Scene, metric: str, labels: str, *, at: float) -> float:
    return scene.total(_mean_expression(metric, labels), at=at)


def _client_number(trace: Trace, name: str) -> float:
    client = next((span for span in trace.spans if span.kind == "client"), None)
    return float(client.attributes.get(name, 0)) if client is not None else 0.0


FAULTS: Final = (
    Fault(
        "node-link-down",
        "A node's link is down",
        "Pods on the node cannot be reached",
        "errors at path_<node> from every other node, each counted twice",
        link_down,
        proof_link_down,
    ),
    Fault(
        "node-link-flaps",
        "A node's link is down for 1 s in every 5 s",
        "Stalls of a second and more with everything on the node",
        "slow checks, few errors at path_<node>",
        flapping,
        proof_flapping,
    ),
    *(
        Fault(
            f"delay-{way}-node",
            f"Packets {way} a node take 20 ms longer",
            "Every round trip with the node takes 20 ms longer",
            "20 ms more in every duration, along with its own scheduling",
            partial(delayed, **{f"{way}_node": _DELAY_MS}),
            proof_delayed,
        )
        for way in ("to", "from")
    ),
    Fault(
        "bufferbloat",
        "A bulk transfer fills the queue of a node's narrow link (4 Mbit/s)",
        "Everything with the node takes 0.1 s longer; nothing is lost",
        "0.1 s more in every duration, without a cause",
        bufferbloat,
        proof_bufferbloat,
    ),
    Fault(
        "mtu-black-hole",
        "TCP packets above 1,000 bytes to a node vanish",
        "Downloads and TLS hang; small requests and pings work",
        "errors of api_server_* and me_ingress at one node; path checks work",
        mtu_black_hole,
        proof_mtu_black_hole,
    ),
)
