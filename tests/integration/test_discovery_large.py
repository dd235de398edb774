"""Discovery in a cluster that is too large to watch: a line a pod, and the chosen read."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from apiserver.following import QUICK, agent_of, chosen, following, with_discovery
from apiserver.objects import node, pod
from apiserver.stand_in import Handler, StandIn, stand_in
from waiting import until

from kubenurse_otel.config import (
    Config,
)
from kubenurse_otel.discovery.candidates import candidate, choose
from kubenurse_otel.model import Neighbour, NodeState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = [f"n{number:03d}" for number in range(600)]
RING = [
    one.node_name
    for one in choose(
        [candidate(Neighbour(pod_name="", node_name=name, pod_ip="")) for name in NAMES], "own", 0
    )
]
"""All others, nearest first."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[StandIn]:
    with stand_in(tmp_path) as server:
        for number, name in enumerate(("own", *NAMES)):
            server.put(node(name), pod(name, f"10.0.{number // 256}.{number % 256}"))
        yield server


@pytest.fixture
def config(cluster: StandIn) -> Config:
    return agent_of(cluster, token_file=cluster.token_file, neighbour_limit=3)


async def test_lines_and_reads(cluster: StandIn, config: Config) -> None:
    """Pods are listed in their short form; the chosen alone are read, whole, with their nodes."""
    async with following(config) as seen:
        neighbourhood = await seen.until_chosen(*RING[:3])
        await until(lambda: cluster.count("list pods") >= 3)
        await seen.until_state("ok")
    assert len(neighbourhood.known) == 600
    assert {one.host_ip for one in neighbourhood.chosen} == {"192.168.0.1"}
    assert {one.node_state for one in neighbourhood.chosen} == {NodeState.READY}
    assert (cluster.count("get pods"), cluster.count("get nodes")) == (3, 3)
    assert cluster.count("watch pods") == 0
    lists = [one for one in cluster.queries if one["path"].endswith("/pods")]
    assert {one.get("includeObject") for one in lists} == {"None"}


async def test_who_is_no_candidate(cluster: StandIn, config: Config) -> None:
    """Terminating by its line, not started by its reading, leaving by its node: all make room."""
    terminating = pod(RING[0], "10.9.9.9")
    terminating["metadata"]["deletionTimestamp"] = "2026-11-01T00:00:00Z"
    cluster.put(
        terminating,
        pod(RING[1], started=False),
        node(RING[2], unschedulable=True),
        pod(RING[3], ip=""),
    )
    cluster.delete("nodes", RING[4])
    async with following(config) as seen:
        await seen.until_chosen(*RING[5:8])
        cluster.put(pod(RING[1]))
        await seen.until_chosen(RING[1], *RING[5:7])


async def test_youngest_of_two(cluster: StandIn, config: Config) -> None:
    """Two lines of one node are both read, and the youngest that has started is chosen."""
    cluster.put(
        pod(RING[0], name="zzz-old", start_time="2026-01-01T00:00:00Z"),
        pod(RING[0], name="aaa-new", start_time="2026-11-09T00:00:00Z"),
        pod(RING[0], name="not-yet", start_time="2026-11-10T00:00:00Z", started=False),
    )
    async with following(config) as seen:
        await seen.until(lambda one: {n.pod_name for n in one.chosen} > {"aaa-new"})
        assert chosen(seen.last) == set(RING[:3])


async def test_failed_target_is_read(cluster: StandIn, config: Config) -> None:
    """Between two lists a failed target's pod is read; if it is gone, the next takes over."""
    async with following(config, replace(QUICK, poll=60.0, hurried_poll=60.0)) as seen:
        await seen.until_chosen(*RING[:3])
        cluster.delete("pods", f"kubenurse-{RING[0]}")
        await asyncio.sleep(QUICK.node_cache)
        seen.fail(RING[0])
        await seen.until_chosen(*RING[1:4])


