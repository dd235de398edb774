"""The servers of the cluster's DNS, followed: an API server of the tests that can misbehave."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from apiserver.following import agent_of, following, with_discovery
from apiserver.objects import NAMESPACE, dns_slice, node, pod
from apiserver.stand_in import StandIn, stand_in
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kubenurse_otel.config import Config
    from kubenurse_otel.model import Neighbourhood

LIST = "list endpointslices"
SAID = "the servers of DNS are not asked by their own addresses"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[StandIn]:
    with stand_in(tmp_path) as server:
        for number, name in enumerate(("own", "a")):
            server.put(node(name), pod(name, f"10.0.0.{number}"))
        server.put(
            dns_slice(("10.1.1.2", "own"), ("10.1.2.2", "a")),
            dns_slice(("10.9.9.9", "a"), name="other", labels={"k8s-app": "other"}),
        )
        yield server


@pytest.fixture
def config(cluster: StandIn) -> Config:
    return with_discovery(agent_of(cluster, token_file=cluster.token_file), dns_namespace=NAMESPACE)


def addresses(neighbourhood: Neighbourhood) -> list[str]:
    return [one.address for one in neighbourhood.dns_endpoints]


async def test_they_are_followed(cluster: StandIn, config: Config) -> None:
    """Those of the Service's labels; a new one comes by the watch, one that is gone goes."""
    async with following(config) as seen:
        found = await seen.until(lambda one: addresses(one) == ["10.1.1.2", "10.1.2.2"])
        assert [one.node_name for one in found.dns_endpoints] == ["own", "a"]
        cluster.put(dns_slice(("10.1.1.2", "own"), ("10.1.3.2", "a")))
        await seen.until(lambda one: addresses(one) == ["10.1.1.2", "10.1.3.2"])
        cluster.delete("endpointslices", "kube-dns-x7x2f")
        await seen.until(lambda one: addresses(one) == [])
    assert seen.last.state == "ok"


async def test_who_does_not_ask_for_them_reads_nothing(cluster: StandIn) -> None:
    """As without the right, which is the chart's default."""
    config = agent_of(cluster, token_file=cluster.token_file)
    async with following(config) as seen:
        await seen.until_chosen("a")
    assert not [one for one in cluster.requests if "endpointslices" in one]
    assert seen.last.dns_endpoints == ()


async def test_a_missing_right_is_said_once_and_hurts_nobody(
    cluster: StandIn, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    """Neighbours go on, and their state is ok; once the right is there, they are read."""
    cluster.always[LIST] = lambda handler: handler.refuse(403)
    with caplog.at_level(logging.WARNING):
        async with following(config) as seen:
            await seen.until_chosen("a")
            await until(lambda: cluster.count(LIST) >= 4)
            assert (seen.last.state, addresses(seen.last)) == ("ok", [])
            said = [one.getMessage() for one in caplog.records if SAID in one.getMessage()]
            assert said == [
                f"{SAID}: the API server forbids us to list endpointslices in namespace "
                f"{NAMESPACE} (403): our role lacks it"
            ]
            del cluster.always[LIST]
            await seen.until(lambda one: len(addresses(one)) == 2)


async def test_labels_that_nothing_has_are_said(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    """A DNS Service with other labels than most."""
    other = with_discovery(config, dns_selector="k8s-app=coredns")
    async with following(other) as seen:
        await seen.until_chosen("a")
        await until(lambda: "is KUBENURSE_DNS_SELECTOR right?" in caplog.text)
    assert seen.last.state == "ok"


async def test_what_cannot_be_read_now_is_not_asked(cluster: StandIn, config: Config) -> None:
    """A server that is gone meanwhile would be called silent."""
    async with following(config) as seen:
        await seen.until(lambda one: len(addresses(one)) == 2)
        cluster.always[LIST] = lambda handler: handler.refuse(403)
        cluster.forget_history()
        await seen.until(lambda one: addresses(one) == [])
        del cluster.always[LIST]
        await seen.until(lambda one: len(addresses(one)) == 2)
