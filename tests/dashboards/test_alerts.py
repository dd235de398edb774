"""The alerts against paper clusters of twelve nodes, judged by promtool: who fires, and who not."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_tools import ROOT, binary
from synthetic import (
    EVERYWHERE,
    NODES,
    Fault,
    Moment,
    Scene,
    Verdict,
    Way,
    at_times,
    input_series,
)

RULES = ROOT / "helm" / "kubenurse-otel" / "files" / "alerts" / "rules.yaml"
WAYS = (Way.SCRAPED, Way.PUSHED, Way.NATIVE)
BOTH = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.value)
ONE, TWO, SIX = NODES[0], NODES[1], NODES[5]
CALM = Moment()
FAULT_AT = 300.0
"""Seconds; every scene is calm before it."""


def clock(seconds: float) -> str:
    return f"{int(seconds)}s"


def run(
    folder: Path,
    scene: Scene,
    fired: dict[float, list[dict[str, Any]]],
    *,
    way: Way,
    seconds: float,
    step_seconds: float | None = None,
    nodes: tuple[str, ...] = NODES,
    cluster: str = "",
    alert_tests: list[dict[str, Any]] | None = None,
) -> None:
    """Let promtool evaluate the rules over the scene; at each time exactly ``fired`` fires."""
    step_seconds = step_seconds or (15 if seconds <= 1200 else 30)
    series = input_series(
        scene, seconds=seconds, step_seconds=step_seconds, way=way, nodes=nodes, cluster=cluster
    )
    interval = clock(step_seconds)
    test = {
        "interval": interval,
        "input_series": series,
        "promql_expr_test": at_times({clock(time): alerts for time, alerts in fired.items()}),
        "alert_rule_test": alert_tests or [],
    }
    file = folder / "test.yaml"
    file.write_text(
        json.dumps({"rule_files": [str(RULES)], "evaluation_interval": interval, "tests": [test]})
    )
    done = subprocess.run(
        [binary("promtool"), "test", "rules", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]


def after(seconds: float, moment: Moment) -> Scene:
    """Calm, then the moment for good."""
    return lambda now: moment if now >= seconds else CALM


def silent(until: float, every: float = 60) -> dict[float, list[dict[str, Any]]]:
    """At no time does anything fire."""
    return {time * every: [] for time in range(1, int(until / every) + 1)}


def named(alert: str, **labels: str) -> dict[str, Any]:
    return {"alertname": alert} | labels


# --- each fires, alone --------------------------------------------------------------------------

UNREACHABLE = named("KubenurseNodeUnreachable", node=SIX)
NO_WAY_OUT = named("KubenurseNodeCannotReachOthers", node=SIX)
CLUSTER = named("KubenurseClusterNetworkFailing")
API_SERVER = named("KubenurseAPIServerUnreachable", type="api_server_direct")
DNS = named("KubenurseDNSFailing")

DEAD_API_SERVER = Moment(
    faults={
        "api_server_direct": Fault(error_type="connection_refused"),
        "api_server_dns": Fault(error_type="connection_refused"),
    },
)


def dead_node(now: float) -> Moment:
    """Its endpoint leaves the Service after 50 s; until then one check in twelve meets it."""
    if now < FAULT_AT:
        return CALM
    service = {"me_service": Fault(every=12), "me_ingress": Fault(every=12)}
    early = now < FAULT_AT + 50
    return Moment(
        dead=frozenset({SIX}),
        faults=service if early else {},
        not_ready=frozenset() if early else frozenset({SIX}),
    )


def lossy_dns(now: float) -> Moment:
    """Slow all the time; in one minute of four half of the look-ups get no answer at all."""
    if now < FAULT_AT:
        return CALM
    lost = Fault(error_type="dns_timeout", phase="dns", every=2)
    faults = {"api_server_dns": lost, "me_service": lost}
    return Moment(dns_seconds=0.3, faults=faults if now % 240 < 60 else {})


def dns_after_another_incident(now: float) -> Moment:
    """The API server's name fails in TLS for 150 s; right after it DNS dies for good."""
    if now < FAULT_AT:
        return CALM
    if now < FAULT_AT + 150:
        return Moment(faults={"api_server_dns": Fault(phase="tls")})
    lost = Fault(error_type="dns_timeout", phase="dns")
    return Moment(faults=dict.fromkeys(("api_server_dns", "me_ingress", "me_service"), lost))