async def test_outdated_lists_are_renewed(cluster: StandIn, config: Config) -> None:
    """A list is left alone for minutes, but when a pod of it is found gone the next comes soon."""
    async with following(config, replace(QUICK, poll=60.0)) as seen:
        await seen.until_chosen(*RING[:3])
        lists = cluster.count("list pods")
        await asyncio.sleep(5 * QUICK.hurried_poll)
        assert cluster.count("list pods") == lists
        cluster.delete("pods", f"kubenurse-{RING[0]}")
        cluster.put(pod(RING[0], "10.9.9.9", name="fresh"))
        seen.fail(RING[0])
        await seen.until(lambda one: "fresh" in {n.pod_name for n in one.chosen})


async def test_rolled_out(cluster: StandIn, config: Config) -> None:
    """The next list brings the successors of pods that are gone."""
    async with following(config) as seen:
        await seen.until_chosen(*RING[:3])
        for name in RING[:3]:
            cluster.delete("pods", f"kubenurse-{name}")
            cluster.put(pod(name, "10.9.9.9", name=f"fresh-{name}"))
        await seen.until(
            lambda one: {n.pod_name for n in one.chosen} == {f"fresh-{n}" for n in RING[:3]}
        )
    assert {one.pod_ip for one in seen.last.chosen} == {"10.9.9.9"}


async def test_shrinks_and_grows(cluster: StandIn, config: Config) -> None:
    """A cluster that becomes small is watched, one that becomes large is no longer."""
    async with following(config) as seen:
        await seen.until_chosen(*RING[:3])
        for name in RING[390:]:
            cluster.delete("pods", f"kubenurse-{name}")
        await until(lambda: cluster.count("watch pods") == 1)
        cluster.delete("pods", f"kubenurse-{RING[0]}")
        await seen.until_chosen(*RING[1:4])
        cluster.put(*(pod(name) for name in RING[390:]))
        await seen.until(lambda one: len(one.known) == 599)
        cluster.forget_history()  # The list that follows shows how many there are.
        lists = cluster.count("list pods")
        await until(lambda: cluster.count("list pods") > lists + 3)
        assert cluster.queries[-1].get("includeObject") == "None"


async def test_size_unknown(cluster: StandIn, config: Config) -> None:
    """Without a role for nodes the first list is long and says that the next are to be short."""
    config = with_discovery(config, allow_unschedulable=True)
    async with following(config) as seen:
        await seen.until_chosen(*RING[:3])
        await until(lambda: cluster.count("list pods") >= 3)
    assert (cluster.count("watch pods"), cluster.count("get nodes")) == (0, 0)
    assert ["includeObject" in one for one in list(cluster.queries)[:2]] == [False, True]


def other_columns(request: Handler) -> None:
    columns = [{"name": "Nom"}, {"name": "Noeud"}]
    request.answer({"kind": "Table", "columnDefinitions": columns, "rows": [{"cells": ["a", "b"]}]})


def short_line(request: Handler) -> None:
    columns = [{"name": name} for name in ("Name", "Status", "IP", "Node")]
    request.answer({"kind": "Table", "columnDefinitions": columns, "rows": [{"cells": ["a"]}]})


def ignores_accept(request: Handler) -> None:
    request.answer({"kind": "PodList", "metadata": {"resourceVersion": "1"}, "items": []})


def html(request: Handler) -> None:
    request.answer_bytes(b"<html>")


@pytest.mark.parametrize("fault", [other_columns, short_line, ignores_accept, html])
async def test_no_table(cluster: StandIn, config: Config, fault: object) -> None:
    """An answer that is no table of pods is said, the neighbours stay, and it is asked again."""
    async with following(config) as seen:
        await seen.until_chosen(*RING[:3])
        cluster.always["list pods"] = fault  # type: ignore[assignment]
        await seen.until_state("list pods", "is not understood")
        assert chosen(seen.last) == set(RING[:3])
        cluster.always.clear()
        await seen.until_state("ok")


async def test_pods_cannot_be_read(cluster: StandIn, config: Config) -> None:
    """When the chosen's pods cannot be read their lines have to do."""
    cluster.always["get pods"] = lambda request: request.refuse(403)
    async with following(config) as seen:
        await seen.until_state("forbids us to get pods")
        neighbourhood = await seen.until_chosen(*RING[:3])
    assert {one.host_ip for one in neighbourhood.chosen} == {""}
