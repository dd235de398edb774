"""kubenurse_otel.discovery.kubernetes against a server of the tests that can misbehave."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from apiserver.following import QUICK, agent_of, chosen, following, with_discovery, with_identity
from apiserver.objects import NAMESPACE, node, pod
from apiserver.stand_in import Handler, StandIn, stand_in
from waiting import until

from kubenurse_otel.config import (
    Config,
)
from kubenurse_otel.discovery.candidates import candidate, choose
from kubenurse_otel.discovery.nodes import CORDON
from kubenurse_otel.model import Neighbour, NodeState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[StandIn]:
    """Nodes own, a, b, c with an agent each."""
    with stand_in(tmp_path) as server:
        for index, name in enumerate(("own", "a", "b", "c")):
            server.put(node(name, zone=f"zone-{name}"), pod(name, f"10.0.0.{index}"))
        yield server
    assert not [
        one for one in threading.enumerate() if one.name.startswith(("informer", "neighbours"))
    ]


@pytest.fixture
def config(cluster: StandIn) -> Config:
    return agent_of(cluster, token_file=cluster.token_file)


async def test_neighbours(config: Config) -> None:
    """Every other agent is a neighbour, with its addresses, zone and node's state."""
    async with following(config) as seen:
        neighbourhood = await seen.until_chosen("a", "b", "c")
    assert neighbourhood.state == "ok"
    assert (neighbourhood.own_node_name, neighbourhood.own_node_leaving) == ("own", False)
    assert neighbourhood.listed_at is not None
    (a,) = (one for one in neighbourhood.chosen if one.node_name == "a")
    assert a == Neighbour(
        pod_name="kubenurse-a",
        node_name="a",
        pod_ip="10.0.0.1",
        host_ip="192.168.0.1",
        zone="zone-a",
        node_state=NodeState.READY,
    )
    assert {one.node_name for one in neighbourhood.known} == {"a", "b", "c"}


async def test_own_zone(config: Config) -> None:
    """Our own node's zone is known once our node was seen."""
    async with following(config) as seen:
        await seen.until(lambda one: one.own_zone == "zone-own")


async def test_only_the_ring_is_chosen(cluster: StandIn, config: Config) -> None:
    """The limit holds, and only the nodes of the chosen are read."""
    names = [f"n{number}" for number in range(30)]
    cluster.put(*(node(name) for name in names), *(pod(name) for name in names))
    every = ["a", "b", "c", *names]
    expected = choose(
        [candidate(Neighbour(pod_name="", node_name=name, pod_ip="")) for name in every], "own", 5
    )
    async with following(with_discovery(config, neighbour_limit=5)) as seen:
        neighbourhood = await seen.until(lambda one: len(one.known) == 33)
    assert [one.node_name for one in expected] == [one.node_name for one in neighbourhood.chosen]
    assert cluster.count("get nodes") == 5


@pytest.mark.parametrize(
    "other",
    [
        pod("x", phase="Pending", started=None),
        pod("x", phase="Failed"),
        pod("x", phase="Succeeded"),
        pod("x", started=False),
        pod("x", started=None),
        pod("x", labels={}),
        pod("x", ip=""),
        pod("x", ip="nonsense"),
        pod("own", name="second-on-our-node"),
        pod("x") | {"metadata": {"name": "x", "labels": {}, "deletionTimestamp": "2026-01-01"}},
    ],
)
async def test_no_candidates(cluster: StandIn, config: Config, other: dict[str, object]) -> None:
    """A pod that does not run, has not started, has no address, or shares our node is none."""
    cluster.put(node("x"), other)
    async with following(config) as seen:
        await seen.until_chosen("a", "b", "c")


async def test_an_agent_beside_a_container_that_cannot_start(
    cluster: StandIn, config: Config
) -> None:
    """Its pod is Pending, while the image of a sidecar is missing; it is checked like any other."""
    cluster.put(node("x"), pod("x", "10.0.0.9", phase="Pending", started=True))
    async with following(config) as seen:
        await seen.until_chosen("a", "b", "c", "x")


