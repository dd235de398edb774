"""The agents' pods, as faults change them and wait for them."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from e2e.cluster.cluster import NAMESPACE, RELEASE, is_ready
from e2e.cluster.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.cluster import Cluster

_NEVER: Final = timedelta(0)
READY_SECONDS: Final = 120.0
FAILURES: Final = "kubenurse_check_failures_total"
NO_LOAD: Final = 'error_type!~"own_timeout|response_timeout|tls_handshake_timeout", phase!="dns"'
"""All but what a busy machine does: who gets no CPU in time, be it agent, CoreDNS or API server,
answers late. Who is not there any more refuses, or does not take the connection."""


@contextmanager
def installed_with(cluster: Cluster, **changes: str) -> Iterator[None]:
    """The release with other values; all agents restart at once, then and at the end."""
    values = json.loads(
        cluster.helm("get", "values", RELEASE, "--namespace", NAMESPACE, "--output", "json")
    )
    at_once = {"rollingUpdate": {"maxUnavailable": "100%"}}
    values["daemonset"] = values.get("daemonset", {}) | at_once
    cluster.install(values | changes)
    try:
        yield
    finally:
        cluster.install(values)


def wait_until_ready_for(cluster: Cluster, seconds: float) -> None:
    """Wait until every agent has been Ready for so long: available, in a DaemonSet's words."""

    def youngest() -> bool | str:
        now = datetime.now(UTC)
        since = {
            name: now - datetime.fromisoformat(condition["lastTransitionTime"])
            for name, pod in cluster.agents().items()
            for condition in pod["status"]["conditions"]
            if condition["type"] == "Ready" and condition["status"] == "True"
        }
        young = [
            name for name in cluster.nodes if since.get(name, _NEVER).total_seconds() < seconds
        ]
        return not young or f"not on {', '.join(young)}"

    wait_for(youngest, seconds=READY_SECONDS, what=f"agents that are Ready for {seconds:.0f} s")


def wait_until_all_ready(cluster: Cluster) -> float:
    """Wait until every node that has a machine has an agent that is Ready; return the seconds."""

    def ready() -> bool | str:
        agents = cluster.agents()
        unready = [
            name for name in cluster.nodes if name not in agents or not is_ready(agents[name])
        ]
        return not unready or f"not on {', '.join(unready)}"

    return wait_for(ready, seconds=READY_SECONDS, what="agents that are Ready")
