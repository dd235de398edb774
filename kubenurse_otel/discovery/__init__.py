"""Who our neighbours are: from a real API server (kubernetes.py) or from a file (static.py).

Owns the ring and the two sources; each replaces the whole Neighbourhood and never raises for what
a cluster or a file does. Only the one that is used is imported: the Kubernetes client is half of
the agent's memory.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from kubenurse_otel.config import DiscoverySource

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubenurse_otel.config import Config
    from kubenurse_otel.discovery.events import Events
    from kubenurse_otel.model import Neighbourhood


class Discovery(Protocol):
    """A source of neighbours; it tells them to the ``on_change`` that it was made with."""

    async def run(self) -> None:
        """Until cancelled. Raises nothing for what the cluster or the file does."""

    def target_failed(self, node_name: str) -> None:
        """Hint that a check of this node failed."""


def make_discovery(config: Config, *, on_change: Callable[[Neighbourhood], None]) -> Discovery:
    """Make the source that is configured."""
    if config.discovery.source is DiscoverySource.STATIC:
        from kubenurse_otel.discovery.static import StaticDiscovery  # noqa: PLC0415 - see above

        return StaticDiscovery(config, on_change=on_change)
    from kubenurse_otel.discovery.kubernetes import (  # noqa: PLC0415 - see above
        KubernetesDiscovery,
    )

    return KubernetesDiscovery(config, on_change=on_change)


def make_events(config: Config, neighbourhood: Callable[[], Neighbourhood]) -> Events | None:
    """Make the writer of verdicts as Kubernetes Events, None if it is switched off."""
    if not (config.checks.diagnosis and config.checks.events):
        return None
    from kubenurse_otel.discovery.events import Events  # noqa: PLC0415 - see above

    return Events(config, neighbourhood)


def is_old_news(before: Neighbourhood, after: Neighbourhood, *, within_seconds: float) -> bool:
    """Whether only ``listed_at`` changed, and by less than ``within_seconds``."""
    then, now = before.listed_at, after.listed_at
    close = then == now or (then is not None and now is not None and now - then < within_seconds)
    return close and before == replace(after, listed_at=then)