async def test_nobody_has_started_yet(
    cluster: StandIn, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    """At a first installation that is no warning; it is one when it lasts."""
    caplog.set_level(logging.INFO, "kubenurse_otel")
    for name in ("a", "b", "c"):
        cluster.put(pod(name, f"10.0.0.{ord(name) - 96}", started=False))
    async with following(config) as seen:
        await seen.until_state("no neighbour")
        await until(lambda: any(one.levelno == logging.WARNING for one in caplog.records))
    first, *_, last = [one for one in caplog.records if "no neighbour" in one.message]
    assert (logging.INFO, logging.WARNING) == (first.levelno, last.levelno)
    assert first.message.endswith(" yet")


async def test_hanging_agent_stays(cluster: StandIn, config: Config) -> None:
    """An agent that started and is no longer ready is checked all the more."""
    hanging = pod("x", "10.0.0.9")
    hanging["status"]["containerStatuses"][0]["ready"] = False
    cluster.put(node("x"), hanging)
    async with following(config) as seen:
        await seen.until_chosen("a", "b", "c", "x")


async def test_events(cluster: StandIn, config: Config) -> None:
    """Pods that come, change, terminate and go change the neighbours, by one list and one watch."""
    async with following(config) as seen:
        await seen.until_chosen("a", "b", "c")
        cluster.put(node("d"), pod("d", "10.0.0.9"))
        await seen.until_chosen("a", "b", "c", "d")
        cluster.put(pod("d", "10.0.0.10"))
        await seen.until(lambda one: "10.0.0.10" in {n.pod_ip for n in one.chosen})
        terminating = pod("d")
        terminating["metadata"]["deletionTimestamp"] = "2026-11-01T00:00:00Z"
        cluster.put(terminating)
        await seen.until_chosen("a", "b", "c")
        cluster.delete("pods", "kubenurse-a")
        await seen.until_chosen("b", "c")
        cluster.put(pod("b", phase="Failed"))
        await seen.until_chosen("c")
    assert (cluster.count("list pods"), cluster.count("watch pods")) == (1, 1)


async def test_youngest_of_a_node(cluster: StandIn, config: Config) -> None:
    """In a roll-out with surge the new pod of a node stands for it as soon as it has started."""
    async with following(config) as seen:
        await seen.until_chosen("a", "b", "c")
        cluster.put(pod("a", "10.0.0.77", name="kubenurse-new", start_time="2026-11-02T00:00:00Z"))
        await seen.until(lambda one: "kubenurse-new" in {n.pod_name for n in one.chosen})
        assert chosen(seen.last) == {"a", "b", "c"}


# --- nodes --------------------------------------------------------------------------------------


async def test_cordoned_nodes(cluster: StandIn, config: Config) -> None:
    """A neighbour on a cordoned node is left out while it is cordoned."""
    cluster.put(node("a", unschedulable=True))
    async with following(config) as seen:
        await seen.until_chosen("b", "c")
        cluster.put(node("b", unschedulable=True))
        await seen.until_chosen("c")
        cluster.put(node("a"))
        await seen.until_chosen("a", "c")


async def test_unschedulable_allowed(cluster: StandIn, config: Config) -> None:
    """With ALLOW_UNSCHEDULABLE cordoned ones stay and nobody asks for nodes: no role needed."""
    cluster.put(node("a", unschedulable=True))
    async with following(with_discovery(config, allow_unschedulable=True)) as seen:
        neighbourhood = await seen.until_chosen("a", "b", "c")
        seen.fail("a")
        await until(lambda: cluster.count("watch pods") == 1)
    assert {one.node_state for one in neighbourhood.chosen} == {NodeState.UNKNOWN}
    assert not [request for request in cluster.requests if "nodes" in request]


async def test_tainted_and_deleted_nodes(cluster: StandIn, config: Config) -> None:
    """Nodes that leave by taint or that are gone are found out when they are picked."""
    cluster.put(node("a", taints=("karpenter.sh/disrupted",)), node("b", taints=("harmless",)))
    cluster.delete("nodes", "c")
    async with following(config) as seen:
        await seen.until_chosen("b")


async def test_unready_agents_nodes_are_read(cluster: StandIn, config: Config) -> None:
    """A taint is seen before a check fails: the agent there is not ready. That alone is nothing."""
    async with following(config) as seen:
        await seen.until_chosen("a", "b", "c")
        cluster.put(node("a", taints=("karpenter.sh/disrupted",)))
        cluster.put(pod("a", ready=False), pod("b", ready=False))
        await seen.until_chosen("b", "c")
        await asyncio.sleep(QUICK.tick + QUICK.node_cache)
        assert chosen(seen.last) == {"b", "c"}


async def test_taint_of_a_cordon_that_is_over(cluster: StandIn, config: Config) -> None:
    """After an uncordon the taint is there for a moment; the node is checked again at once."""
    config = with_discovery(config, leaving_taints=(CORDON,))
    cluster.put(node("a", unschedulable=True, taints=(CORDON,)))
    async with following(config, replace(QUICK, leaving_cache=60.0)) as seen:
        await seen.until_chosen("b", "c")
        cluster.put(node("a", taints=(CORDON,)))
        await seen.until_chosen("a", "b", "c")


async def test_next_of_the_ring_for_a_leaving_one(cluster: StandIn, config: Config) -> None:
    """The place of a leaving node is taken by the next on the ring; it is read again later."""
    config = with_discovery(config, neighbour_limit=2)
    async with following(config) as seen:
        first, second = (await seen.until(lambda one: len(one.chosen) == 2)).chosen
        cluster.put(node(first.node_name, taints=("karpenter.sh/disrupted",)))
        seen.fail(first.node_name)
        third = {"a", "b", "c"} - {first.node_name, second.node_name}
        await seen.until_chosen(second.node_name, *third)
        cluster.put(node(first.node_name))
        await seen.until_chosen(first.node_name, second.node_name)


async def test_not_ready(cluster: StandIn, config: Config) -> None:
    """A failed target's node is read: not ready is marked, and unmarked when it is over."""
    async with following(config) as seen:
        await seen.until_chosen("a", "b", "c")
        cluster.put(node("a", ready="Unknown"))
        await asyncio.sleep(QUICK.node_cache)
        seen.fail("a")
        await seen.until(lambda one: state_of(one, "a") is NodeState.NOT_READY)
        assert chosen(seen.last) == {"a", "b", "c"}
        cluster.put(node("a"))
        await seen.until(lambda one: state_of(one, "a") is NodeState.READY)


async def test_hints_are_cached(cluster: StandIn, config: Config) -> None:
    """However often a target fails, its node is read once in the cache's time; others never."""
    config_timings = replace(QUICK, node_cache=60.0)
    async with following(config, config_timings) as seen:
        await seen.until_chosen("a", "b", "c")
        reads = cluster.count("get nodes")
        for _ in range(20):
            seen.fail("a")
            seen.fail("stranger")
        cluster.put(pod("d"), node("d"))  # Later than the hints.
        await seen.until_chosen("a", "b", "c", "d")
    assert cluster.count("get nodes") == reads + 1


async def test_a_failed_read_is_repeated(cluster: StandIn, config: Config) -> None:
    """A node that could not be read when its check failed is read again, and all is well again."""
    async with following(config) as seen:
        await seen.until(lambda one: chosen(one) == {"a", "b", "c"} and one.state == "ok")
        cluster.faults["get nodes"].append(html)
        while cluster.faults["get nodes"]:  # It is cached for a moment.
            seen.fail("a")
            await asyncio.sleep(QUICK.tick)
        await seen.until_state("not understood")
        await seen.until(lambda one: one.state == "ok")


async def test_own_node_leaves(cluster: StandIn, config: Config) -> None:
    """Cordoned, tainted or deleted: our own node is leaving, and back when it is back."""
    async with following(config) as seen:
        await seen.until(lambda one: one.own_zone != "")
        cluster.put(node("own", unschedulable=True))
        await seen.until(lambda one: one.own_node_leaving)
        cluster.put(node("own"))
        await seen.until(lambda one: not one.own_node_leaving)
        cluster.put(node("own", taints=("karpenter.sh/disrupted",)))
        await seen.until(lambda one: one.own_node_leaving)
        cluster.put(node("own"))
        await seen.until(lambda one: not one.own_node_leaving)
        cluster.delete("nodes", "own")
        await seen.until(lambda one: one.own_node_leaving)


async def test_wrong_node_name(config: Config) -> None:
    """A node name that the cluster does not know is said, and is no reason to be unready."""
    async with following(with_identity(config, node_name="typo")) as seen:
        neighbourhood = await seen.until_state("no node typo: is KUBENURSE_NODE_NAME right?")
    assert not neighbourhood.own_node_leaving


def state_of(neighbourhood: object, name: str) -> NodeState:
    return next(one.node_state for one in neighbourhood.chosen if one.node_name == name)  # type: ignore[attr-defined]


# --- who we are ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "identity",
    [
        {"pod_name": "kubenurse-own"},
        {"pod_uid": "uid-1", "pod_name": "wrong"},
        {"pod_name": "wrong", "pod_ip": "10.0.0.0"},
    ],
)
async def test_own_pod(config: Config, identity: dict[str, str]) -> None:
    """Without KUBENURSE_NODE_NAME our node is that of our own pod."""
    config = with_identity(config, node_name="", **({"pod_uid": "", "pod_ip": ""} | identity))
    async with following(config) as seen:
        neighbourhood = await seen.until_chosen("a", "b", "c")
    assert neighbourhood.own_node_name == "own"


