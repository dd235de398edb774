"""Which agent asks: the addresses of those that discovery has listed.

A request's origin header says what it likes; where it came from is harder to forge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from kubenurse_otel.model import Neighbour, Neighbourhood


class KnownAgents:
    """Known agents by address. Empty without discovery, and before it first answered.

    A node's address stands for its agent, too: some networks hide a pod behind it.
    """

    def __init__(self, neighbourhood: Callable[[], Neighbourhood]) -> None:
        self._neighbourhood = neighbourhood
        self._of: Neighbourhood | None = None
        self._agents: dict[str, Neighbour] = {}
        self._on_loopback = False

    def __bool__(self) -> bool:
        """Whether any agent is known."""
        return bool(self._current())

    def at(self, address: str) -> str | None:
        """Return the name of the pod that has this address; None where it is no agent's."""
        agent = self._current().get(address)
        return None if agent is None else agent.pod_name

    @property
    def addresses(self) -> Collection[str]:
        """All that are known."""
        return self._current().keys()

    def latest_by_node(self, times: Mapping[str, float]) -> dict[str, float]:
        """Return the latest of ``times`` (by address) for each node whose agent is there."""
        known = self._current()
        latest: dict[str, float] = {}
        for address, at in times.items():
            if address in known:
                node = known[address].node_name
                latest[node] = max(at, latest.get(node, at))
        return latest

    def is_asking(self, address: str, origin: str) -> bool:
        """Whether it is a known agent that asks from there, which also says that it is.

        On a cluster within one host (a demo, a test) all ask from the loopback address.
        """
        agent = self._current().get(address)
        if agent is None and self._on_loopback and is_own_host(address):
            return any(one.pod_name == origin for one in self._agents.values())
        return agent is not None and agent.pod_name == origin

    def _current(self) -> dict[str, Neighbour]:
        neighbourhood = self._neighbourhood()
        if neighbourhood is not self._of:
            self._of = neighbourhood
            agents = {one.host_ip: one for one in neighbourhood.agents if one.host_ip}
            for one in neighbourhood.agents:
                agents.update(dict.fromkeys((one.pod_ip, *one.pod_ips), one))
            agents.pop("", None)
            self._agents = agents
            self._on_loopback = any(map(is_own_host, agents))
        return self._agents


def is_own_host(address: str) -> bool:
    """Whether only this host, or this pod, asks from there: from a loopback address, as the kernel
    writes it.
    """
    return address.startswith("127.") or address == "::1"
