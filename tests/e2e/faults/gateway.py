"""The gateway collector, to which the agents send their traces, is away: checks go on as ever."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from e2e.cluster import gateway, observability
from e2e.faults import bounds
from e2e.faults.agents import FAILURES, NO_LOAD
from e2e.faults.fault import Fault
from e2e.faults.spans import begun_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e2e.cluster.cluster import Cluster
    from e2e.cluster.machine import Machine
    from e2e.faults.scene import Scene

DOWN_SECONDS: Final = 4.0
UP_SECONDS: Final = 6.0
EXPORTS: Final = "kubenurse_telemetry_exports_total"
_TABLE: Final = "fault-gateway"
_REJECTING: Final = f"""table ip {_TABLE} {{
chain input {{
type filter hook input priority -10;
tcp dport {{ {gateway.GRPC_PORT}, {gateway.HTTP_PORT} }} reject with icmp admin-prohibited
}}
}}
"""

# --- how it is broken: each can be healed twice ---------------------------------------------------


def stop(control: Machine) -> None:
    control.end(gateway.NAME)


def refuse(control: Machine) -> None:
    """As a firewall does it; the gateway itself is well."""
    control.net("nft", "-f", "-", text=_REJECTING)


def accept(control: Machine) -> None:
    control.net("nft", "delete", "table", "ip", _TABLE, check=False)


def hold(control: Machine) -> None:
    """Its kernel accepts and acknowledges, and nothing is ever answered."""
    control.signal(gateway.NAME, signal.SIGSTOP)


def let_go(control: Machine) -> None:
    control.signal(gateway.NAME, signal.SIGCONT)


@contextmanager
def away(
    cluster: Cluster,
    _node: str,
    *,
    broken: Callable[[Machine], None],
    healed: Callable[[Machine], None],
) -> Iterator[None]:
    try:
        broken(cluster.control)
        yield
    finally:
        healed(cluster.control)


@contextmanager
def restarting(cluster: Cluster, _node: str) -> Iterator[None]:
    control, over = cluster.control, threading.Event()

    def restart() -> None:
        while not over.is_set():
            control.end(gateway.NAME)
            over.wait(DOWN_SECONDS)
            observability.start_gateway(control)
            over.wait(UP_SECONDS)

    thread = threading.Thread(target=restart, name="restart", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        observability.start_gateway(control)


# --- what is seen of it ---------------------------------------------------------------------------


def traces_end_with(scene: Scene, result: str, *, at_least: int) -> None:
    """So many exports of traces do, success or failure."""
    scene.counts(
        f'{EXPORTS}{{signal="traces", result="{result}"}}',
        what=f"{EXPORTS} signal=traces result={result}",
        at_least=at_least,
        within=60,
    )


def proof_away(scene: Scene, *, healed: Callable[[Machine], None]) -> None:
    ticks = bounds.Ticks(scene, _agents(scene))
    traces_end_with(scene, "failure", at_least=3)
    scene.counts(
        'kubenurse_telemetry_spans_dropped_total{reason="export_failed"}',
        what="kubenurse_telemetry_spans_dropped_total reason=export_failed",
        within=90,
    )
    scene.unmoved(
        f'{EXPORTS}{{result="success"}}', what="exports that succeed", by=len(_agents(scene))
    )
    scene.alerts("KubenurseExportsFailing", signal="traces", within=240)
    _checks_go_on(scene, ticks)
    healed(scene.cluster.control)
    _traces_come(scene, "traces arrive again after the fault")


def proof_restarting(scene: Scene) -> None:
    ticks = bounds.Ticks(scene, _agents(scene))
    for result in ("failure", "success"):
        traces_end_with(scene, result, at_least=2)
    scene.wait(3 * (DOWN_SECONDS + UP_SECONDS))
    _traces_come(scene, "traces arrive in between")
    _checks_go_on(scene, ticks)


def _agents(scene: Scene) -> list[str]:
    return list(scene.cluster.nodes)


def _checks_go_on(scene: Scene, ticks: bounds.Ticks) -> None:
    scene.unmoved(f"{FAILURES}{{{NO_LOAD}}}", what="failed checks of any type at any agent")
    ticks.none_is_lost()
    bounds.holds(scene, "|".join(_agents(scene)))


def _traces_come(scene: Scene, what: str) -> None:
    """From every agent, of a check that began after now."""
    now = time.time()
    for node in _agents(scene):
        scene.trace(
            lambda one, node=node: (
                one.root is not None and one.root.start > now and begun_by(one, node)
            ),
            what=f"{what}: {node}",
            tags={"k8s.node.name": node},
            within=120,
        )


def _away(
    name: str,
    how: str,
    broken: Callable[[Machine], None],
    healed: Callable[[Machine], None],
) -> Fault:
    return Fault(
        f"gateway-{name}",
        f"The collector that takes the agents' traces {how}",
        "Nothing",
        "nothing: it has no traces",
        partial(away, broken=broken, healed=healed),
        partial(proof_away, healed=healed),
    )


FAULTS: Final = (
    _away("stopped", "has ended", stop, observability.start_gateway),
    _away("refusing", "is behind a firewall that refuses", refuse, accept),
    _away("silent", "accepts connections and answers nothing", hold, let_go),
    Fault(
        "gateway-restarting",
        f"The collector that takes the agents' traces is away for {DOWN_SECONDS:.0f} s"
        f" in every {DOWN_SECONDS + UP_SECONDS:.0f} s",
        "Nothing",
        "nothing: it has no traces",
        restarting,
        proof_restarting,
    ),
)