def dns_for_150_seconds(now: float) -> Moment:
    """Less than its alert waits: nothing fires when it is over."""
    lost = Fault(error_type="dns_timeout", phase="dns")
    away = dict.fromkeys(("api_server_dns", "me_ingress", "me_service"), lost)
    return Moment(faults=away) if FAULT_AT <= now < FAULT_AT + 150 else CALM


def dead_api_server(now: float) -> Moment:
    """Discovery hears nothing more while it is gone."""
    if now < FAULT_AT:
        return CALM
    return dataclasses.replace(DEAD_API_SERVER, discovery_age=now - FAULT_AT)


def isolated_source(now: float) -> Moment:
    if now < FAULT_AT:
        return CALM
    return Moment(isolated=frozenset({SIX}))


@BOTH
@pytest.mark.parametrize(
    ("scene", "alert", "within"),
    [
        pytest.param(dead_node, UNREACHABLE, 150, id="dead node"),
        pytest.param(isolated_source, NO_WAY_OUT, 150, id="isolated source"),
        pytest.param(dead_api_server, API_SERVER, 270, id="dead API server"),
        pytest.param(
            after(FAULT_AT, Moment(unreachable=frozenset({SIX}))),
            UNREACHABLE,
            150,
            id="unreachable, and still reporting",
        ),
        pytest.param(
            after(FAULT_AT, Moment(unreachable=frozenset({SIX}), isolated=frozenset({SIX}))),
            UNREACHABLE,
            150,
            id="cut off both ways is one alert",
        ),
        pytest.param(
            after(FAULT_AT, Moment(unreachable=frozenset(NODES[:4]))),
            CLUSTER,
            150,
            id="a third of the nodes is one alert",
        ),
        pytest.param(
            after(
                FAULT_AT,
                Moment(
                    unreachable=frozenset(NODES[:5]),
                    faults=dict.fromkeys(
                        ("api_server_direct", "api_server_dns", "me_ingress", "me_service"), Fault()
                    ),
                ),
            ),
            CLUSTER,
            150,
            id="a broken network mutes what follows from it",
        ),
        pytest.param(
            after(FAULT_AT, Moment(loss={SIX: 0.05})),
            named("KubenurseNodePacketLoss", node=SIX),
            600,
            id="packet loss on a node names it and not its peers",
        ),
        pytest.param(
            after(FAULT_AT, Moment(loss={SIX: 0.5})),
            named("KubenurseNodePacketLoss", node=SIX),
            600,
            id="so much loss that its peers' means are high as well",
        ),
        pytest.param(
            after(FAULT_AT, Moment(loss=dict.fromkeys(NODES, 0.05))),
            named("KubenurseClusterPacketLoss"),
            600,
            id="loss everywhere is one alert",
        ),
        pytest.param(
            after(
                FAULT_AT,
                Moment(
                    faults={
                        type_: Fault(error_type="dns_timeout", phase="dns")
                        for type_ in ("api_server_dns", "me_ingress", "me_service", "shop")
                    }
                ),
            ),
            DNS,
            270,
            id="dead DNS mutes what follows from it",
        ),
        pytest.param(
            after(
                FAULT_AT,
                Moment(
                    faults={
                        type_: Fault(error_type="dns_timeout", phase="dns", every=2)
                        for type_ in ("api_server_dns", "me_service")
                    }
                ),
            ),
            DNS,
            270,
            id="half of the look-ups fail",
        ),
        pytest.param(
            after(FAULT_AT, Moment(dns_seconds=0.2)),
            named("KubenurseDNSSlow"),
            1000,
            id="slow DNS",
        ),
        pytest.param(
            lossy_dns,
            named("KubenurseDNSSlow"),
            1000,
            id="slow DNS that now and then fails for a minute",
        ),
        pytest.param(
            after(FAULT_AT, Moment(faults={"api_server_dns": Fault(phase="tls")})),
            named("KubenurseAPIServerNameUnreachable", type="api_server_dns"),
            270,
            id="API server by its name alone",
        ),
        pytest.param(
            after(FAULT_AT, Moment(faults={"me_service": Fault()})),
            named("KubenurseServiceFailing", type="me_service"),
            270,
            id="Service path",
        ),
        pytest.param(
            after(FAULT_AT, Moment(faults={"me_ingress": Fault(every=3)})),
            named("KubenurseIngressFailing", type="me_ingress"),
            360,
            id="a third of the ingress checks",
        ),
        pytest.param(
            after(FAULT_AT, Moment(faults={"shop": Fault(phase="status")})),
            named("KubenurseExtraCheckFailing", type="shop"),
            400,
            id="extra check",
        ),
        pytest.param(
            after(
                FAULT_AT,
                Moment(
                    faults={
                        type_: Fault(sources=frozenset({SIX}))
                        for type_ in ("api_server_direct", "api_server_dns", "me_service")
                    }
                ),
            ),
            named("KubenurseNodeServicesUnreachable", node=SIX),
            450,
            id="kube-proxy's rules gone on one node",
        ),
        pytest.param(
            after(FAULT_AT, Moment(bad_pairs=frozenset({(ONE, TWO)}))),
            named("KubenursePairImpaired", source_node=ONE, target_node=TWO),
            900,
            id="one pair",
        ),
        pytest.param(
            after(FAULT_AT, Moment(lossy_pairs={(ONE, TWO): 0.1})),
            named("KubenursePairImpaired", source_node=ONE, target_node=TWO),
            900,
            id="loss of one pair",
        ),
        pytest.param(
            after(
                FAULT_AT,
                Moment(
                    faults=dict.fromkeys(
                        ("api_server_direct", "api_server_dns"),
                        Fault(error_type="credentials_refused", phase="status"),
                    )
                ),
            ),
            named("KubenurseTokenRefused"),
            200,
            id="a token that is refused is not an API server that is down",
        ),
        pytest.param(
            after(
                FAULT_AT,
                Moment(
                    faults=dict.fromkeys(
                        ("api_server_direct", "api_server_dns"),
                        Fault(
                            error_type="credentials_refused",
                            phase="status",
                            sources=frozenset({SIX}),
                        ),
                    )
                ),
            ),
            named("KubenurseTokenRefused"),
            200,
            id="a token that is refused on one node is not its kube-proxy",
        ),
        pytest.param(
            after(FAULT_AT, Moment(far_end_seconds={"me_ingress": 1.2})),
            named("KubenurseFarEndSlow", type="me_ingress"),
            600,
            id="a slow application behind the ingress",
        ),
        pytest.param(
            dns_after_another_incident,
            DNS,
            270 + 300,
            id="DNS fails soon after the API server's name did for another reason",
        ),
        pytest.param(
            after(FAULT_AT, Moment(own_delay_seconds={SIX: 0.5})),
            named("KubenurseProberSick", node=SIX),
            660,
            id="a prober without CPU",
        ),
        pytest.param(
            lambda now: (
                Moment(
                    own_delay_seconds={SIX: 0.5},
                    silent=frozenset({SIX} if now % 180 == 0 else ()),
                )
                if now >= FAULT_AT
                else Moment()
            ),
            named("KubenurseProberSick", node=SIX),
            1300,
            id="a prober so short of CPU that it misses scrapes",
        ),
        pytest.param(
            lambda now: Moment(discovery_age=max(20, now - FAULT_AT)),
            named("KubenurseDiscoveryStale"),
            1260,
            id="discovery stale, the API server well",
        ),
        pytest.param(
            after(FAULT_AT, Moment(without_neighbours=EVERYWHERE)),
            named("KubenurseNoNeighbours"),
            960,
            id="a filter that misses all pods",
        ),
        pytest.param(
            after(FAULT_AT, Moment(silent=frozenset({SIX}))),
            named("KubenurseAgentNotReporting", node=SIX),
            1300,
            id="metrics of one agent do not arrive",
        ),
        pytest.param(
            after(FAULT_AT, Moment(silent=EVERYWHERE)),
            named("KubenurseAgentsAbsent"),
            960,
            id="no agent reports",
        ),
        pytest.param(
            after(FAULT_AT, Moment(exports_fail=EVERYWHERE)),
            named("KubenurseExportsFailing", signal="traces"),
            1200,
            id="the collector is dead",
        ),
        pytest.param(
            after(FAULT_AT, Moment(rejected_a_check=0.05)),
            named("KubenurseExportsFailing", signal="traces"),
            1200,
            id="the collector rejects a part",
        ),
        *(
            pytest.param(
                lambda now, fault=fault, items=items: dataclasses.replace(
                    fault if now >= FAULT_AT else CALM, collector_items=items
                ),
                named("KubenurseCollectorNotSending", signal=signal),
                960,
                id=f"collectors {what} {signal}",
            )
            for what, fault in {
                "send no": Moment(collector_sends=dict.fromkeys(NODES, 0.0)),
                "on one node send no": Moment(collector_sends={SIX: 0.0}),
                "refuse": Moment(collector_refuses=EVERYWHERE),
                "give up": Moment(collector_gives_up=EVERYWHERE),
            }.items()
            for signal, items in (
                ("traces", "spans"),
                ("metrics", "metric_points"),
                ("logs", "log_records"),
            )
        ),
        pytest.param(
            lambda now: Moment(
                collector_items="log_records",
                collector_gives_up=EVERYWHERE if now == FAULT_AT else frozenset(),
            ),
            named("KubenurseCollectorNotSending", signal="logs"),
            960,
            id="collectors gave up one record of a log",
        ),
        pytest.param(
            lambda _: Moment(collector_sends=dict.fromkeys(NODES, 0.0)),
            named("KubenurseCollectorNotSending", signal="traces"),
            960,
            id="collectors never sent any",
        ),
        pytest.param(
            after(FAULT_AT, Moment(bugs=frozenset({SIX}))),
            named("KubenurseUnhandledException"),
            600,
            id="a bug ends a check now and then",
        ),
        *(
            pytest.param(
                after(FAULT_AT, Moment(dropped=frozenset({metric}))),
                named("KubenurseRulesWithoutData", metric=metric),
                1000,
                id=f"{metric} does not arrive",
            )
            for metric in ("kubenurse_own_delay_seconds", "kubenurse_checks_timed_total")
        ),
    ],
)
def test_each_fault_is_one_alert(
    tmp_path: Path, scene: Scene, alert: dict[str, Any], within: float, way: Way
) -> None:
    """It fires in time, alone, goes on firing, and nothing fired before the fault."""
    if way is Way.PUSHED and alert["alertname"].startswith("KubenurseAgent"):
        within += 300  # pushed series linger for Prometheus' look-back
    last = FAULT_AT + within + 600
    run(
        tmp_path,
        scene,
        {FAULT_AT: [], FAULT_AT + within: [alert], last: [alert]},
        way=way,
        seconds=last,
    )


