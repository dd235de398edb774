"""The way to a node is late: in one direction, or behind a queue that others fill."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from e2e.cluster import fabric
from e2e.faults import elsewhere, wire
from e2e.faults.fault import Fault
from e2e.faults.spans import client_number
from e2e.misbehaving import bulk, delay

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.cluster import Cluster
    from e2e.cluster.jaeger_api import Trace
    from e2e.faults.scene import Scene

_DELAY_MS: Final = 20.0
_RATE: Final = "4mbit"
_IN_FLIGHT_BYTES: Final = 256 * 1024
"""At most, of one bulk transfer: at 4 Mbit/s a queue of 0.1 to 0.5 s, and never a full one."""
_MEAN_SECONDS: Final = 12.0
"""Then a mean of 10 s is of the fault alone, and nothing of what was before."""
_RULE_SECONDS: Final = 32.0
"""Likewise for the rules' five minutes, compressed."""


# --- late, in one direction -----------------------------------------------------------------------


@contextmanager
def delayed(
    cluster: Cluster, node: str, *, to_node_ms: float = 0, from_node_ms: float = 0
) -> Iterator[None]:
    port = fabric.port_of(node)
    delay.insert(cluster.control, port, to_node_ms=to_node_ms, from_node_ms=from_node_ms)
    try:
        yield
    finally:
        delay.remove(cluster.control, port)


def proof_delayed(scene: Scene) -> None:
    """Neither end can tell the directions apart: each sees 20 ms more on the way and back."""
    node = scene.node
    into = f'type="path_{node}"'
    out = f'type=~"path_.+", node="{node}"'
    scene.wait(_MEAN_SECONDS)
    for checks in (into, out):
        for metric, labels in (
            ("network_round_trip_seconds", checks),
            ("check_phase_duration_seconds", f'{checks}, phase="connect"'),
        ):
            scene.shows(
                _mean_expression(metric, labels),
                _is_the_delay,
                what=f"kubenurse_{metric} of {labels} is 20 ms or a little more",
                within=45,
            )
    scene.trace(
        lambda one: (
            0.018 <= client_number(one, "kubenurse.network.round_trip") < 0.1
            and _unexplained(one) < 0.01
        ),
        what=f"a check of {node} whose kubenurse.network.round_trip is 20 ms longer",
        tags={"kubenurse.type": f"path_{node}"},
        within=90,
    )
    for checks in (into, out):
        _no_time_of_processes(scene, checks, most=_DELAY_MS / 2000)
    elsewhere.no_failure(scene, "", what="of any check")
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
    scene.wait(_MEAN_SECONDS)
    for checks in (f'type="path_{node}"', f'type=~"path_.+", node="{node}"'):
        scene.shows(
            _mean_expression("network_round_trip_seconds", checks),
            lambda seconds: seconds > 0.05,
            what=f"kubenurse_network_round_trip_seconds of {checks} is above 50 ms",
            within=45,
        )
    scene.wait(_RULE_SECONDS)
    scene.shows(
        f'kubenurse:node_in:round_trip_seconds5m{{node="{node}"}}',
        lambda seconds: seconds > 0.05,
        what=f"kubenurse:node_in:round_trip_seconds5m of {node}",
        within=60,
    )
    scene.trace(
        lambda one: client_number(one, "kubenurse.network.round_trip") > 0.05,
        what=f"a check of {node} with a long kubenurse.network.round_trip",
        tags={"kubenurse.type": f"path_{node}"},
        within=90,
    )
    _no_time_of_processes(scene, f'type="path_{node}"', most=0.05)
    elsewhere.no_failure(scene, "", what="of any check")
    elsewhere.calm_between_others(scene)


# --- helpers --------------------------------------------------------------------------------------


def _no_time_of_processes(scene: Scene, checks: str, *, most: float) -> None:
    """Medians: on a busy machine some checks do wait for a process."""
    for metric in ("far_end_duration_seconds", "own_delay_seconds"):
        scene.stays(
            "histogram_quantile(0.5, sum by (le)"
            f" (rate(kubenurse_{metric}_bucket{{{checks}}}[20s])))",
            lambda seconds: seconds < most,
            what=f"kubenurse_{metric} of {checks}",
        )


def _is_the_delay(seconds: float) -> bool:
    """All else on the way takes well below a millisecond, some more where the machine is busy."""
    return 0.9 * _DELAY_MS <= seconds * 1000 <= 2.2 * _DELAY_MS


def _unexplained(trace: Trace) -> float:
    """Seconds of the far end's time that the far end does not know of."""
    return client_number(trace, "kubenurse.far_end.duration") - (
        client_number(trace, "kubenurse.far_end.wait")
        + client_number(trace, "kubenurse.far_end.app")
    )


def _mean_expression(metric: str, labels: str) -> str:
    """The mean of a histogram in the last 10 s."""
    total, number = (
        f"sum(rate(kubenurse_{metric}_{part}{{{labels}}}[10s]))" for part in ("sum", "count")
    )
    return f"{total} / {number}"


FAULTS: Final = (
    *(
        Fault(
            f"delay-{way}-node",
            f"Packets {way} a node take 20 ms longer",
            "Every round trip with the node takes 20 ms longer",
            "20 ms more in every duration, mixed with its own scheduling",
            inject,
            proof_delayed,
        )
        for way, inject in (
            ("to", partial(delayed, to_node_ms=_DELAY_MS)),
            ("from", partial(delayed, from_node_ms=_DELAY_MS)),
        )
    ),
    Fault(
        "bufferbloat",
        "A bulk transfer fills the queue of a node's narrow link (4 Mbit/s)",
        "Everything with the node takes at least 0.1 s longer. Nothing is lost",
        "0.1 s more in every duration, and no cause",
        bufferbloat,
        proof_bufferbloat,
    ),
)