async def test_host_network(cluster: StandIn, config: Config) -> None:
    """Under hostNetwork the pod's host name is the node's: each agent still finds itself."""
    cluster.put(pod("own", host_network=True), pod("a", host_network=True))
    async with following(with_identity(config, node_name="", pod_name="own.domain")) as seen:
        neighbourhood = await seen.until_chosen("a", "b", "c")
    assert neighbourhood.own_node_name == "own"


async def test_filter_misses_us(config: Config) -> None:
    """A filter that finds others and not us is said."""
    config = with_identity(config, pod_name="kubenurse-elsewhere")
    async with following(config) as seen:
        neighbourhood = await seen.until_state("misses our own pod kubenurse-elsewhere")
    assert chosen(neighbourhood) == {"a", "b", "c"}


async def test_filter_finds_nobody(config: Config) -> None:
    """Zero neighbours are said, with what may be wrong."""
    config = with_discovery(with_identity(config, node_name=""), neighbour_filter="app=typo")
    async with following(config) as seen:
        await seen.until_state("the filter app=typo misses", "own node is unknown", "no neighbour")


# --- an API server that misbehaves --------------------------------------------------------------


async def test_server_down_and_back(
    cluster: StandIn, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    """The last neighbours stay, the state says what is wrong, the age grows, one line is logged."""
    caplog.set_level(logging.INFO, "kubenurse_otel")
    async with following(config) as seen:
        await seen.until_chosen("a", "b", "c")
        await until(lambda: cluster.count("watch pods") == 1)
        cluster.stop()
        down = await seen.until_state("cannot be reached: Connection refused")
        assert chosen(down) == {"a", "b", "c"}
        await asyncio.sleep(10 * QUICK.max_backoff)
        assert seen.last.listed_at == down.listed_at
        cluster.start()
        cluster.put(pod("d"), node("d"))
        back = await seen.until_chosen("a", "b", "c", "d")
        await seen.until_state("ok")
    assert back.listed_at is not None
    assert down.listed_at is not None
    assert back.listed_at > down.listed_at
    messages = [record.message for record in caplog.records]
    assert len(messages) == len(set(messages)) + messages.count("neighbourhood: ok") - 1
    assert messages[-1] == "neighbourhood: ok"


async def test_down_from_the_start(cluster: StandIn, config: Config) -> None:
    """Without an API server there is a sentence and no neighbour; it is found when it comes."""
    cluster.stop()
    async with following(config) as seen:
        state = await seen.until_state("cannot be reached")
        assert (state.chosen, state.listed_at) == ((), None)
        cluster.start()
        await seen.until_chosen("a", "b", "c")


async def test_too_old(cluster: StandIn, config: Config) -> None:
    """After a 410 the pods are listed again; nothing is lost and nothing is said."""
    async with following(config) as seen:
        await seen.until_chosen("a", "b", "c")
        await until(lambda: cluster.count("watch pods") == 1)
        with cluster.changed:
            cluster.objects["pods"].pop("kubenurse-a")
        cluster.forget_history()
        await seen.until_chosen("b", "c")
        assert {one.state for one in seen.all} == {"ok"}


async def test_410_as_a_status(cluster: StandIn, config: Config) -> None:
    """A watch may be refused with the status itself."""
    cluster.faults["watch pods"].append(lambda request: request.refuse(410))
    async with following(config) as seen:
        await seen.until_chosen("a", "b", "c")
        await until(lambda: cluster.count("watch pods") == 2)
    assert cluster.count("list pods") == 2


def ended_at_once(request: Handler) -> None:
    request.start_stream()
    request.end_stream()


async def test_watches_that_tell_nothing_are_followed_by_a_list(
    cluster: StandIn, config: Config
) -> None:
    """An etcd that was restored from a backup is behind our version: its watches tell nothing."""
    cluster.always["watch pods"] = ended_at_once
    async with following(config, replace(QUICK, watch=0.2)) as seen:
        await seen.until_chosen("a", "b", "c")
        cluster.put(pod("d"), node("d"))
        await seen.until_chosen("a", "b", "c", "d")
        assert {one.state for one in seen.all} == {"ok"}


async def test_a_watch_that_was_cut_off_is_followed_by_a_list_as_well(
    cluster: StandIn, config: Config
) -> None:
    """A load balancer that knows no keep-alive ends each silent watch in its midst."""

    def cut_off(request: Handler) -> None:
        request.start_stream()
        request.close_connection = True

    cluster.always["watch pods"] = cut_off
    async with following(config, replace(QUICK, watch=0.2)) as seen:
        await seen.until_chosen("a", "b", "c")
        cluster.put(pod("d"), node("d"))
        await seen.until_chosen("a", "b", "c", "d")


async def test_watches_that_are_ended_early_cost_no_lists(cluster: StandIn, config: Config) -> None:
    """500 agents would ask for all pods twice a second each."""
    cluster.always["watch pods"] = ended_at_once
    async with following(config) as seen:
        await seen.until_chosen("a", "b", "c")
        await until(lambda: cluster.count("watch pods") == 5)
    assert cluster.count("list pods") == 1


async def test_bookmarks(cluster: StandIn, config: Config) -> None:
    """A bookmark moves the version that the next watch starts from, and the age."""

    def bookmark(request: Handler) -> None:
        request.start_stream()
        metadata = {"resourceVersion": "12345"}
        request.send_event("BOOKMARK", {"kind": "Pod", "metadata": metadata})
        request.end_stream()

    cluster.faults["watch pods"].append(bookmark)
    async with following(config) as seen:
        await seen.until_chosen("a", "b", "c")
        await until(lambda: cluster.count("watch pods") == 2)
    versions = [
        one["resourceVersion"]
        for one in cluster.queries
        if "watch" in one and one["path"].endswith("pods")
    ]
    assert versions[1] == "12345"
    assert cluster.count("list pods") == 1


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, "does not accept our token (401)"),
        (403, f"forbids us to list pods in namespace {NAMESPACE} (403)"),
        (404, "has nothing (404)"),
        (429, "has no time for us (429)"),
        (500, "answered 500"),
        (302, "answered 302"),
    ],
)
async def test_refusals(cluster: StandIn, config: Config, status: int, expected: str) -> None:
    """Each refusal is said with what was asked; a redirect is not followed."""
    cluster.always["list pods"] = lambda request: request.refuse(
        status, location="https://127.0.0.1:1/", retry_after="0"
    )
    async with following(config) as seen:
        await seen.until_state(expected)
        cluster.always.clear()
        await seen.until_chosen("a", "b", "c")
        await seen.until_state("ok")


