"""state/known_agents.py: whose address it is."""

from __future__ import annotations

from kubenurse_otel.model import Neighbour, Neighbourhood
from kubenurse_otel.state.known_agents import KnownAgents


def test_an_address_is_that_of_the_agent_s_node() -> None:
    """Of the pod in each family, and of its node; a stranger's is nobody's."""
    agents = (
        Neighbour(
            pod_name="kubenurse-b",
            node_name="node-b",
            pod_ip="10.1.0.2",
            pod_ips=("10.1.0.2", "fd00::2"),
            host_ip="192.0.2.2",
        ),
        Neighbour(pod_name="kubenurse-c", node_name="node-c", pod_ip="10.1.0.3"),
    )
    known = KnownAgents(lambda: Neighbourhood(agents=agents))
    for address in ("10.1.0.2", "fd00::2", "192.0.2.2"):
        assert {"node-b": 7.0} == known.latest_by_node({address: 7.0})
    times = {"10.1.0.3": 1.0, "10.1.0.2": 2.0, "fd00::2": 3.0, "192.0.2.2": 1.0, "10.1.0.9": 9.0}
    assert {"node-b": 3.0, "node-c": 1.0} == known.latest_by_node(times)
    assert {} == known.latest_by_node({"10.1.0.9": 1.0, "": 1.0})
    assert {"10.1.0.2", "fd00::2", "192.0.2.2", "10.1.0.3"} == set(known.addresses)