@pytest.mark.parametrize(
    ("moment", "alert", "within"),
    [
        pytest.param(Moment(unreachable=frozenset({SIX})), UNREACHABLE, 150, id="a node"),
        pytest.param(Moment(isolated=frozenset({SIX})), NO_WAY_OUT, 150, id="a source"),
        pytest.param(
            Moment(loss={SIX: 0.05}), named("KubenurseNodePacketLoss", node=SIX), 600, id="loss"
        ),
        pytest.param(
            Moment(faults={"api_server_direct": Fault(sources=frozenset({SIX}))}),
            named("KubenurseNodeServicesUnreachable", node=SIX),
            450,
            id="services of a node",
        ),
        pytest.param(Moment(dns_seconds=0.2), named("KubenurseDNSSlow"), 1000, id="slow DNS"),
        pytest.param(
            Moment(own_delay_seconds={SIX: 0.5}),
            named("KubenurseProberSick", node=SIX),
            1000,
            id="a prober",
        ),
        pytest.param(
            Moment(without_neighbours=EVERYWHERE), named("KubenurseNoNeighbours"), 1000, id="alone"
        ),
        pytest.param(
            Moment(exports_fail=EVERYWHERE),
            named("KubenurseExportsFailing", signal="traces"),
            1200,
            id="exports",
        ),
        pytest.param(
            Moment(collector_sends={SIX: 0.0}),
            named("KubenurseCollectorNotSending", signal="traces"),
            1000,
            id="collectors",
        ),
    ],
)
def test_no_label_of_the_way_is_needed(
    tmp_path: Path, moment: Moment, alert: dict[str, Any], within: float
) -> None:
    """Each join of the rules works without job and instance: here agents differ in attributes."""
    fired = {FAULT_AT: [], FAULT_AT + within: [alert]}
    scene = after(FAULT_AT, moment)
    run(tmp_path, scene, fired, way=Way.ATTRIBUTES, seconds=FAULT_AT + within)