async def test_our_node_has_its_name_before_the_api_server_answers(
    cluster: StandIn, config: Config
) -> None:
    """What fails meanwhile is seen from it, and not from nowhere: verdicts name it."""
    cluster.always["list pods"] = lambda request: request.refuse(500)
    async with following(config) as seen:
        assert "own" == (await seen.until_state("500")).own_node_name


async def test_nodes_forbidden(cluster: StandIn, config: Config) -> None:
    """Without a role for nodes the neighbours stay, and what is missing is said."""
    for asked in ("list nodes", "get nodes", "count nodes"):
        cluster.always[asked] = lambda request: request.refuse(403)
    async with following(config) as seen:
        neighbourhood = await seen.until_state(
            "forbids us to list cordoned nodes (403)",
            "forbids us to list node own (403)",
            "forbids us to get nodes (403)",
        )
        assert chosen(neighbourhood) == {"a", "b", "c"}
        assert not neighbourhood.own_node_leaving
        assert cluster.count("get nodes") <= 2
        cluster.always.clear()
        await seen.until_state("ok")


async def test_nodes_forbidden_by_an_api_server_that_has_just_started(
    cluster: StandIn, config: Config
) -> None:
    """It has not read its roles yet: what it allows a moment later is not missed for minutes."""
    cluster.always["get nodes"] = lambda request: request.refuse(403)
    timings = replace(QUICK, forbidden=300.0, patience=60.0)
    async with following(config, timings=timings) as seen:
        await seen.until_state("forbids us to get nodes (403)")
        cluster.always.clear()
        await seen.until_state("ok")


