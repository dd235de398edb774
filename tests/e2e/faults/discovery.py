"""What the agents say of their neighbourhood, and an end to what they watch."""

from __future__ import annotations

import http.client
import json
import subprocess
from typing import TYPE_CHECKING, Final

from e2e.cluster import polling

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.cluster.cluster import Cluster
    from e2e.faults.scene import Scene

_API_SERVICE: Final = "10.96.0.1"


def states(scene: Scene) -> dict[str, str]:
    """The neighbourhood_state of each agent's /alive, by node. Raises OSError if one is silent."""
    found = {}
    for agent in scene.samples("kubenurse_build_info"):  # The API server may be down.
        connection = http.client.HTTPConnection(agent.labels["instance"], timeout=5)
        try:
            connection.request("GET", "/alive")
            document = json.load(connection.getresponse())
        finally:
            connection.close()
        found[agent.labels["node"]] = str(document["last_check_result"]["neighbourhood_state"])
    return found


def until(
    scene: Scene, condition: Callable[[str], bool], *, what: str, seconds: float = 60.0
) -> None:
    """Wait until every agent's state is so."""
    polling.until(
        lambda: states(scene),
        lambda found: (
            len(found) == len(scene.cluster.nodes) and all(map(condition, found.values()))
        ),
        seconds=seconds,
        what=what,
    )
    scene.seen.shown.append(what)


def until_ok(scene: Scene, *, seconds: float = 60.0) -> None:
    until(scene, lambda state: state == "ok", what="neighbourhood_state is ok", seconds=seconds)


def end_watches(cluster: Cluster) -> None:
    """Cut the agents' connections to the API server; a check that is under way may be hit."""
    for node in cluster.nodes:
        # Its own exit code tells of sockets that were gone already.
        subprocess.run(
            [
                *("nsenter", f"--target={cluster.agent_pid(node)}", "--net", "--"),
                *("ss", "--kill", "state", "established", "dst", _API_SERVICE),
            ],
            capture_output=True,
            check=False,
        )
