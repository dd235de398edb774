"""Which agent asks: the addresses of those that discovery has listed.

A request's origin header says what it likes; where it came from is harder to forge.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubenurse_otel.model import Neighbourhood


class KnownAgents:
    """Known agents by address. Empty without discovery, and before it first answered.

    A node's address stands for its agent, too: some networks hide a pod behind it.
    """

    def __init__(self, neighbourhood: Callable[[], Neighbourhood]) -> None:
        self._neighbourhood = neighbourhood
        self._of: Neighbourhood | None = None
        self._names: dict[str, str] = {}
        self._on_loopback = False

    def __bool__(self) -> bool:
        """Whether any agent is known."""
        return bool(self._current())

    def at(self, address: str) -> str | None:
        """Return the name of the pod that has this address; None where it is no agent's."""
        return self._current().get(address)

    def is_asking(self, address: str, origin: str) -> bool:
        """Whether it is a known agent that asks from there, which also says that it is.

        On a cluster within one host (a demo, a test) all ask from the loopback address.
        """
        named = self.at(address)
        if named is None and self._on_loopback and is_own_host(address):
            return origin in self._names.values()
        return named is not None and named == origin

    def _current(self) -> dict[str, str]:
        neighbourhood = self._neighbourhood()
        if neighbourhood is not self._of:
            self._of = neighbourhood
            names = {one.host_ip: one.pod_name for one in neighbourhood.agents if one.host_ip}
            for one in neighbourhood.agents:
                names.update(dict.fromkeys((one.pod_ip, *one.pod_ips), one.pod_name))
            names.pop("", None)
            self._names = names
            self._on_loopback = any(known.startswith("127.") or known == "::1" for known in names)
        return self._names


def is_own_host(address: str) -> bool:
    """Whether only this host, or this pod, asks from there."""
    return ip_address(address.partition("%")[0]).is_loopback
