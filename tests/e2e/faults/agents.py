"""The agents' pods, as faults change them and wait for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2e.cluster.cluster import is_ready
from e2e.cluster.waiting import wait_for

if TYPE_CHECKING:
    from e2e.cluster.cluster import Cluster

READY_SECONDS: Final = 120.0
FAILURES: Final = "kubenurse_check_failures_total"
NO_LOAD: Final = 'error_type!~"own_timeout|response_timeout|tls_handshake_timeout", phase!="dns"'
"""All but what a busy machine does: who gets no CPU in time, be it agent, CoreDNS or API server,
answers late. Who is not there any more refuses, or does not take the connection."""


def wait_until_all_ready(cluster: Cluster) -> float:
    """Wait until every node that has a machine has an agent that is Ready; return the seconds."""

    def ready() -> bool | str:
        agents = cluster.agents()
        unready = [
            name for name in cluster.nodes if name not in agents or not is_ready(agents[name])
        ]
        return not unready or f"not on {', '.join(unready)}"

    return wait_for(ready, seconds=READY_SECONDS, what="agents that are Ready")