async def test_rotated_token(cluster: StandIn, config: Config) -> None:
    """A token that is no longer accepted is read again from its file."""
    async with following(config) as seen:
        await seen.until_chosen("a", "b", "c")
        cluster.tokens = {"better"}
        cluster.cut_watches()
        await seen.until_state("401")
        assert chosen(seen.last) == {"a", "b", "c"}
        cluster.token_file.write_text("better")
        await seen.until_state("ok")
        cluster.put(pod("d"), node("d"))
        await seen.until_chosen("a", "b", "c", "d")


def cut_off(request: Handler) -> None:
    request.start_stream()
    request.send_chunk(b'{"type":"ADDED","object":{"metadata"')
    request.hang_up()


def garbage_line(request: Handler) -> None:
    request.start_stream()
    request.send_chunk(b"\xff\xfe nonsense\n")
    request.hang_up()


def not_an_object(request: Handler) -> None:
    request.start_stream()
    request.send_chunk(b'{"type":"ADDED","object":{"metadata":{"name":5}}}\n')
    request.hang_up()


def no_event(request: Handler) -> None:
    request.start_stream()
    request.send_chunk(b"[1,2]\n\n")
    request.hang_up()


def error_event(request: Handler) -> None:
    request.start_stream()
    request.send_event("ERROR", {"kind": "Status", "code": 500})
    request.end_stream()