@BOTH
def test_a_certificate_is_told_a_week_ahead(tmp_path: Path, way: Way) -> None:
    """One alert for the API server's certificate though two types show it; an hour of patience."""
    soon = {
        "api_server_direct": 6.5 * 86400,
        "api_server_dns": 6.5 * 86400,
        "me_ingress": 8 * 86400,
    }
    alert = named("KubenurseCertificateExpiring", far_end="api_server")
    run(
        tmp_path,
        lambda now: Moment(certificate_seconds=soon),
        {3000: [], 4200: [alert]},
        way=way,
        seconds=4320,
        step_seconds=60,
    )


@BOTH
def test_two_dead_nodes_are_two_alerts(tmp_path: Path, way: Way) -> None:
    """Each culprit is named, and no complainer."""
    dead = frozenset({ONE, SIX})
    alerts = [named("KubenurseNodeUnreachable", node=node) for node in sorted(dead)]
    scene = after(FAULT_AT, Moment(dead=dead))
    run(tmp_path, scene, {FAULT_AT + 150: alerts, 900: alerts}, way=way, seconds=960)


@pytest.mark.parametrize("size", [2, 3, 4, 5])
@BOTH
def test_in_a_small_cluster_the_dead_node_is_named(tmp_path: Path, size: int, way: Way) -> None:
    """Its neighbours, each of which fails half or all of its checks, are not."""
    nodes = NODES[:size]
    scene = after(FAULT_AT, Moment(dead=frozenset({nodes[-1]})))
    alert = named("KubenurseNodeUnreachable", node=nodes[-1])
    fired = {FAULT_AT + 150: [alert], 1500: [alert]}
    run(tmp_path, scene, fired, way=way, seconds=1560, nodes=nodes)


