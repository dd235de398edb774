"""An agent asks the servers behind the cluster's DNS Service, and its search path is slow.

The whole way: EndpointSlices of an API server, sockets, spans, series, verdict.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from servers.namespace import run_in_namespace

SEARCH = "search a.corp.test b.corp.test c.corp.test\noptions ndots:5\n"


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found = run_in_namespace(
        Path(__file__).parent / "dns_in_namespace.py",
        directory=tmp_path_factory.mktemp("dns"),
        resolv_conf=f"nameserver 127.0.0.53\n{SEARCH}",
        programs=("ip",),
        timeout_seconds=300,
    )
    assert isinstance(found, dict)
    return found


def test_the_silent_replica_is_named_though_every_port_is_answered(agent: dict[str, Any]) -> None:
    """Its address and node, and who answers how many."""
    replica = agent["replica"]
    assert (replica["culprit"], replica["cause"]) == ("cluster", "part")
    assert replica["sentence"] == (
        "one server of DNS (127.0.0.62 on node-2) does not answer, while others do"
    )
    words = [one["words"] for one in replica["evidence"]]
    assert any(one.startswith("127.0.0.62 on node-2 answers 0 of ") for one in words)
    assert any(one.startswith("127.0.0.61 on own answers ") for one in words)
    assert "(127.0.0.62 on node-2) does not answer" in agent["log"]


def test_each_transport_has_its_series(agent: dict[str, Any]) -> None:
    """Of both endpoints, by what came of it."""
    name = "kubenurse_dns_endpoint_queries_total"
    for transport in ("udp", "tcp"):
        silent = f'server="127.0.0.62",transport="{transport}",outcome="silent"'
        answered = f'server="127.0.0.61",transport="{transport}",outcome="noerror"'
        assert {f"{name}{{{silent}}}", f"{name}{{{answered}}}"} <= set(agent["series"])


def test_a_slow_domain_of_the_search_path_is_told(agent: dict[str, Any]) -> None:
    """Measured on the look-ups of the checks: what the names before the right one took."""
    path = agent["path"]
    assert (path["culprit"], path["cause"]) == ("cluster", "detour")
    (words,) = [one["words"] for one in path["evidence"]]
    assert words.startswith("names without a dot at their end cost ")
    assert float(words.split()[-3]) >= 0.05
