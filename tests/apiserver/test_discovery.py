"""kubenurse_otel.discovery.kubernetes against a real kube-apiserver and etcd.

The first run builds the API server (tests/apiserver/real.py); `make e2e` keeps it in a cache.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from waiting import wait_until

from apiserver import rbac
from apiserver.following import QUICK, agent_of, chosen, following, with_discovery, with_identity
from apiserver.objects import NAMESPACE, node, pod
from apiserver.real import RealApiServer, real_api_server
from kubenurse_otel.config import (
    Config,
)
from kubenurse_otel.discovery.api import ApiServer
from kubenurse_otel.discovery.informer import Informer
from kubenurse_otel.discovery.neighbours import _pods
from kubenurse_otel.discovery.timings import LARGE_CLUSTER
from kubenurse_otel.model import NodeState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
NODES = ("own", "a", "b", "c")
ROLE_SECONDS = 40.0
"""The API server caches a token's verdict for ten seconds and a role for less."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealApiServer]:
    with real_api_server(tmp_path_factory.mktemp("apiserver")) as real:
        yield real


@pytest.fixture
def cluster(server: RealApiServer, tmp_path: Path) -> Iterator[RealApiServer]:
    """Nodes own, a, b, c with an agent each, an account of ours with the documented roles."""
    for index, name in enumerate(NODES):
        server.put(node(name, zone=f"zone-{name}"), pod(name, f"10.0.0.{index + 1}"))
    (tmp_path / "token").write_text(rbac.create_account(server))
    rbac.allow_pods(server)
    rbac.allow_nodes(server)
    yield server
    for kind in ("clusterrolebindings", "clusterroles"):
        server.request("DELETE", f"/apis/rbac.authorization.k8s.io/v1/{kind}/{rbac.ACCOUNT}")
    for kind in ("rolebindings", "roles"):
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/{kind}"
        server.request("DELETE", f"{path}/{rbac.ACCOUNT}")
    rbac.delete_account(server)
    for path in (PODS, "/api/v1/nodes"):
        server.must("DELETE", path, {"gracePeriodSeconds": 0})


@pytest.fixture
def config(cluster: RealApiServer, tmp_path: Path) -> Config:
    return with_identity(agent_of(cluster, token_file=tmp_path / "token"), node_name="")


async def do(action: object, *arguments: object) -> None:
    """Do a blocking administrator's thing beside the event loop."""
    await asyncio.to_thread(action, *arguments)  # type: ignore[arg-type]


async def test_documented_roles_suffice(config: Config) -> None:
    """With kubenurse's own roles everything is known: pods, zones, states, our own node."""
    async with following(config) as seen:
        await seen.until_chosen("a", "b", "c")
        neighbourhood = await seen.until(lambda one: one.own_zone == "zone-own")
    assert neighbourhood.state == "ok"
    assert neighbourhood.own_node_name == "own"
    assert {one.node_state for one in neighbourhood.chosen} == {NodeState.READY}
    assert {one.zone for one in neighbourhood.chosen} == {"zone-a", "zone-b", "zone-c"}


async def test_life_of_pods(cluster: RealApiServer, config: Config) -> None:
    """Pods that come, terminate, fail and go are seen by the watch."""
    async with following(config) as seen:
        await seen.until_chosen("a", "b", "c")
        await do(cluster.put, node("d"), pod("d", "10.0.0.9", phase="Pending", started=False))
        await do(cluster.put, pod("d", "10.0.0.9"))
        await seen.until_chosen("a", "b", "c", "d")
        await do(cluster.must, "DELETE", f"{PODS}/kubenurse-d", {"gracePeriodSeconds": 30})
        await seen.until_chosen("a", "b", "c")
        await do(cluster.delete, f"{PODS}/kubenurse-a")
        await seen.until_chosen("b", "c")
        await do(cluster.merge, f"{PODS}/kubenurse-b/status", {"status": {"phase": "Failed"}})
        await seen.until_chosen("c")


async def test_cordon_taint_delete(cluster: RealApiServer, config: Config) -> None:
    """Leaving nodes are dropped: cordoned at once, tainted and deleted when a check fails."""
    async with following(config) as seen:
        await seen.until_chosen("a", "b", "c")
        await do(cluster.merge, "/api/v1/nodes/a", {"spec": {"unschedulable": True}})
        await seen.until_chosen("b", "c")
        await do(cluster.merge, "/api/v1/nodes/a", {"spec": {"unschedulable": None}})
        await seen.until_chosen("a", "b", "c")
        await do(
            cluster.merge,
            "/api/v1/nodes/b",
            {"spec": {"taints": [{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}]}},
        )
        await do(cluster.delete, "/api/v1/nodes/c")
        await asyncio.sleep(QUICK.node_cache)
        seen.fail("b")
        seen.fail("c")
        await seen.until_chosen("a")


async def test_own_node(cluster: RealApiServer, config: Config) -> None:
    """Our own node's cordon, and its end, are seen by a watch of that one node."""
    async with following(config) as seen:
        await seen.until(lambda one: one.own_zone != "")
        await do(cluster.merge, "/api/v1/nodes/own", {"spec": {"unschedulable": True}})
        await seen.until(lambda one: one.own_node_leaving)
        await do(cluster.merge, "/api/v1/nodes/own", {"spec": {"unschedulable": None}})
        await seen.until(lambda one: not one.own_node_leaving)
        await do(cluster.delete, "/api/v1/nodes/own")
        await seen.until(lambda one: one.own_node_leaving)


