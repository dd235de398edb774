"""The cluster's DNS: gone, silent, half dead, wrong, slow, lossy, asked for the wrong names."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from e2e.faults import agents, name_servers
from e2e.faults.failing import Failing, nothing_else
from e2e.faults.fault import Fault
from e2e.misbehaving.dns import Mode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.cluster import Cluster
    from e2e.cluster.jaeger_api import Trace
    from e2e.faults.scene import Scene

_CLUSTER_NAMES: Final = ("api_server_dns", "me_service")
_NAMES: Final = (*_CLUSTER_NAMES, "me_ingress")
"""Types of checks that look up a name; the ingress' is not of the cluster's domain."""


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


def proof_one_silent(scene: Scene) -> None:
    """Half of the look-ups fail: glibc asks again from the same port, so the same pod."""
    for type_ in _NAMES:
        Failing(type_, "dns_timeout", "dns").trace(scene)
    scene.counts(
        f'kubenurse_check_failures_total{{type=~"{"|".join(_NAMES)}", error_type="dns_timeout"}}',
        what="kubenurse_check_failures_total error_type=dns_timeout phase=dns",
        at_least=6,
    )
    scene.alerts("KubenurseDNSFailing")
    scene.shows(
        'max(avg_over_time(kubenurse_check_success{type=~"api_server_dns|me_service"}[20s]))',
        lambda share: 0.2 < share < 1,
        what="kubenurse_check_success of the checks by name goes up and down",
    )
    nothing_else(scene, *_NAMES)


def proof_slow(least: float, scene: Scene) -> None:
    """Look-ups take longer, no check fails for it."""
    _slow_look_ups(scene, least)
    scene.alerts("KubenurseDNSSlow", within=150)
    _other_steps_are_fast(scene)
    nothing_else(scene)


@contextmanager
def lossy(cluster: Cluster, node: str) -> Iterator[None]:
    """Answers are lost; agents wait for as long as they do by default: for three questions."""
    with (
        agents.installed_with(cluster, check_timeout="5s"),
        name_servers.in_the_way(Mode.LOSSY, cluster, node),
    ):
        yield


def proof_lossy(scene: Scene) -> None:
    """A lost answer costs a second (timeout: 1), a few checks lose three and fail."""
    scene.begin_again()
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
        name_servers.stopped,
        partial(proof_failing, "dns_timeout", _NAMES),
    ),
    Fault(
        "dns-silent",
        "Both CoreDNS pods are Ready, but answer no query",
        "Look-ups hang and then fail",
        "errors at the three checks by name after their time-out; the round waits for them",
        partial(name_servers.silent, 2),
        partial(proof_failing, "dns_timeout", _NAMES),
    ),
    Fault(
        "dns-servfail",
        "CoreDNS answers SERVFAIL",
        "No name can be looked up",
        "errors at the three checks by name, each counted twice",
        partial(name_servers.answering, "SERVFAIL", "."),
        partial(proof_failing, "dns_server_failure", _NAMES),
    ),
    Fault(
        "dns-nxdomain",
        "CoreDNS no longer knows cluster.local",
        "Services are not found. Names outside of the cluster are",
        "errors at me_service and api_server_dns, each counted twice",
        partial(name_servers.answering, "NXDOMAIN", "cluster.local"),
        partial(proof_failing, "host_not_found", _CLUSTER_NAMES),
    ),
    Fault(
        "dns-one-frozen",
        "One of two CoreDNS pods is frozen",
        "For some seconds half of the look-ups stall, and some fail",
        "some errors at the checks by name",
        name_servers.one_frozen,
        proof_one_frozen,
    ),
    Fault(
        "dns-one-silent",
        "One of two CoreDNS pods is Ready, but answers no query",
        "Half of the look-ups fail after the resolver's time-outs",
        "errors at the checks by name, half of the time",
        partial(name_servers.silent, 1),
        proof_one_silent,
    ),
    Fault(
        "dns-slow",
        "Every DNS answer is 0.5 s late",
        "Everything that looks up a name takes 0.5 s longer",
        "longer durations of the checks by name; the event dns_done shows that it is DNS",
        partial(name_servers.in_the_way, Mode.SLOW, seconds=0.5),
        partial(proof_slow, 0.4),
    ),
    Fault(
        "dns-2s-slow",
        "Every DNS answer is 2 s late, which is longer than the resolver waits",
        "Look-ups fail, or take seconds",
        "errors at the three checks by name, or durations of 2 s",
        partial(name_servers.in_the_way, Mode.SLOW, seconds=2.0),
        partial(proof_failing, "dns_timeout", _NAMES),
    ),
    Fault(
        "dns-lossy",
        "A fifth of the DNS answers is lost",
        "A fifth of the look-ups stalls for the resolver's time-out",
        "now and then a longer duration of a check by name; few errors",
        lossy,
        proof_lossy,
    ),
    Fault(
        "dns-search-path",
        "The pods' resolv.conf has ndots 5 and a search domain that answers slowly",
        "Every look-up first asks for names that do not exist",
        "longer durations of the checks by name",
        name_servers.wrong_search_path,
        partial(proof_slow, 0.25),
    ),
)
