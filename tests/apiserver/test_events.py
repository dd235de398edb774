"""Verdicts as Events of a real kube-apiserver, with the rights that the chart gives and no more."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from chart import helm
from chart.admission import path as path_of
from waiting import wait_until

from apiserver.following import agent_of
from apiserver.objects import NAMESPACE, node, pod
from apiserver.real import RealApiServer, real_api_server
from kubenurse_otel.diagnosis.verdict import Cause, Direction, Evidence, Kind, State, Verdict
from kubenurse_otel.discovery.events import Events
from kubenurse_otel.model import Neighbour, Neighbourhood

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kubenurse_otel.config import Config

NODES = ("own", "a", "b", "c")
NOW = 1_795_000_000.0 - 1_795_000_000.0 % 600 + 300
"""In the middle of ten minutes."""
WAIT_SECONDS = 120.0
EVERYWHERE = "/api/v1/events"
RIGHTS = ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "ServiceAccount")
DAEMON_SET = "/apis/apps/v1/namespaces/kube-system/daemonsets"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealApiServer]:
    """With the objects of the chart that give rights, and a DaemonSet that has made our pod."""
    with real_api_server(tmp_path_factory.mktemp("apiserver")) as real:
        manifests = helm.render({"events": {"enabled": True}}, namespace=NAMESPACE)
        for manifest in manifests:
            if manifest["kind"] in RIGHTS:
                real.must("POST", path_of(manifest), manifest)
        made = real.must("POST", DAEMON_SET, helm.one(manifests, "DaemonSet"))
        owner = {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "name": "kubenurse",
            "uid": made["metadata"]["uid"],
            "controller": True,
        }
        for name in NODES:
            real.put(node(name))
            mine = pod(name)
            mine["metadata"]["ownerReferences"] = [owner]
            real.put(mine)
        yield real


@pytest.fixture
def config(server: RealApiServer, tmp_path: Path) -> Config:
    (tmp_path / "token").write_text(server.token(NAMESPACE, "kubenurse"))
    server.must("DELETE", "/api/v1/namespaces/default/events")
    server.must("DELETE", f"/api/v1/namespaces/{NAMESPACE}/events")
    return agent_of(server, token_file=tmp_path / "token")


def raised(kind: Kind, culprit: str, cause: Cause = Cause.SILENT) -> Verdict:
    return Verdict(
        kind=kind,
        culprit=culprit,
        direction=Direction.NONE,
        cause=cause,
        confidence=0.9,
        since=NOW - 20.0,
        last_seen=NOW,
        state=State.RAISED,
        evidence=(Evidence(words="from own, path_b: no answer to a connection attempt"),),
    )


def here(own: str = "own") -> Neighbourhood:
    others = [one for one in NODES if one != own]
    return Neighbourhood(
        known=tuple(
            Neighbour(pod_name=f"kubenurse-{one}", node_name=one, pod_ip="10.0.0.9")
            for one in others
        ),
        own_node_name=own,
        state="ok",
    )


@contextmanager
def agent(config: Config, *told: Verdict, own: str = "own", now: float = NOW) -> Iterator[Events]:
    """An agent on node ``own`` whose verdicts these are; nobody waits for a turn."""
    identity = replace(config.identity, node_name=own, pod_name=f"kubenurse-{own}")
    events = Events(
        replace(config, identity=identity), lambda: here(own), turn_seconds=0.0, clock=lambda: now
    )
    events.tell(told)
    events.start()
    try:
        yield events
    finally:
        events.stop()


def written(server: RealApiServer) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = server.must("GET", EVERYWHERE)["items"]
    return items


def as_kubectl_shows_them(server: RealApiServer) -> list[tuple[str, ...]]:
    """`kubectl get events -A`: the columns that the API server itself makes of them, wide."""
    status, table = server.request(
        "GET", EVERYWHERE, accept="application/json;as=Table;v=v1;g=meta.k8s.io"
    )
    assert status == 200
    names = [column["name"] for column in table["columnDefinitions"]]
    places = [names.index(name) for name in ("Type", "Reason", "Object", "Message")]
    return [tuple(str(row["cells"][place]) for place in places) for row in table["rows"]]


def test_a_verdict_on_a_node_is_an_event_of_the_node(server: RealApiServer, config: Config) -> None:
    with agent(config, raised(Kind.NODE, "b")) as events:
        wait_until(lambda: events.counts["written"] == 1, seconds=WAIT_SECONDS)
    assert as_kubectl_shows_them(server) == [
        (
            "Warning",
            "KubenurseNode",
            "node/b",
            "Node b does not answer (confidence 0.9): from own, path_b: no answer to a connection"
            " attempt",
        )
    ]
    (event,) = written(server)
    assert event["metadata"]["namespace"] == "default"
    assert event["involvedObject"]["uid"] == "b"
    assert event["source"] == {"component": "kubenurse-otel", "host": "own"}
    assert event["firstTimestamp"] < event["lastTimestamp"]


def test_what_is_no_nodes_is_an_event_of_our_daemonset(
    server: RealApiServer, config: Config
) -> None:
    with agent(config, raised(Kind.DNS, "cluster"), raised(Kind.PAIR, "b|own")) as events:
        wait_until(lambda: events.counts["written"] == 2, seconds=WAIT_SECONDS)
    uid = server.must("GET", f"{DAEMON_SET}/kubenurse")["metadata"]["uid"]
    involved = [one["involvedObject"] for one in written(server)]
    assert {(one["kind"], one["name"], one["uid"]) for one in involved} == {
        ("DaemonSet", "kubenurse", uid)
    }
    assert {one["metadata"]["namespace"] for one in written(server)} == {NAMESPACE}


def test_of_many_agents_one_writes_it_and_not_again_within_ten_minutes(
    server: RealApiServer, config: Config
) -> None:
    """Not even where the ten minutes by the clock are over meanwhile; after them, once more."""
    said = raised(Kind.INGRESS, "cluster")
    for number, own in enumerate(NODES):
        with agent(config, said, own=own) as events:
            wait_until(lambda events=events: sum(events.counts.values()) == 1, seconds=WAIT_SECONDS)
            assert events.counts["written" if number == 0 else "already_written"] == 1
    with agent(config, said, now=NOW + 301) as events:
        wait_until(lambda: events.counts["already_written"] == 1, seconds=WAIT_SECONDS)
    assert len(written(server)) == 1
    with agent(config, said, now=NOW + 1200) as events:
        wait_until(lambda: events.counts["written"] == 1, seconds=WAIT_SECONDS)
    assert len(written(server)) == 2


def test_a_dead_api_server_is_counted_and_once_it_answers_it_is_written(
    server: RealApiServer, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubenurse_otel.discovery.events.AGAIN_SECONDS", 0.5)
    server.stop()
    with agent(config, raised(Kind.NODE, "c")) as events:
        try:
            wait_until(lambda: events.counts["failed"] >= 2, seconds=WAIT_SECONDS)
        finally:
            server.start()
        wait_until(lambda: events.counts["written"] == 1, seconds=WAIT_SECONDS)
    assert [one["involvedObject"]["name"] for one in written(server)] == ["c"]


def test_a_right_that_comes_late_is_asked_for_again_soon(
    server: RealApiServer,
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An API server that has just started has not read its roles yet: nobody's mistake."""
    monkeypatch.setattr("kubenurse_otel.discovery.events.AGAIN_SECONDS", 0.5)
    binding = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"
    taken = server.must("GET", f"{binding}/kubenurse-events")
    server.delete(f"{binding}/kubenurse-events")
    with caplog.at_level(logging.WARNING), agent(config, raised(Kind.NODE, "b")) as events:
        try:
            wait_until(lambda: events.counts["failed"] >= 1, seconds=WAIT_SECONDS)
        finally:
            metadata = {"name": "kubenurse-events", "namespace": "default"}
            server.must("POST", binding, taken | {"metadata": metadata})
        wait_until(lambda: events.counts["written"] == 1, seconds=WAIT_SECONDS)
    assert [record.getMessage() for record in caplog.records] == []


def test_a_right_that_is_missing_is_said_once(
    server: RealApiServer,
    config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("kubenurse_otel.discovery.events.AGAIN_SECONDS", 0.2)
    monkeypatch.setattr("kubenurse_otel.discovery.events.FORBIDDEN_SECONDS", 0.2)
    monkeypatch.setattr("kubenurse_otel.discovery.events.PATIENCE_SECONDS", 0.1)
    account = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
    server.must("POST", account, {"metadata": {"name": "without"}})
    (tmp_path / "token").write_text(server.token(NAMESPACE, "without"))
    with caplog.at_level(logging.WARNING), agent(config, raised(Kind.NODE, "c")) as events:
        wait_until(lambda: events.counts["failed"] >= 3, seconds=WAIT_SECONDS)
    server.delete(f"{account}/without")
    assert [record.getMessage() for record in caplog.records] == [
        "no Kubernetes Event: the API server forbids us to create events in namespace default"
        " (403): our role lacks it"
    ]
    assert written(server) == []
