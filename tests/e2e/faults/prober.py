"""The prober is slow, stopped or has a wrong clock: its own figures move, no network figure."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from e2e.cluster.cluster import NAMESPACE, RELEASE
from e2e.cluster.errors import ClusterError
from e2e.cluster.machine import CGROUPS
from e2e.cluster.waiting import wait_for
from e2e.faults import api_server, mounted, run
from e2e.faults.agents import wait_until_all_ready
from e2e.faults.fault import Fault
from e2e.misbehaving import clock, slow_api

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.cluster import Cluster
    from e2e.cluster.jaeger_api import Trace
    from e2e.cluster.machine import Machine
    from e2e.faults.scene import Scene

CPU_SHARE: Final = 0.05
STOPPED_SECONDS: Final = 3.0
PULSE_SECONDS: Final = (0.3, 0.2)
"""Stopped, running, and again; each by up to a half more or less, or checks would keep step."""
SLOW_SECONDS: Final = 1.0
_MOST_SECONDS: Final = SLOW_SECONDS + 0.4
"""A busy server may take longer than it should: then the check would fail by its own time-out."""
_STOPS: Final = 10
_OWN_TIMEOUT: Final = "own_timeout"
STEP_SECONDS: Final = 60.0
_PERIOD_US: Final = 100_000
_LONG: Final = "0.025"
"""A bucket's bound, far above any figure of this network and far below what the prober waits."""


# --- how it is broken -----------------------------------------------------------------------------


@contextmanager
def little_cpu(cluster: Cluster, node: str) -> Iterator[None]:
    """As limits.cpu of the agent's container would have it; it was started without."""
    group = _cpu_cgroup(cluster.agent_pid(node))
    (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
    (group / "cpu.cfs_quota_us").write_text(str(int(CPU_SHARE * _PERIOD_US)))
    try:
        yield
    finally:
        with suppress(FileNotFoundError):  # kubelet may have restarted it: another container.
            (group / "cpu.cfs_quota_us").write_text("-1")
        wait_until_all_ready(cluster)


def _cpu_cgroup(pid: int) -> Path:
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "cpu" in controllers.split(","):
            return CGROUPS / "cpu" / path.lstrip("/")
    raise FileNotFoundError(f"no cpu cgroup of {pid}")


@contextmanager
def stopped(cluster: Cluster, node: str) -> Iterator[None]:
    """In the middle of a check, for which the API server takes a second."""
    pid, pod = cluster.agent_pid(node), cluster.agents()[node]["status"]["podIP"]
    with api_server.slow(SLOW_SECONDS, cluster, node):
        for _ in range(_STOPS):
            if _stopped_over_a_check(cluster.control, pid, pod):
                break
        else:
            raise ClusterError(f"of {_STOPS} stops of {pid} none was over a check")
    yield


def _stopped_over_a_check(control: Machine, pid: int, pod: str) -> bool:
    """Stop it while a check's request lies at the server; whether it was so, the server says.

    Not its connection: a watch has one, too, and a check has one before its request and after its
    answer. Nor our speed: a busy machine may have sent the answer before the agent stood still.
    """
    before = len(slow_api.asked(control))

    def requests() -> list[slow_api.Asked]:
        new = slow_api.asked(control)[before:]
        return [one for one in new if one.client == pod and _is_direct_check(one)]

    wait_for(lambda: bool(requests()), seconds=20, what="a check's request at the API server")
    request = requests()[-1]
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: _stands_still(pid), seconds=20, what=f"every thread of {pid} stopped")
        if slow_api.answered_after(control, request) is not None:
            return False
        time.sleep(STOPPED_SECONDS)
    finally:
        os.kill(pid, signal.SIGCONT)
    took = slow_api.answered_after(control, request)
    return took is not None and took < _MOST_SECONDS


def _is_direct_check(request: slow_api.Asked) -> bool:
    return request.line.startswith("GET /version ") and not request.host.startswith("kubernetes.")


def _stands_still(pid: int) -> bool:
    stats = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(stat.rpartition(") ")[2][0] == "T" for stat in stats)