async def test_not_ready(cluster: RealApiServer, config: Config) -> None:
    """A node whose kubelet is silent is marked when its check fails, and stays a neighbour."""
    async with following(config) as seen:
        await seen.until_chosen("a", "b", "c")
        silent = {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}
        await do(cluster.merge, "/api/v1/nodes/a/status", silent)
        await asyncio.sleep(QUICK.node_cache)
        seen.fail("a")
        await seen.until(lambda one: NodeState.NOT_READY in {n.node_state for n in one.chosen})
        assert chosen(seen.last) == {"a", "b", "c"}


async def test_restart(cluster: RealApiServer, config: Config) -> None:
    """While the API server is away the last neighbours stay; after it the changes are seen."""
    async with following(config) as seen:
        await seen.until_chosen("a", "b", "c")
        await do(cluster.stop)
        down = await seen.until_state("cannot be reached")
        assert chosen(down) == {"a", "b", "c"}
        await do(cluster.start)
        await seen.until_state("ok", seconds=30)
        await do(cluster.put, node("d"), pod("d", "10.0.0.9"))
        await seen.until_chosen("a", "b", "c", "d")


@contextmanager
def informer(config: Config, *, watch: float = 300.0, version: str | None = None) -> Iterator[Any]:
    """A informer of our pods alone."""
    stopping = threading.Event()
    api = ApiServer(config)
    one = Informer(
        api,
        _pods(config),
        replace(QUICK, watch=watch),
        stopping=stopping,
        on_change=lambda: None,
    )
    one._version = version
    one.start()
    try:
        yield one
        assert one.snapshot().problem is None
    finally:
        stopping.set()
        api.close()
        one.join(5)


def test_too_old_a_version(config: Config) -> None:
    """A watch from before the API server's memory is answered 410, and then pods are listed."""
    with informer(config, version="1") as one:
        wait_until(lambda: len(one.snapshot().items) == len(NODES))


def test_bookmarks(cluster: RealApiServer, config: Config) -> None:
    """Bookmarks move the version that we watch from, past changes that we do not select."""
    with informer(config, watch=6.0) as one:
        wait_until(lambda: len(one.snapshot().items) == len(NODES))
        cluster.put(pod("a", name="unrelated", labels={}))
        newest = int(cluster.must("GET", f"{PODS}/unrelated")["metadata"]["resourceVersion"])
        wait_until(lambda: int(one._version or 0) >= newest, seconds=30)
        assert len(one.snapshot().items) == len(NODES)


async def test_token_refused_and_rotated(
    cluster: RealApiServer, config: Config, tmp_path: Path
) -> None:
    """A token that the API server refuses is said; a new one in the file is taken."""
    async with following(config, replace(QUICK, watch=1.0)) as seen:
        await seen.until_chosen("a", "b", "c")
        await do(rbac.delete_account, cluster)
        await seen.until_state("does not accept our token (401)", seconds=ROLE_SECONDS)
        assert chosen(seen.last) == {"a", "b", "c"}
        token = await asyncio.to_thread(rbac.create_account, cluster)
        (tmp_path / "token").write_text(token)
        await seen.until_state("ok", seconds=ROLE_SECONDS)
        await do(cluster.put, node("d"), pod("d", "10.0.0.9"))
        await seen.until_chosen("a", "b", "c", "d")


async def test_role_without_nodes(cluster: RealApiServer, config: Config) -> None:
    """Without a role for nodes, neighbours are known and what is missing is said."""
    await do(rbac.forbid_nodes, cluster)
    async with following(config) as seen:
        state = (await seen.until_state("forbids us to get nodes (403)", seconds=30)).state
        await seen.until_chosen("a", "b", "c")
    assert "forbids us to list cordoned nodes" in state
    allowing = with_discovery(config, allow_unschedulable=True)
    async with following(allowing) as seen:
        await seen.until_state("ok")
        await seen.until_chosen("a", "b", "c")
    await do(rbac.allow_nodes, cluster)


async def test_filter_misses_us(config: Config) -> None:
    """A selector that finds nobody is said as what it is."""
    async with following(with_discovery(config, neighbour_filter="app=typo")) as seen:
        await seen.until_state("the filter app=typo misses our own pod kubenurse-own")


async def test_large_cluster(cluster: RealApiServer, config: Config) -> None:
    """More pods than are watched: listed a line each, the chosen read, whole, when picked."""
    names = [f"n{number:03d}" for number in range(LARGE_CLUSTER)]

    def create() -> None:
        for number, name in enumerate(names):
            cluster.put(pod(name, f"10.1.{number // 256}.{number % 256}"))
        cluster.put(pod("b", phase="Running", started=False))

    await asyncio.to_thread(create)
    config = with_discovery(config, allow_unschedulable=True)
    stopping = threading.Event()
    api = ApiServer(config)
    one = Informer(api, _pods(config), QUICK, stopping=stopping, on_change=lambda: None)
    one._list()
    assert one._is_large
    whole = one.snapshot().items.values()
    one._list_short()
    lines = one.snapshot().items.values()
    api.close()
    assert {False} == {agent.complete for agent in lines}
    assert {(a.name, a.node_name, a.candidate.neighbour.pod_ip) for a in whole} == {
        (a.name, a.node_name, a.candidate.neighbour.pod_ip) for a in lines
    }
    async with following(config) as seen:
        neighbourhood = await seen.until(
            lambda known: {n.host_ip for n in known.chosen} == {"192.168.0.1"}
        )
    assert len(neighbourhood.chosen) == 10
    assert "b" not in chosen(neighbourhood)
    assert neighbourhood.state == "ok"
