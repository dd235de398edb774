"""bench/large: what it computes of what was measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.large import demand, figures, store, traffic
from bench.large.agents import Reading
from bench.large.costs import Parts
from bench.large.demand import Cluster
from bench.large.ring import LIMIT, SPARE, cast
from kubenurse_otel.discovery.candidates import candidate, choose
from kubenurse_otel.model import Neighbour

PARTS = Parts(
    version_ms=2.0,
    version_kept_ms=0.5,
    version_ecdsa_ms=1.0,
    version_bytes=5000,
    audit_events=2,
    audit_bytes=1000,
    audit_bytes_complete=600,
    node_watcher_us=1.0,
    node_event_bytes=14_000,
    node_line_bytes=400,
    lists_an_hour=12,
    other_requests_an_hour=36,
    ingress_ms=1.0,
    ingress_bytes=5000,
    service_bytes=1000,
    path_bytes=1000,
    queries={1: 6, 5: 20},
    coredns_ms={1: 0.5, 5: 1.5},
    series=1500,
    exposition_gzip_bytes=20_000,
    exposition_bytes=200_000,
    spans=5.0,
    span_bytes=1000,
)


def asked(cluster: Cluster, what: str) -> str:
    (found,) = [row[2] for row in demand.table(PARTS, cluster).rows if row[0].startswith(what)]
    return found


@pytest.mark.parametrize(
    ("cluster", "what", "expected"),
    [
        (Cluster(), "**API server**", "2,000 /s"),
        (Cluster(api_interval=60), "**API server**", "167 /s"),
        (Cluster(), "audit, Metadata, all", "4,000 events/s, 173 GB/day"),
        (Cluster(), "discovery: watches", "0.08 cores"),
        (Cluster(), "discovery: heartbeats", "2.3 MB/s"),
        (Cluster(), "discovery: 500 nodes", "105.0 GB"),
        (Cluster(), "queries at ndots 5", "20,000 /s, 1.50 cores"),
        (Cluster(agents=500), "queries at ndots 1", "600 /s, 0.05 cores"),
        (Cluster(), "**neighbours**", "10,000 /s"),
        (Cluster(), "**metrics store**", "7.5 million"),
        (Cluster(scrape=60), "samples", "125,000 /s"),
        (Cluster(), "**traces**", "700 /s, 0.70 MB/s"),
    ],
)
def test_what_all_agents_ask(cluster: Cluster, what: str, expected: str) -> None:
    """Rates are agents times checks by interval, costs are those times what one costs."""
    assert asked(cluster, what) == expected


def test_real_agents_choose_each_other() -> None:
    """Each measured node's ring begins with real nodes, also while some of them are away."""
    players = cast(300, lambda number: f"node-{number}", 3)
    everybody = [
        candidate(Neighbour(pod_name=f"pod-{n}", node_name=f"node-{n}", pod_ip="10.0.0.1"))
        for n in range(300)
    ]
    real = {f"node-{number}" for number in players.real}
    for number in players.measured:
        chosen = choose(everybody, f"node-{number}", LIMIT + SPARE - len(players.measured))
        assert {one.node_name for one in chosen} <= real


def test_too_few_nodes_are_refused() -> None:
    """There must be nodes that nobody real is on."""
    with pytest.raises(ValueError, match="too few"):
        cast(LIMIT, str, 4)


def reading(at: float, cpu: float, checks: int, received: int) -> Reading:
    kinds = {
        f"{kind}_{way}": traffic.Count(0, 0) for kind in traffic.KINDS for way in ("in", "out")
    }
    kinds["api_dns_in"] = traffic.Count(checks, 1000 * checks)
    kinds["api_in"] = traffic.Count(checks, 1000 * checks + received)
    samples = tuple(
        (figures.CHECKS, f'type="{kind}",code="200"', float(checks))
        for kind in ("api_server_direct", "api_server_dns")
    )
    return Reading(at, cpu, 50.0, 51.0, 5, 12, samples, kinds)


def test_discovery_is_what_is_no_check() -> None:
    """Bytes to the API server's address less those of its checks, known from checks by name."""
    found = figures.between(reading(0, 1.0, 10, 0), reading(50, 1.2, 20, 777))
    assert found["discovery_bytes_in"] == 777
    assert found["cpu_ms_a_check"] == pytest.approx(10.0)
    assert found["core_percent"] == pytest.approx(0.4)


def test_series_are_told_apart() -> None:
    """Samples of neighbours, of other targets, of none."""
    text = '# TYPE a counter\na{type="path_x"} 1\na{type="path_y"} 2\nb{type="path_x"} 1\n'
    found = figures.series(text + 'b{type="path_y"} 0\na{type="me_service"} 1\nc 1\n')
    assert (found["all"], found["neighbours"], found["a_neighbour"]) == (6, 2, 2)
    assert (found["other_targets"], found["no_target"]) == (1, 1)


def test_counters_rise_and_gauges_stay() -> None:
    """Every scrape of the store finds other counters."""
    first, second = store.versions('a_total{x="1"} 5\ng 5\n', 2)
    assert first == b'a_total{x="1"} 5\ng 5\n'
    assert second == b'a_total{x="1"} 11\ng 5\n'


def test_rules_count_both_ways() -> None:
    """Each group and kind has a mark, and a counter for each direction."""
    text = traffic.rules([64001, 64002], ["10.64.0.1", "10.64.0.2"])
    assert text.count("ct mark set") == 2 * len(traffic.KINDS)
    assert text.count("counter name") == 4 * len(traffic.KINDS)
    assert "numgen random mod 2 map { 0 : 10.64.0.1, 1 : 10.64.0.2 }" in text


def test_fewer_agents_ask_less() -> None:
    """The table's title tells what it was computed for."""
    shown = demand.table(PARTS, replace(Cluster(), agents=800, interval=15)).title
    assert shown.startswith("800 agents (N), interval 15 s")


def failed(count: float) -> Reading:
    name = "kubenurse_check_failures_total"
    samples = (
        (name, 'type="path_a",error_type="own_timeout",phase="request"', count),
        (name, 'type="me_service",error_type="connection_refused",phase="connect"', 1.0),
        (figures.CHECKS, 'type="path_a",code="200"', 5 + count),
        (figures.CHECKS, 'type="path_b",code="200"', 7.0),
    )
    return replace(reading(0, 0.0, 0, 0), samples=samples)


def test_failures_of_a_phase_alone() -> None:
    """What failed before it does not count, nor who was checked before it alone."""
    assert figures.failures(failed(1), failed(3)) == {"neighbour: own_timeout": 2.0}
    assert figures.between(failed(1), replace(failed(3), at=9.0))["checked_nodes"] == 1
