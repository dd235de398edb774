"""The servers of the cluster's DNS by a real kube-apiserver, with the rights of the chart."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from chart import helm
from chart.admission import path as path_of

from apiserver.following import agent_of, following
from apiserver.objects import NAMESPACE, dns_slice, node, pod
from apiserver.real import RealApiServer, real_api_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kubenurse_otel.config import Config

RIGHTS = ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "ServiceAccount")
SLICES = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
SECONDS = 40.0
"""The API server caches what a role allows for some seconds."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealApiServer]:
    """With the chart's objects that give rights, nodes and agents, and a slice of DNS."""
    with real_api_server(tmp_path_factory.mktemp("apiserver")) as real:
        for manifest in helm.render({"dnsEndpoints": {"enabled": True}}, namespace=NAMESPACE):
            if manifest["kind"] in RIGHTS:
                real.must("POST", path_of(manifest), manifest)
        for name in ("own", "a"):
            real.put(node(name), pod(name))
        real.must("POST", SLICES, dns_slice(("10.1.1.2", "own"), ("10.1.2.2", "a")))
        yield real


@pytest.fixture
def config(server: RealApiServer, tmp_path: Path) -> Config:
    (tmp_path / "token").write_text(server.token(NAMESPACE, "kubenurse"))
    return agent_of(server, token_file=tmp_path / "token", dns_namespace=NAMESPACE)


async def test_the_charts_rights_suffice_and_are_needed(
    server: RealApiServer, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    """With them the servers of DNS are known; without, neighbours are, and it is said."""
    async with following(config) as seen:
        found = await seen.until(lambda one: len(one.dns_endpoints) == 2, seconds=SECONDS)
    assert [one.text for one in found.dns_endpoints] == ["10.1.1.2 on own", "10.1.2.2 on a"]
    assert {(one.udp_port, one.tcp_port) for one in found.dns_endpoints} == {(53, 53)}
    assert found.state == "ok"
    roles = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/rolebindings"
    server.delete(f"{roles}/kubenurse-dns")
    with caplog.at_level(logging.WARNING):
        async with following(config) as seen:
            await seen.until_chosen("a", seconds=SECONDS)
            await seen.until(
                lambda _: "forbids us to list endpointslices" in caplog.text, seconds=SECONDS
            )
    assert (seen.last.state, seen.last.dns_endpoints) == ("ok", ())