def nested(request: Handler) -> None:
    request.start_stream()
    request.send_chunk(b'{"type":"ADDED","object":' + b"[" * 100_000 + b"\n")
    request.hang_up()


def half_an_answer(request: Handler) -> None:
    request.send_response(200)
    request.send_header("content-length", "1000000")
    request.end_headers()
    request.wfile.write(b'{"kind":"PodList","metadata":{"resourceVersion":"1"},"items":[{"meta')
    request.hang_up()


def html(request: Handler) -> None:
    request.answer_bytes(b"<html>sign in</html>")


def broken_gzip(request: Handler) -> None:
    request.send_response(200)
    request.send_header("content-encoding", "gzip")
    request.send_header("content-length", "6")
    request.end_headers()
    request.wfile.write(b"broken")


def empty(request: Handler) -> None:
    request.answer_bytes(b"")


def no_http(request: Handler) -> None:
    request.wfile.write(b"\x00" * 100)
    request.hang_up()


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ("watch pods", cut_off),
        ("watch pods", garbage_line),
        ("watch pods", not_an_object),
        ("watch pods", no_event),
        ("watch pods", error_event),
        ("watch pods", nested),
        ("watch pods", no_http),
        ("list pods", half_an_answer),
        ("list pods", html),
        ("list pods", broken_gzip),
        ("list pods", empty),
        ("list pods", no_http),
        ("get nodes", html),
        ("get nodes", half_an_answer),
        ("list nodes", html),
        ("count nodes", html),
        ("count nodes", no_http),
    ],
)
async def test_broken_answers(cluster: StandIn, config: Config, asked: str, fault: object) -> None:
    """Whatever an answer breaks off with or holds, the neighbours come and keep following."""
    cluster.faults[asked].append(fault)  # type: ignore[arg-type]
    async with following(config) as seen:
        await seen.until_chosen("a", "b", "c")
        await until(lambda: not cluster.faults[asked])
        cluster.put(pod("d"), node("d"))
        await seen.until_chosen("a", "b", "c", "d")
        await seen.until_state("ok")


