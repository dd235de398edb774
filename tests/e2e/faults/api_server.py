"""The API server is down, forbids or is slow: it is told apart, and the checks of nodes go on."""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from e2e.cluster import control_plane
from e2e.cluster.cluster import NAMESPACE, RELEASE
from e2e.cluster.control_plane import API_SERVER
from e2e.cluster.node import PODS
from e2e.cluster.waiting import wait_for
from e2e.faults import discovery
from e2e.faults.failing import Failing, nothing_else
from e2e.faults.fault import Fault
from e2e.faults.figures import mean
from e2e.misbehaving import slow_api

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.cluster import Cluster
    from e2e.cluster.jaeger_api import Trace
    from e2e.faults.scene import Scene

TYPES: Final = ("api_server_direct", "api_server_dns")
STOPPED_SECONDS: Final = 40.0
"""A minute is not needed where the alerts' time is compressed."""
SLOW_SECONDS: Final = 1.2
"""More than the slow threshold (its trace is kept), less than a check's timeout of 2 s."""
HANGS_SECONDS: Final = 5.0
_FAST_SECONDS: Final = 0.02
_CONTROLLERS: Final = ("kube-controller-manager", "kube-scheduler")
_ROLES: Final = ("rolebinding", "clusterrolebinding")
_CHOSEN: Final = 'kubenurse_neighbours{state="chosen"}'


# --- how it is broken -----------------------------------------------------------------------------


@contextmanager
def stopped(cluster: Cluster, _node: str) -> Iterator[None]:
    """As by a crash: at SIGTERM it would first take its address out of its Service.

    The controllers end with it, as they do when they lose their lease: those that live on can
    leave ready pods out of their Services for minutes (EndpointSlices that lag behind).
    """
    control = cluster.control
    for name in _CONTROLLERS:
        control.end(name)
    control.signal(API_SERVER, signal.SIGKILL)
    wait_for(lambda: not control.runs(API_SERVER), seconds=20, what="the API server's end")
    try:
        yield
    finally:
        start(cluster)


@contextmanager
def restarted(cluster: Cluster, node: str) -> Iterator[None]:
    with stopped(cluster, node):
        pass
    yield


def start(cluster: Cluster) -> None:
    if not cluster.control.runs(API_SERVER):
        control_plane.start_api_server(cluster.control, cluster.credentials)
    control_plane.wait_until_ready(cluster.api)
    if not all(map(cluster.control.runs, _CONTROLLERS)):
        control_plane.start_controllers(cluster.control, cluster.credentials)


@contextmanager
def forbidden(cluster: Cluster, _node: str) -> Iterator[None]:
    """Our roles' bindings are deleted; the watches end, as each does within five minutes."""
    bindings = [_binding(cluster, kind) for kind in _ROLES]
    try:
        for kind in _ROLES:
            cluster.kubectl("delete", kind, RELEASE, "--namespace", NAMESPACE)
        discovery.end_watches(cluster)
        yield
    finally:
        cluster.apply(*bindings)


def _binding(cluster: Cluster, kind: str) -> dict[str, Any]:
    text = cluster.kubectl("get", kind, RELEASE, "--namespace", NAMESPACE, "--output=json")
    found: dict[str, Any] = json.loads(text)
    for name in ("uid", "resourceVersion", "creationTimestamp", "managedFields"):
        found["metadata"].pop(name, None)
    return found


@contextmanager
def slow(seconds: float, cluster: Cluster, _node: str) -> Iterator[None]:
    """For the pods; kubelets and controllers ask it directly."""
    pki = cluster.credentials.folder
    try:
        slow_api.insert(cluster.control, pods=PODS, pki=pki, seconds=seconds)
        yield
    finally:
        slow_api.remove(cluster.control)


# --- what is seen of it ---------------------------------------------------------------------------


def proof_stopped(scene: Scene) -> None:
    fails(scene, "connection_refused", "connect")
    discovery.until(
        scene,
        lambda state: "cannot be reached: Connection refused" in state,
        what="/alive: neighbourhood_state says that the API server refuses the connection",
    )
    neighbours_stay(scene)
    scene.wait(STOPPED_SECONDS)
    is_the_only_alert(scene)
    nothing_else(scene, *TYPES)
    start(scene.cluster)
    all_is_well(scene)
    nothing_else(scene, *TYPES)


def proof_restarted(scene: Scene) -> None:
    # The port is closed for 0.1 s; then it takes connections and answers after a second or two:
    # it refuses, resets, lets the handshake wait, or has no roles yet (403).
    how = (
        "connection_refused|connection_reset|tls_handshake_failed|tls_handshake_timeout|http_status"
    )
    scene.counts(
        f'kubenurse_check_failures_total{{type=~"{"|".join(TYPES)}", error_type=~"{how}"}}',
        what="kubenurse_check_failures_total type=api_server_* error_type=connection_refused, "
        "connection_reset, tls_handshake_timeout or http_status",
    )
    neighbours_stay(scene)
    all_is_well(scene)
    scene.wait(45)
    nothing_else(scene, *TYPES)


def proof_forbidden(scene: Scene) -> None:
    """GET /version needs no role: the checks are good, and what lacks is said beside them."""
    discovery.until(
        scene,
        lambda state: (
            f"forbids us to list pods in namespace {NAMESPACE} (403)" in state
            and "forbids us to list cordoned nodes (403)" in state
        ),
        what="/alive: neighbourhood_state names what the role lacks (403)",
    )
    scene.wait(35)
    scene.shows(
        "min(kubenurse_discovery_age_seconds)",
        lambda seconds: seconds > 30,
        what="kubenurse_discovery_age_seconds grows (KubenurseDiscoveryStale: after 20 minutes)",
    )
    neighbours_stay(scene)
    nothing_else(scene)
    scene.stays("kubenurse_check_success", lambda value: value == 1, what="every check")
    scene.no_alert_waits()


