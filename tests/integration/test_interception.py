"""A proxy that changes no byte between two agents: told by the port that the far end saw."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import agents
import pytest
from ports import free_port
from running_server import running
from servers import FaultServer, tunnel
from servers.namespace import run_in_namespace

from kubenurse_otel import semconv

if TYPE_CHECKING:
    from collections.abc import Callable

    from probing import Prober

AGENT_A, AGENT_B, PROXY = "127.0.6.1", "127.0.6.2", "127.0.6.3"


def url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/alwayshappy"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("reuse", [False, True])
async def test_a_transparent_proxy_is_told_by_its_port(
    serve: Callable[..., FaultServer], prober: Prober, host: str, reuse: bool
) -> None:
    """Both families, each request of a kept connection: with the proxy so, without it not."""
    async with running(listen_address=host) as here:
        between = serve(tunnel((host, here.port)), host=host)
        for port, intercepted in ((here.port, False), (between.port, True)):
            for number in range(3):
                checked = await prober.check_path(
                    url(host, port), key=str(port), reuse_connection=reuse
                )
                measured = checked.measured
                assert measured.answering_node == "node-1"
                assert measured.connection_reused is (reuse and number > 0)
                assert measured.intercepted is intercepted
                assert checked.attributes.get(semconv.INTERCEPTED, False) is intercepted


async def test_a_service_may_be_behind_a_proxy(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """Only path checks, straight from pod to pod, have nothing in between."""
    async with running() as here:
        between = serve(tunnel(("127.0.0.1", here.port)))
        checked = await prober.check_path(between.url(), detect_interception=False)
    assert checked.measured.answering_node == "node-1"
    assert not checked.measured.intercepted


def test_agents_tell_which_of_them_is_behind_a_proxy(tmp_path: Path) -> None:
    """Agent a asks b through a proxy and has no network figure; b asks a straight and has."""
    port = free_port()
    ways = {"node-a": ("node-b", PROXY), "node-b": ("node-a", AGENT_A)}
    environs = []
    for (node, (other, address)), own in zip(ways.items(), (AGENT_A, AGENT_B), strict=True):
        file = tmp_path / f"{node}.yaml"
        agents.write_neighbours(file, {other: address})
        environs.append(agents.environment(own, node, port, KUBENURSE_NEIGHBOURS_FILE=str(file)))
    with ExitStack() as stack:
        stack.enter_context(FaultServer(tunnel((AGENT_B, port)), host=PROXY, port=port))
        a, b = stack.enter_context(agents.running(environs, tmp_path))
        behind = good(a, "path_node-b")
        straight = good(b, "path_node-a")
        assert (behind["intercepted"], behind["answering_node"]) == (True, "node-b")
        assert (straight["intercepted"], straight["answering_node"]) == (False, "node-a")
        figures = (
            "kubenurse_network_round_trip_seconds_count",
            "kubenurse_far_end_duration_seconds_count",
        )
        of_a, of_b = a.metrics(), b.metrics()
        for figure in figures:
            assert f'{figure}{{type="path_node-b"}}' not in of_a
            assert of_b[f'{figure}{{type="path_node-a"}}'] >= 1
        intercepted = "kubenurse_intercepted_checks_total"
        assert of_a[f'{intercepted}{{type="path_node-b"}}'] >= 1
        assert f'{intercepted}{{type="path_node-a"}}' not in of_b
        duration = "kubenurse_httpclient_request_duration_seconds_count"
        assert of_a[f'{duration}{{type="path_node-b"}}'] >= 1


def good(agent: agents.Agent, type_: str) -> dict[str, Any]:
    """Wait for a good check; return what /alive says of it."""

    def told() -> dict[str, Any] | None:
        found = agent.alive()["details"]["targets"].get(type_, {})
        return found if found.get("outcome") == "ok" else None

    found: dict[str, Any] = agents.wait_for(told, seconds=20, what=f"a good {type_}")
    return found


@pytest.fixture(scope="module")
def nat(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What checks through real NAT rules told: {port of the server: (its word, ours)}."""
    found = run_in_namespace(
        Path(__file__).parent / "nat_in_namespace.py",
        directory=tmp_path_factory.mktemp("namespace"),
        resolv_conf="",
    )
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("case", "seen_as", "intercepted"),
    [
        ("straight", "127.0.0.1", False),
        ("another_address", "127.0.0.9", False),
        ("another_port", "127.0.0.9", True),
    ],
)
def test_nat_is_told_where_it_changes_the_port(
    nat: dict[str, Any], case: str, seen_as: str, intercepted: bool
) -> None:
    """Plain source NAT leaves the port, and so the verdict; a rewritten one looks like a proxy."""
    told = nat[case]
    assert told["failure"] is None
    assert told["seen_as"] == seen_as
    assert told["intercepted"] is intercepted