@pytest.mark.parametrize("size", [3, 4, 5])
@BOTH
def test_in_a_small_cluster_the_isolated_source_is_named(
    tmp_path: Path, size: int, way: Way
) -> None:
    """Its targets, which the others reach, are not."""
    nodes = NODES[:size]
    scene = after(FAULT_AT, Moment(isolated=frozenset({ONE})))
    alert = named("KubenurseNodeCannotReachOthers", node=ONE)
    fired = {FAULT_AT + 150: [alert], 1500: [alert]}
    run(tmp_path, scene, fired, way=way, seconds=1560, nodes=nodes)


def losing_a_third(now: float) -> Moment:
    """So much is lost at the third of three nodes that now and then one check there fails."""
    if now < FAULT_AT:
        return CALM
    lossy = NODES[2]
    pairs = [(ONE, lossy), (TWO, lossy), (lossy, ONE), (lossy, TWO)]
    turn, failing = divmod(int(now / 30) % 8, 2)
    return Moment(loss={lossy: 0.3}, bad_pairs=frozenset({pairs[turn]} if failing else ()))


def losing_two_thirds(now: float) -> Moment:
    """So much that one check there fails for most of the time, and never for two minutes."""
    if now < FAULT_AT:
        return CALM
    lossy = NODES[2]
    failing = int(now / 30) % 4 > 0
    return Moment(loss={lossy: 0.7}, bad_pairs=frozenset({(ONE, lossy)} if failing else ()))


@pytest.mark.parametrize("scene", [losing_a_third, losing_two_thirds])
@BOTH
def test_in_a_small_cluster_a_failed_check_does_not_hide_loss(
    tmp_path: Path, scene: Scene, way: Way
) -> None:
    """One of two sources is half of them, for the moment: no node is dead by that."""
    alert = named("KubenurseNodePacketLoss", node=NODES[2])
    fired = {FAULT_AT: [], FAULT_AT + 720: [alert], 1500: [alert]}
    run(tmp_path, scene, fired, way=way, seconds=1560, nodes=NODES[:3])


# --- and stays silent ---------------------------------------------------------------------------


def rolling_update(now: float) -> Moment:
    """A node a minute: 10 s of leaving as target, 15 s without an agent, then a new one."""
    turn, phase = divmod(now - FAULT_AT, 60)
    if turn < 0:
        return CALM
    done = {node: 1 for number, node in enumerate(NODES) if number < turn}
    if turn >= len(NODES):
        return Moment(generation=done)
    node = NODES[int(turn)]
    one = frozenset({node})
    if phase < 15:
        return Moment(generation=done, shutting_down=one)
    if phase < 30:
        return Moment(generation=done, starting=one, untargeted=one)
    return Moment(generation=done | {node: 1})


def agent_killed(now: float) -> Moment:
    """No warning: its neighbours' checks fail for 45 s, then a new one is there."""
    one = frozenset({SIX})
    if now < FAULT_AT:
        return CALM
    if now < FAULT_AT + 45:
        return Moment(starting=one)
    return Moment(generation={SIX: 1})


def drained_and_deleted(now: float) -> Moment:
    """Cordoned; two minutes later the machine stops; a minute later its Node is gone."""
    one = frozenset({SIX})
    if now < FAULT_AT:
        return CALM
    if now < FAULT_AT + 120:
        return Moment(leaving=one)
    if now < FAULT_AT + 180:
        return Moment(dead=one, untargeted=one)
    return Moment(removed=one)