async def test_garbage_for_ever(
    cluster: StandIn, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that is none is asked with back-off, and complained of once."""
    cluster.always["list pods"] = html
    async with following(config) as seen:
        await seen.until_state("answer to list pods", "is not understood")
        await until(lambda: cluster.count("list pods") > 5)
    assert len([one for one in caplog.records if "not understood" in one.message]) == 1


async def test_silent_server_does_not_keep_us(cluster: StandIn, config: Config) -> None:
    """Stopping interrupts a list that is never answered."""
    silent = threading.Event()
    cluster.always["list pods"] = lambda request: (
        request.start_stream(),
        silent.wait(10),
        request.hang_up(),
    )  # type: ignore[func-returns-value, assignment]
    async with following(config):
        await until(lambda: cluster.count("list pods") == 1)
        started = time.monotonic()
    assert time.monotonic() - started < 8
    silent.set()


async def test_token_stays_here(cluster: StandIn, config: Config) -> None:
    """No state, whatever goes wrong, repeats the token."""
    cluster.token_file.write_text("s3cr3t-token\nwith: newline")
    async with following(config) as seen:
        await seen.until(lambda one: one.state != "ok")
        await asyncio.sleep(5 * QUICK.max_backoff)
    assert not [one for one in seen.all if "s3cr3t" in one.state]


async def test_token_with_a_newline(cluster: StandIn, config: Config) -> None:
    """A token that an editor has ended with a newline is the token without it."""
    cluster.token_file.write_text("good\n")
    async with following(config) as seen:
        await seen.until_chosen("a", "b", "c")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"token_file": "missing"}, "{path}: No such file or directory"),
        ({"token_file": "empty"}, "{path}: is empty"),
        ({"token_file": "fifo"}, "{path}: is no regular file"),
        ({"token_file": "two lines"}, "the token of {path} is no token"),
        ({"ca_file": "missing"}, "{path}: No such file or directory"),
        ({"ca_file": "empty"}, "{path}: is empty"),
        ({"ca_file": "token"}, "{path}: there is no PEM certificate"),
    ],
)
async def test_credentials(
    config: Config, tmp_path: Path, change: dict[str, str], expected: str
) -> None:
    """Missing and broken files are said, by their names, and read again when they are there."""
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "two lines").write_text("a\nb")
    os.mkfifo(tmp_path / "fifo")
    broken = {name: tmp_path / file for name, file in change.items()}
    (path,) = broken.values()
    async with following(replace(config, trust=replace(config.trust, **broken))) as seen:
        await seen.until_state(expected.format(path=path))


async def test_no_api_server_known(config: Config) -> None:
    """Without KUBERNETES_SERVICE_HOST it is said what is missing."""
    config = replace(config, checks=replace(config.checks, api_server_host=""))
    async with following(config) as seen:
        await seen.until_state("cannot be asked: KUBERNETES_SERVICE_HOST is not set", "KUBECONFIG")


async def test_untrusted_server(config: Config, tmp_path: Path) -> None:
    """A server that our CA does not vouch for never sees the token."""
    with stand_in(tmp_path) as stranger:  # Overwrites ca.crt with its own.
        async with following(config) as seen:
            await seen.until_state("cannot be reached", "certificate")
        assert not stranger.requests


async def test_extra_ca(cluster: StandIn, config: Config, tmp_path: Path) -> None:
    """KUBENURSE_EXTRA_CA vouches for the API server, too; without certificates it is ignored."""
    extra = tmp_path / "extra.crt"
    extra.write_bytes(cluster.ca_file.read_bytes())
    (tmp_path / "other").mkdir()
    with stand_in(tmp_path / "other") as other:
        trust = replace(config.trust, ca_file=other.ca_file, extra_ca=extra)
        async with following(replace(config, trust=trust)) as seen:
            await seen.until_chosen("a", "b", "c")
    for useless in ("no certificate", None):
        extra.write_text(useless) if useless else extra.unlink()
        trust = replace(config.trust, extra_ca=extra)
        async with following(replace(config, trust=trust)) as seen:
            await seen.until_chosen("a", "b", "c")


async def test_kubeconfig(cluster: StandIn, config: Config, tmp_path: Path) -> None:
    """Outside a cluster KUBECONFIG says where and who."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "x",
                "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
                "clusters": [
                    {
                        "name": "x",
                        "cluster": {
                            "server": f"https://127.0.0.1:{cluster.port}",
                            "certificate-authority": str(cluster.ca_file),
                        },
                    }
                ],
                "users": [{"name": "x", "user": {"token": "good"}}],
            }
        )
    )
    checks = replace(config.checks, api_server_host="")
    config = with_discovery(replace(config, checks=checks), kubeconfig=str(kubeconfig))
    async with following(config) as seen:
        await seen.until_chosen("a", "b", "c")
    missing = with_discovery(config, kubeconfig=str(tmp_path / "missing"))
    async with following(missing) as seen:
        await seen.until_state("cannot be asked")