def proof_slow(scene: Scene) -> None:
    for type_ in TYPES:
        labels = f'type="{type_}"'
        scene.shows(
            f"min({mean('kubenurse_far_end_duration_seconds', labels)})",
            lambda seconds: seconds > SLOW_SECONDS * 0.9,
            what=f"kubenurse_far_end_duration_seconds type={type_} is {SLOW_SECONDS} s",
            within=60,
        )
        scene.trace(
            partial(_waited_for_the_server, type_),
            what=f"{type_}: kubenurse.far_end.duration is nearly all of kubenurse.duration; DNS, "
            "connect, TLS and kubenurse.network.round_trip are short",
            tags={"kubenurse.type": type_},
        )
    scene.wait(30)
    labels = f'type=~"{"|".join(TYPES)}"'
    for histogram, more in (
        ("kubenurse_network_round_trip_seconds", ""),
        ("kubenurse_check_phase_duration_seconds", ', phase="connect"'),
    ):
        scene.stays(
            mean(histogram, labels + more),
            lambda seconds: seconds < _FAST_SECONDS,
            what=f"{histogram}{more} of type=api_server_*",
        )
    scene.unmoved(f"kubenurse_loss_delay_seconds_count{{{labels}}}", what="loss")
    checks = scene.grown(f"kubenurse_httpclient_requests_total{{{labels}}}")
    scene.unmoved(
        f"kubenurse_check_failures_total{{{labels}}}",
        what="failures: slow is not failed (but where a busy machine takes the rest of 2 s)",
        by=0.05 * checks,
    )
    nothing_else(scene, *TYPES)
    neighbours_stay(scene)
    for type_ in TYPES:
        scene.alerts("KubenurseFarEndSlow", type=type_, within=150)


def proof_hangs(scene: Scene) -> None:
    fails(scene, "response_timeout", "request")
    is_the_only_alert(scene)
    neighbours_stay(scene)
    nothing_else(scene, *TYPES)
    scene.unmoved(
        f'kubenurse_missed_checks_total{{type!~"{"|".join(TYPES)}"}}',
        what="ticks of the other checks: what hangs delays nobody else",
        by=2,
    )


def fails(scene: Scene, error_type: str, phase: str) -> None:
    for type_ in TYPES:
        failing = Failing(type_, error_type, phase)
        failing.seen(scene, nodes=list(scene.cluster.nodes))
        failing.trace(scene)


def is_the_only_alert(scene: Scene) -> None:
    scene.alerts("KubenurseAPIServerUnreachable", type="api_server_direct")
    scene.no_other_alert()


def neighbours_stay(scene: Scene) -> None:
    """Every other node is known, and its checks are good."""
    others = len(scene.cluster.nodes) - 1
    scene.stays(_CHOSEN, lambda chosen: chosen == others, what="the known neighbours")
    scene.stays(
        'kubenurse_check_success{type=~"path_.+"}',
        lambda value: value == 1,
        what="checks of neighbours",
    )


def all_is_well(scene: Scene) -> None:
    """Again, and without a restart of an agent."""
    scene.prometheus.until(
        "min(min_over_time(kubenurse_check_success[3s]))",
        lambda found: [one.value for one in found] == [1.0],
        seconds=60,
        what="checks that are good again",
    )
    discovery.until_ok(scene)
    scene.stays(
        "process_start_time_seconds",
        lambda moment: moment < scene.began_at,
        what="the agents' processes (no restart)",
    )
    scene.prometheus.until_alerts(
        lambda alerts: not alerts.firing, seconds=60, what="alerts that go out again"
    )


def _waited_for_the_server(type_: str, trace: Trace) -> bool:
    client = trace.client
    if client is None or client.attributes.get("kubenurse.duration", 0) < SLOW_SECONDS:
        return False
    seen = client.attributes
    short = ("kubenurse.phase.connect", "kubenurse.network.round_trip")
    return (
        seen["kubenurse.type"] == type_
        and seen["kubenurse.far_end.duration"] > SLOW_SECONDS * 0.9
        and all(seen[name] < _FAST_SECONDS for name in short)
        and seen["kubenurse.phase.tls"] < SLOW_SECONDS / 4
        and client.status == "UNSET"
    )


_NOTHING_NEW: Final = "Applications go on. Nothing can be deployed, scheduled or looked up"

FAULTS: Final = (
    Fault(
        "api-server-stopped",
        "The API server is down",
        _NOTHING_NEW,
        "errors at api_server_direct and api_server_dns, each counted twice",
        stopped,
        proof_stopped,
    ),
    Fault(
        "api-server-restarted",
        "The API server restarts",
        "kubectl fails for some seconds",
        "some errors at api_server_direct and api_server_dns, each counted twice",
        restarted,
        proof_restarted,
    ),
    Fault(
        "api-server-forbids",
        "The agents' role is removed (403)",
        "Nothing. But the agents do not learn of new nodes",
        "an error in its log",
        forbidden,
        proof_forbidden,
    ),
    Fault(
        "api-server-slow",
        f"The API server answers after {SLOW_SECONDS:g} s",
        "Operators and controllers are slow",
        "longer request durations; whose time it is, is not shown",
        partial(slow, SLOW_SECONDS),
        proof_slow,
    ),
    Fault(
        "api-server-hangs",
        f"The API server answers after {HANGS_SECONDS:g} s, and our checks wait for 2 s",
        "Operators and controllers run into time-outs",
        "errors at api_server_direct and api_server_dns (round_trip_error) after five seconds, for "
        "which every other check of the round waits",
        partial(slow, HANGS_SECONDS),
        proof_hangs,
    ),
)