def autoscaled(now: float) -> Moment:
    """Tainted, its own agent knows; gone a minute later with a failed check at each neighbour that
    still had it; the Node object stays for five minutes."""
    one = frozenset({SIX})
    if now < FAULT_AT:
        return CALM
    if now < FAULT_AT + 60:
        return Moment(leaving=one)
    if now < FAULT_AT + 75:
        return Moment(dead=one, not_ready=one)
    if now < FAULT_AT + 360:
        return Moment(dead=one, untargeted=one, not_ready=one)
    return Moment(removed=one)


def all_cordoned(now: float) -> Moment:
    """No pod is ready, so that Service and ingress have no endpoint."""
    if now < FAULT_AT:
        return CALM
    no_endpoint = {"me_service": Fault(), "me_ingress": Fault(phase="status")}
    return Moment(leaving=EVERYWHERE, faults=no_endpoint)


def all_but_one_cordoned(now: float) -> Moment:
    if now < FAULT_AT:
        return CALM
    return Moment(leaving=EVERYWHERE - {ONE})


def one_lost_packet(now: float) -> Moment:
    return Moment(loss={SIX: 0.34}) if FAULT_AT <= now < FAULT_AT + 15 else CALM


def short_outage(now: float) -> Moment:
    """A node that reboots within 100 s; what was lost in that time stays in the rates."""
    return Moment(dead=frozenset({SIX})) if FAULT_AT <= now < FAULT_AT + 100 else CALM


def rejected_for_a_minute(now: float) -> Moment:
    return Moment(rejected_a_check=1) if FAULT_AT <= now < FAULT_AT + 60 else CALM


def api_server_restarts(now: float) -> Moment:
    return DEAD_API_SERVER if FAULT_AT <= now < FAULT_AT + 60 else CALM


@BOTH
@pytest.mark.parametrize(
    "scene",
    [
        pytest.param(lambda now: CALM, id="nothing happens"),
        rolling_update,
        drained_and_deleted,
        autoscaled,
        one_lost_packet,
        agent_killed,
        all_cordoned,
        all_but_one_cordoned,
        short_outage,
        api_server_restarts,
        rejected_for_a_minute,
        dns_for_150_seconds,
        pytest.param(after(FAULT_AT, Moment(loss={SIX: 0.003})), id="a packet in a thousand"),
        pytest.param(
            after(FAULT_AT, Moment(faults={"me_service": Fault(every=12)})),
            id="one Service endpoint of twelve is dead",
        ),
        pytest.param(
            after(FAULT_AT, Moment(exports_fail=frozenset(), own_delay_seconds={SIX: 0.05})),
            id="a busy node",
        ),
        pytest.param(lambda _now: Moment(checks=False), id="every check is switched off"),
    ],
)
def test_nobody_is_woken(tmp_path: Path, scene: Scene, way: Way) -> None:
    """In half an hour with this in it nothing fires."""
    run(tmp_path, scene, silent(1800), way=way, seconds=1800)


