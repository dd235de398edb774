"""Which neighbours asked us in the last minute.

Owns the set of origins and what counts as one; knows nothing of HTTP. Bounded whatever
the network says, unlike kubenurse's cache of callers. Where discovery knows agents, an origin is
the agent that has the caller's address, whatever its header says.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

from kubenurse_otel.model import Neighbourhood
from kubenurse_otel.state.known_agents import KnownAgents, is_own_host

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_SECONDS: Final = 60.0
MAX_ORIGINS: Final = 10_000
MAX_NAME_LENGTH: Final = 253
_NAME: Final = re.compile(
    r"[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*"
)
"""A pod's name: a DNS subdomain as Kubernetes has it (RFC 1123, labels of any length)."""


class Incoming:
    """Unique origins of the last 60 seconds, at most 10,000.

    ``clock`` gives monotonic seconds. ``invalid`` counts what was ignored: no DNS name, longer
    than 253 characters, from an address that no known agent has, or new while 10,000 are held.
    """

    def __init__(
        self,
        agents: KnownAgents | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._agents = KnownAgents(Neighbourhood) if agents is None else agents
        self._clock = clock
        self._last_seen: dict[str, float] = {}  # the one seen longest ago comes first
        self.invalid = 0

    def seen(self, origin: str, address: str) -> None:
        """Note that ``origin`` (a pod's name, as its header has it) asked us from ``address``."""
        if self._agents and not is_own_host(address):
            origin = self._agents.at(address) or ""
        if len(origin) > MAX_NAME_LENGTH or _NAME.fullmatch(origin) is None:
            self.invalid += 1
            return
        name = origin.lower()
        if self._last_seen.pop(name, None) is None:
            self._forget()
            if len(self._last_seen) >= MAX_ORIGINS:
                self.invalid += 1
                return
        self._last_seen[name] = self._clock()

    def count(self) -> int:
        """How many origins asked in the last 60 seconds."""
        self._forget()
        return len(self._last_seen)

    def _forget(self) -> None:
        oldest_kept = self._clock() - WINDOW_SECONDS
        while self._last_seen:
            name = next(iter(self._last_seen))
            if self._last_seen[name] >= oldest_kept:
                return
            del self._last_seen[name]