@contextmanager
def blocked(cluster: Cluster, node: str) -> Iterator[None]:
    """Its event loop, and all the rest of it, runs for a moment and stops for a longer one."""
    pid, over = cluster.agent_pid(node), threading.Event()
    thread = threading.Thread(target=_pulse, args=(pid, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        wait_until_all_ready(cluster)


def _pulse(pid: int, over: threading.Event) -> None:
    still, running = PULSE_SECONDS
    chance = random.Random(pid)
    with suppress(ProcessLookupError):
        try:
            while not over.wait(running * chance.uniform(0.5, 1.5)):
                os.kill(pid, signal.SIGSTOP)
                over.wait(still * chance.uniform(0.5, 1.5))
                os.kill(pid, signal.SIGCONT)
        finally:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def clock_stepped(cluster: Cluster, node: str) -> Iterator[None]:
    """The agents start anew with a library that can step their clock; then one's is stepped."""
    with tempfile.TemporaryDirectory() as folder:
        cluster.apply(clock.config_map(clock.library(Path(folder)), NAMESPACE))
    pod = clock.pod_patch(RELEASE)["spec"]["template"]["spec"]
    (container,), (volume,) = pod["containers"], pod["volumes"]
    environ = {one["name"]: one["value"] for one in container["env"]}
    path = container["volumeMounts"][0]["mountPath"]
    try:
        cluster.install(mounted.values(path, volume, environ))
        wait_until_all_ready(cluster)
        clock.step(cluster.agent_pid(node), 0)  # Raises where the library is not there.
        yield
    finally:
        cluster.install(run.VALUES)
        wait_until_all_ready(cluster)
        library = ("configmap", clock.CONFIG_MAP, "--namespace", NAMESPACE)
        cluster.kubectl("delete", *library, "--ignore-not-found")


# --- what is seen of it ---------------------------------------------------------------------------


def proof_little_cpu(scene: Scene) -> None:
    node = scene.node
    scene.counts(
        f'kubenurse_cpu_throttled_seconds_total{{node="{node}"}}',
        what=f"kubenurse_cpu_throttled_seconds_total of {node}",
        within=60,
    )
    own_delay_moves(scene, above="0.02")
    # 5 % are more than the 3 % of a core that it needs: how long it waits depends on how its work
    # meets the periods of the limit. prober-blocked is the one that must alert.
    scene.may_alert("KubenurseProberSick")
    scene.wait(60)
    no_network_figure_moves(scene)
    others_are_well(scene)


def proof_stopped(scene: Scene) -> None:
    here = f'node="{scene.node}"'
    scene.counts(
        _beyond("kubenurse_event_loop_lag_seconds", here, "1.0"),
        what=f"kubenurse_event_loop_lag_seconds of {scene.node} above 1 s",
    )
    scene.counts(
        f"kubenurse_missed_checks_total{{{here}}}",
        what=f"kubenurse_missed_checks_total of {scene.node}: at least one tick of each target",
        at_least=5,  # of two to four that pass, one is made up for
    )
    scene.trace(
        lambda trace: _slept(trace, scene.node),
        what="a check over the stop: kubenurse.own_delay of seconds, or own_timeout; DNS, connect, "
        "TLS and kubenurse.network.round_trip are as usual",
        tags={"k8s.node.name": scene.node, "kubenurse.type": "api_server_direct"},
    )
    scene.wait(40)
    no_network_figure_moves(scene)
    others_are_well(scene)


def _slept(trace: Trace, node: str) -> bool:
    client = trace.client
    if client is None or client.resource.get("k8s.node.name") != node:
        return False
    seen, long = client.attributes, float(_LONG)
    return (
        (seen.get("kubenurse.own_delay", 0) > 1 or seen.get("kubenurse.error.type") == _OWN_TIMEOUT)
        and seen.get("kubenurse.network.round_trip", 0) < long
        and seen.get("kubenurse.phase.connect", 0) < long
        and seen.get("kubenurse.far_end.duration", SLOW_SECONDS) < SLOW_SECONDS + 0.5
    )


def proof_blocked(scene: Scene) -> None:
    own_delay_moves(scene)
    scene.counts(
        f'kubenurse_event_loop_lag_seconds_count{{node="{scene.node}"}} - ignoring (le) '
        f'kubenurse_event_loop_lag_seconds_bucket{{node="{scene.node}", le="0.1"}}',
        what=f"kubenurse_event_loop_lag_seconds of {scene.node} above 0.1 s",
        at_least=5,
    )
    scene.alerts("KubenurseProberSick", node=scene.node, within=150)
    no_network_figure_moves(scene)
    others_are_well(scene)


def proof_clock(scene: Scene) -> None:
    scene.wait_until_healthy()
    scene.begin()  # Anew: the roll-out is over.
    pid, node = scene.cluster.agent_pid(scene.node), scene.node
    for seconds in (STEP_SECONDS, 0.0, -STEP_SECONDS, 0.0):
        clock.step(pid, seconds)
        time.sleep(4)
    scene.shows(
        f'kubenurse_check_success{{node="{node}"}}',
        lambda value: value == 1,
        what=f"every check of {node} is good, over four steps of its clock",
    )
    no_network_figure_moves(scene)
    others_are_well(scene)
    scene.unmoved("kubenurse_check_failures_total", what="failed checks")
    scene.unmoved(f'kubenurse_missed_checks_total{{node="{node}"}}', what="missed ticks", by=2)
    scene.no_alert_waits()


def own_delay_moves(scene: Scene, *, above: str = "0.1", at_least: float = 3) -> None:
    scene.counts(
        _beyond("kubenurse_own_delay_seconds", f'node="{scene.node}"', above),
        what=f"kubenurse_own_delay_seconds of {scene.node} above {above} s",
        at_least=at_least,
        within=90,
    )
    scene.trace(
        lambda trace: _waited_for_itself(trace, scene.node, float(above)),
        what="kubenurse.own_delay is long; kubenurse.network.round_trip and "
        "kubenurse.phase.connect are as usual",
        tags={"k8s.node.name": scene.node},
    )


def _waited_for_itself(trace: Trace, node: str, least: float) -> bool:
    client = trace.client
    if client is None or client.resource.get("k8s.node.name") != node:
        return False
    seen, long = client.attributes, float(_LONG)
    return (
        seen.get("kubenurse.own_delay", 0) > least
        and seen.get("kubenurse.timing.source") == "kernel"
        and seen.get("kubenurse.network.round_trip", 1) < long
        and seen.get("kubenurse.phase.connect", 1) < long
    )


def no_network_figure_moves(scene: Scene) -> None:
    """Not one figure of the prober is beyond what this network takes, or another agent measures."""
    here = f'node="{scene.node}"'
    for histogram, labels in (
        ("kubenurse_network_round_trip_seconds", here),
        ("kubenurse_check_phase_duration_seconds", f'{here}, phase="connect"'),
    ):
        scene.unmoved(
            _beyond(histogram, labels, _LONG), what=f"{histogram}{{{labels}}} above {_LONG} s"
        )
    scene.unmoved(f"kubenurse_loss_delay_seconds_count{{{here}}}", what="loss")
    # What the far ends take on a busy machine, the others see, too.
    far_ends = f'type=~"{"|".join(f"path_{other}" for other in scene.others)}"'
    slow, elsewhere = (
        _beyond("kubenurse_far_end_duration_seconds", f"{far_ends}, {where}", "0.5")
        for where in (here, f'node!="{scene.node}"')
    )
    scene.unmoved(
        slow,
        what=f"far ends that {scene.node} sees above 0.5 s, beyond those that the others see",
        by=2 + 2 * scene.grown(elsewhere),
    )


def others_are_well(scene: Scene) -> None:
    """Of the other agents' checks of each other no more fails than a busy machine makes fail."""
    others = "|".join(scene.others)
    paths = "|".join(f"path_{other}" for other in scene.others)
    here = f'node=~"{others}", type=~"{paths}|api_server_.+"'
    checks = scene.grown(f"kubenurse_httpclient_requests_total{{{here}}}")
    scene.unmoved(
        f"kubenurse_check_failures_total{{{here}}}",
        what="failures of the other agents' checks of each other and of the API server",
        by=max(2, 0.02 * checks),
    )


def _beyond(histogram: str, labels: str, bound: str) -> str:
    return (
        f"{histogram}_count{{{labels}}} - ignoring (le) "
        f'{histogram}_bucket{{{labels}, le="{bound}"}}'
    )


FAULTS: Final = (
    Fault(
        "prober-little-cpu",
        "The agent has 5 % of a core",
        "Nothing",
        "every duration grows, as if the network were slow",
        little_cpu,
        proof_little_cpu,
    ),
    Fault(
        "prober-stopped",
        "The agent is stopped for three seconds (SIGSTOP)",
        "Nothing",
        "durations of up to three seconds, as if the network were slow",
        stopped,
        proof_stopped,
    ),
    Fault(
        "prober-blocked",
        "The agent is stopped for 300 ms again and again, as by a blocked event loop",
        "Nothing",
        "durations of up to 300 ms, as if the network were slow",
        blocked,
        proof_blocked,
    ),
    Fault(
        "prober-clock-stepped",
        "The agent's clock is stepped by a minute, to and fro",
        "Nothing",
        "nothing: Go measures by the monotonic clock",
        clock_stepped,
        proof_clock,
    ),
)