def test_two_clusters_in_one_prometheus_are_kept_apart(tmp_path: Path) -> None:
    """The same node names twice: the alert is of the cluster where the node is dead."""
    calm = input_series(
        lambda now: CALM, seconds=600, step_seconds=15, way=Way.SCRAPED, cluster="a"
    )
    dead = input_series(dead_node, seconds=600, step_seconds=15, way=Way.SCRAPED, cluster="b")
    file = tmp_path / "test.yaml"
    expected = {
        "expr": 'sum by (alertname, cluster, node) (ALERTS{alertstate="firing"})',
        "eval_time": "480s",
        "exp_samples": [
            {
                "labels": f'{{alertname="KubenurseNodeUnreachable",cluster="b",node="{SIX}"}}',
                "value": 1,
            }
        ],
    }
    test = {"interval": "15s", "input_series": calm + dead, "promql_expr_test": [expected]}
    file.write_text(
        json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "15s", "tests": [test]})
    )
    done = subprocess.run(
        [binary("promtool"), "test", "rules", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]


@pytest.mark.parametrize(
    ("cause", "more"),
    [
        ("dead", ""),
        ("wrong_peers", " Another node's agent answers at its address (error_type wrong_peer)."),
    ],
)
@pytest.mark.parametrize("cluster", ["", "b"])
def test_an_alert_reads_as_a_sentence(tmp_path: Path, cause: str, more: str, cluster: str) -> None:
    """Labels, severity, summary and runbook of the most common one, as Alertmanager gets them."""
    scene = dead_node if cause == "dead" else after(FAULT_AT, Moment(wrong_peers=frozenset({SIX})))
    labels = {"severity": "critical", "node": SIX} | ({"cluster": cluster} if cluster else {})
    expected = {
        "eval_time": "480s",
        "alertname": "KubenurseNodeUnreachable",
        "exp_alerts": [
            {
                "exp_labels": labels,
                "exp_annotations": {
                    "summary": f"Node {SIX} cannot be reached from 100% of the nodes that check it",
                    "description": f"Checks of the agent on {SIX} fail from most other nodes,"
                    " and these reach the rest: the node, its network or its agent is down,"
                    f" not theirs.{more}",
                    "runbook_url": "https://github.com/kubenurse-otel/kubenurse-otel/blob/main/"
                    "docs/runbooks/KubenurseNodeUnreachable.md",
                },
            }
        ],
    }
    run(
        tmp_path,
        scene,
        {},
        way=Way.SCRAPED,
        seconds=540,
        cluster=cluster,
        alert_tests=[expected],
    )


# --- verdicts -----------------------------------------------------------------------------------

DEAD: Verdict = ("node", SIX, "", "silent")
VERDICT = named("KubenurseVerdictNode", kind="node", culprit=SIX, node=SIX)


def verdict(moment: Moment, said: Verdict, *nodes: str) -> Scene:
    """The fault, and from the same moment on what these nodes' agents say of it."""
    return after(FAULT_AT, dataclasses.replace(moment, verdicts=dict.fromkeys(nodes, (said,))))


LOST = Fault(error_type="dns_timeout", phase="dns")
NO_NAMES = Moment(faults={"api_server_dns": LOST, "me_service": LOST})


@BOTH
@pytest.mark.parametrize(
    ("moment", "said", "alert"),
    [
        pytest.param(Moment(dead=frozenset({SIX})), DEAD, VERDICT, id="a node"),
        pytest.param(
            Moment(unreachable=frozenset({SIX})),
            ("agent", SIX, "", "refused"),
            named("KubenurseVerdictNode", kind="agent", culprit=SIX, node=SIX),
            id="an agent",
        ),
        pytest.param(
            Moment(),
            ("zone", "b", "", "silent"),
            named("KubenurseVerdictNode", kind="zone", culprit="b"),
            id="a zone",
        ),
        pytest.param(
            NO_NAMES,
            ("dns", "cluster", "", "silent"),
            named("KubenurseVerdictService", kind="dns", culprit="cluster"),
            id="DNS",
        ),
        pytest.param(
            Moment(faults={"api_server_direct": Fault(), "api_server_dns": Fault()}),
            ("api_server", "cluster", "", "silent"),
            named("KubenurseVerdictService", kind="api_server", culprit="cluster"),
            id="the API server",
        ),
        pytest.param(
            Moment(faults={"me_ingress": Fault(error_type="tls_certificate_expired", phase="tls")}),
            ("certificate", "ingress", "", "certificate"),
            named("KubenurseVerdictService", kind="certificate", culprit="ingress"),
            id="the ingress' certificate",
        ),
    ],
)
def test_a_verdict_fires_within_a_minute_and_alone(
    tmp_path: Path, moment: Moment, said: Verdict, alert: dict[str, Any], way: Way
) -> None:
    """What the net says of the same culprit is left out, for as long as it is named."""
    times = (FAULT_AT + 60, FAULT_AT + 300, FAULT_AT + 900)
    scene = verdict(moment, said, ONE, TWO, NODES[7])
    run(
        tmp_path,
        scene,
        {FAULT_AT: []} | {time: [alert] for time in times},
        way=way,
        seconds=times[-1],
    )


@BOTH
def test_agents_that_know_its_direction_and_agents_that_do_not_name_one_node(
    tmp_path: Path, way: Way
) -> None:
    """One saw half-open connections of the silent node, the other one did not look yet."""
    directed: Verdict = ("node", SIX, "in", "silent")
    moment = Moment(dead=frozenset({SIX}), verdicts={ONE: (DEAD,), TWO: (directed,)})
    at = FAULT_AT + 60
    run(tmp_path, after(FAULT_AT, moment), {at: [VERDICT]}, way=way, seconds=at)


@pytest.mark.parametrize(
    ("moment", "said", "reporter", "alert"),
    [
        pytest.param(
            Moment(loss={SIX: 0.05}),
            ("node_loss", SIX, "out", "loss"),
            SIX,
            named("KubenurseVerdictSelf", kind="node_loss", culprit=SIX, node=SIX),
            id="a node that loses packets",
        ),
        pytest.param(
            Moment(own_delay_seconds={SIX: 0.5}),
            ("prober", SIX, "", "starved"),
            SIX,
            named("KubenurseVerdictSelf", kind="prober", culprit=SIX, node=SIX),
            id="a starved agent",
        ),
        pytest.param(
            Moment(isolated=frozenset({SIX})),
            ("node", SIX, "", "cut_off"),
            SIX,
            VERDICT,
            id="a node that is cut off",
        ),
        pytest.param(
            Moment(faults={"api_server_direct": Fault(sources=frozenset({SIX}), phase="tls")}),
            ("node_mtu", SIX, "", "full_size"),
            SIX,
            named("KubenurseVerdictNode", kind="node_mtu", culprit=SIX, node=SIX),
            id="a node's MTU",
        ),
        pytest.param(
            Moment(faults={"api_server_direct": Fault(sources=frozenset({SIX}))}),
            ("service_path", SIX, "", "silent"),
            SIX,
            named("KubenurseVerdictService", kind="service_path", culprit=SIX),
            id="a node without Services",
        ),
        pytest.param(
            Moment(bad_pairs=frozenset({(ONE, TWO)})),
            ("pair", f"{ONE}|{TWO}", "", "silent"),
            ONE,
            named("KubenurseVerdictWay", kind="pair", culprit=f"{ONE}|{TWO}"),
            id="a pair",
        ),
        pytest.param(
            Moment(),
            ("node_slow", "cluster", "", "slow"),
            ONE,
            named("KubenurseVerdictSelf", kind="node_slow", culprit="cluster"),
            id="all ways became slow",
        ),
    ],
)
def test_who_accuses_itself_or_its_own_way_needs_nobody_else(
    tmp_path: Path, moment: Moment, said: Verdict, reporter: str, alert: dict[str, Any]
) -> None:
    """One reporter is enough, after half a minute; it, too, mutes what the net says."""
    times = (FAULT_AT + 60, FAULT_AT + 300, FAULT_AT + 900)
    run(
        tmp_path,
        verdict(moment, said, reporter),
        {FAULT_AT: []} | {time: [alert] for time in times},
        way=Way.SCRAPED,
        seconds=times[-1],
    )


def test_one_agents_word_on_another_node_is_not_enough(tmp_path: Path) -> None:
    """Then the net says it, when it is so."""
    run(
        tmp_path,
        verdict(Moment(unreachable=frozenset({SIX})), DEAD, ONE),
        {FAULT_AT + 90: [], FAULT_AT + 200: [UNREACHABLE]},
        way=Way.SCRAPED,
        seconds=FAULT_AT + 200,
    )


def test_a_verdict_that_is_cleared_fires_no_more(tmp_path: Path) -> None:
    """Its series stays for ten minutes, at 0; nor does the word of agents count that shut down."""
    ended = FAULT_AT + 120

    def scene(now: float) -> Moment:
        moment = verdict(CALM, DEAD, ONE, TWO)(now)
        return moment if now < ended else CALM

    run(
        tmp_path,
        scene,
        {FAULT_AT + 60: [VERDICT], ended + 60: []},
        way=Way.SCRAPED,
        seconds=ended + 60,
    )
    leaving = dataclasses.replace(CALM, shutting_down=frozenset({ONE, TWO}))
    run(
        tmp_path,
        verdict(leaving, DEAD, ONE, TWO),
        silent(600),
        way=Way.PUSHED,
        seconds=600,
    )


@pytest.mark.parametrize("cluster", ["", "b"])
def test_a_verdict_reads_as_a_sentence(tmp_path: Path, cluster: str) -> None:
    """Culprit, by whose word, and the cause."""
    labels = {"severity": "critical", "node": SIX, "kind": "node", "culprit": SIX}
    expected = {
        "eval_time": "480s",
        "alertname": "KubenurseVerdictNode",
        "exp_alerts": [
            {
                "exp_labels": labels | ({"cluster": cluster} if cluster else {}),
                "exp_annotations": {
                    "summary": f"node {SIX} is at fault, as 2 agent(s) report: silent",
                    "description": "Its neighbours agree that it does not answer them, while other"
                    " nodes do. Or its own agent says that it is cut off or loses full-size"
                    " packets. `kubectl kubenurse` prints what they saw, what speaks against it and"
                    " what was ruled out.",
                    "runbook_url": "https://github.com/kubenurse-otel/kubenurse-otel/blob/main/"
                    "docs/runbooks/KubenurseVerdictNode.md",
                },
            }
        ],
    }
    run(
        tmp_path,
        verdict(CALM, DEAD, ONE, TWO),
        {},
        way=Way.SCRAPED,
        seconds=540,
        cluster=cluster,
        alert_tests=[expected],
    )
