"""gauges.py: the agent's state as series."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from check_results import target
from judges import LABELS, Agent

from kubenurse_otel import semconv
from kubenurse_otel.model import (
    CheckResult,
    Measurement,
    Neighbour,
    Neighbourhood,
    NodeState,
    Outcome,
    Split,
    Target,
)
from kubenurse_otel.semconv import Metric, MetricFamily, MetricKind
from kubenurse_otel.state.incoming import Incoming
from kubenurse_otel.state.results import Results
from kubenurse_otel.telemetry.gauges import state_gauges

NEIGHBOUR = Neighbour(
    pod_name="kubenurse-b",
    node_name="node-b",
    pod_ip="10.0.0.2",
    zone="z2",
    node_state=NodeState.READY,
)
PATH = target("path_node-b", neighbour=NEIGHBOUR)
SERVICE = replace(PATH, key="me_service", type="me_service", neighbour=None)


class State:
    """Everything that the gauges read, changed by the tests."""

    def __init__(self) -> None:
        self.results = Results()
        self.agent = Agent()
        self.incoming = Incoming()
        self.refusals = Counter[semconv.Refusal]()
        self.neighbourhood = Neighbourhood(own_node_name="node-a", own_zone="z1")
        self.targets: tuple[Target, ...] = (PATH, SERVICE)
        self.not_ready: str | None = None
        self.results.set_targets(self.targets)
        self.sources = state_gauges(
            results=self.results,
            incoming=self.incoming,
            refusals=self.refusals,
            neighbourhood=lambda: self.neighbourhood,
            targets=lambda: self.targets,
            not_ready=lambda: self.not_ready,
            judging=self.agent.judging,
            event_counts={"written": 1, "failed": 0},
            clock=lambda: 100.0,
        )

    def read(self, metric: Metric) -> list[tuple[float, tuple[str, ...]]]:
        return list(self.sources[metric]())

    def record(self, target: Target, *, good: bool, expiry: float | None = None) -> None:
        self.results.record(
            CheckResult(
                target=target,
                outcome=Outcome.OK if good else Outcome.FAILED,
                started_at=0.0,
                measurement=Measurement(split=Split(), certificate_expiry=expiry),
            )
        )


@pytest.fixture
def state() -> State:
    return State()


def test_every_gauge_of_ours_has_a_source_with_its_labels(state: State) -> None:
    """What the process module does not read, this one does, with as many labels as it has."""
    state.record(PATH, good=True, expiry=1.0)
    state.neighbourhood = replace(state.neighbourhood, listed_at=99.0)
    for _ in range(3):
        state.agent.sees_dead()
    gauges = {
        metric
        for metric in semconv.METRICS
        if metric.kind in (MetricKind.GAUGE, MetricKind.OBSERVABLE_COUNTER)
        and metric.family is not MetricFamily.PROCESS
        and metric not in (semconv.CPU_THROTTLED, semconv.NODE_CPU_PRESSURE)
    }
    assert set(state.sources) == gauges
    for metric in gauges:
        rows = state.read(metric)
        assert rows, metric.name
        assert {len(labels) for _, labels in rows} == {len(metric.labels)}, metric.name


def test_success_is_of_checked_types_only(state: State) -> None:
    """A target that was not checked yet has no verdict."""
    assert state.read(semconv.CHECK_SUCCESS) == []
    state.record(PATH, good=False)
    assert state.read(semconv.CHECK_SUCCESS) == [(0.0, ("path_node-b",))]
    state.record(PATH, good=True)
    assert state.read(semconv.CHECK_SUCCESS) == [(1.0, ("path_node-b",))]


def test_info_says_where_checks_start_and_end(state: State) -> None:
    """Source node and zone, target node, zone and state; empty where there is no neighbour."""
    assert state.read(semconv.CHECK_INFO) == [
        (1.0, ("path_node-b", "node-a", "z1", "node-b", "z2", "ready")),
        (1.0, ("me_service", "node-a", "z1", "", "", "")),
    ]


def test_two_addresses_of_a_node_are_one_type(state: State) -> None:
    """Both families share the type, so there is one row."""
    state.targets = (PATH, replace(PATH, key="path_node-b/ipv6"))
    assert len(state.read(semconv.CHECK_INFO)) == 1


def test_the_age_of_discovery_is_absent_before_the_first_word(state: State) -> None:
    """Then it grows from the last one."""
    assert state.read(semconv.DISCOVERY_AGE) == []
    state.neighbourhood = replace(state.neighbourhood, listed_at=70.0)
    assert state.read(semconv.DISCOVERY_AGE) == [(30.0, ())]


def test_ready_has_a_reason_when_it_is_not(state: State) -> None:
    """One series at a time."""
    assert state.read(semconv.READY) == [(1.0, ("",))]
    state.not_ready = "node_leaving"
    assert state.read(semconv.READY) == [(0.0, ("node_leaving",))]


def test_neighbours_and_callers_are_counted(state: State) -> None:
    """Known and chosen; callers of the last minute; headers that were no names."""
    state.neighbourhood = replace(
        state.neighbourhood, known=(NEIGHBOUR, NEIGHBOUR), chosen=(NEIGHBOUR,)
    )
    state.incoming.seen("kubenurse-b", "10.0.0.2")
    state.incoming.seen("not a name", "10.0.0.2")
    assert state.read(semconv.NEIGHBOURS) == [(2, ("known",)), (1, ("chosen",))]
    assert state.read(semconv.INCOMING_CHECKS) == [(1, ())]
    assert state.read(semconv.INVALID_ORIGINS) == [(1, ())]


def test_what_the_server_refused_is_counted_from_nought(state: State) -> None:
    """Each reason is there before it happens, so that a rate sees its first time."""
    state.refusals[semconv.Refusal.TRACESTATE] += 2
    counted = {labels[0]: count for count, labels in state.read(semconv.HTTP_REFUSED)}
    assert counted.pop("tracestate") == 2
    assert set(counted.values()) == {0}


def test_verdicts_are_series(state: State) -> None:
    """1 for one that stands; what is heard and doubted beside it."""
    for _ in range(3):
        state.agent.sees_dead()
    assert state.read(semconv.VERDICT) == [(1.0, LABELS)]
    assert state.read(semconv.SUSPICIONS) == [(0, ())]
    assert state.read(semconv.DOUBT) == [(0, ())]
    assert state.read(semconv.VIEWS) == [(3, ("fresh",)), (0, ("stale",))]