async def test_all_namespaces(cluster: StandIn, config: Config) -> None:
    """Without KUBENURSE_NAMESPACE (and a filter) the pods of all namespaces are asked for."""
    config = with_discovery(with_identity(config, namespace=""), neighbour_filter="")
    async with following(config) as seen:
        await seen.until_chosen("a", "b", "c")
    asked = [one for one in cluster.queries if one["path"] == "/api/v1/pods"]
    assert asked
    assert "labelSelector" not in asked[0]


async def test_every_node_of_no_limit_is_read(cluster: StandIn, config: Config) -> None:
    """With NEIGHBOUR_LIMIT=0 the nodes are read a few at a time, and all in the end."""
    names = [f"n{number}" for number in range(50)]
    cluster.put(*(node(name) for name in names), *(pod(name) for name in names))
    async with following(with_discovery(config, neighbour_limit=0)) as seen:
        neighbourhood = await seen.until(
            lambda one: {n.node_state for n in one.chosen} == {NodeState.READY}
        )
    assert len(neighbourhood.chosen) == 53
    assert cluster.count("get nodes") == 53
    assert NodeState.UNKNOWN in {one.node_state for one in seen.all[0].chosen}


async def test_quiet_when_nothing_happens(cluster: StandIn, config: Config) -> None:
    """Unchanged, nothing is told but a later listed_at, and nothing is asked."""
    async with following(config) as seen:
        await seen.until(lambda one: one.own_zone != "")
        await until(lambda: cluster.count("watch nodes") == 2)
        told, asked = len(seen.all), len(cluster.requests)
        await asyncio.sleep(5 * QUICK.tick)
    assert len(cluster.requests) == asked
    assert len(seen.all) <= told + 1
