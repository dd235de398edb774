"""Clients that ask one node's agent for too much, from another machine: nobody notices but it."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from e2e.cluster.waiting import wait_for
from e2e.faults import bounds, prober
from e2e.faults.agents import FAILURES, NO_LOAD
from e2e.faults.fault import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from e2e.cluster.cluster import Cluster
    from e2e.faults.scene import Scene

AGENT_PORT: Final = 8080
ORIGINS: Final = 10_000
CONNECTIONS: Final = 1_000
SHARE: Final = 256
"""Of the agent's connections: what one address has (docs: SECURITY.md, Bounds)."""
LORIS: Final = 200
HEAD_BYTES: Final = 1_000_000
SCRAPERS: Final = 3
ASKED_SECONDS: Final = 30
SCRAPED_EVERY_SECONDS: Final = 0.2
_TESTS: Final = Path(__file__).parents[2]
_CALM_SECONDS: Final = 15.0
"""After the last word of the clients: what they did to the agent may come late."""
_ENDS_SECONDS: Final = 120.0


@contextmanager
def clients(cluster: Cluster, node: str, *, count: int, kind: Sequence[str]) -> Iterator[None]:
    """``count`` clients on `edge`; each ends by itself after its work."""
    edge, address = cluster.edge, cluster.agents()[node]["status"]["podIP"]
    command = (sys.executable, "-m", "e2e.misbehaving.hostile", f"{address}:{AGENT_PORT}", *kind)
    names = [_daemon(number) for number in range(count)]
    try:
        for name in names:
            (edge.folder / f"{name}.log").unlink(missing_ok=True)
            edge.daemon(name, *command, env={"PYTHONPATH": str(_TESTS)})
        yield
    finally:
        for name in names:
            if edge.runs(name):
                edge.end(name)


def _daemon(number: int) -> str:
    return f"hostile-{number}"


def findings(cluster: Cluster, count: int = 1) -> list[dict[str, Any]]:
    """What each client says when it has ended by itself. Raises ClusterError."""
    edge = cluster.edge
    names = [_daemon(number) for number in range(count)]
    wait_for(
        lambda: not any(edge.runs(name) for name in names) or "they still run",
        seconds=_ENDS_SECONDS,
        what="clients that have ended",
    )
    return [json.loads(edge.log(name).splitlines()[-1]) for name in names]


# --- what is seen of it ---------------------------------------------------------------------------


def proof_origins(scene: Scene) -> None:
    ticks = bounds.Ticks(scene, [scene.node])
    gauge = f'kubenurse_neighbourhood_incoming_checks{{node="{scene.node}"}}'
    scene.shows(
        f'kubenurse_invalid_origins_total{{node="{scene.node}"}}',
        lambda value: value > ORIGINS / 20,
        what="kubenurse_invalid_origins_total rises with the forged names",
        within=60,
    )
    (found,) = findings(scene.cluster)
    assert found["answers"] == {"200": ORIGINS}, found
    neighbours = len(scene.others)
    scene.stays(
        f"max_over_time({gauge}[{bounds.since(scene)}])",
        lambda value: value <= neighbours,
        what=f"kubenurse_neighbourhood_incoming_checks is {neighbours} at most",
    )
    _agent_bears_it(scene, ticks)


def proof_idle(scene: Scene) -> None:
    ticks = bounds.Ticks(scene, [scene.node])
    _files_rise(scene, SHARE)
    (found,) = findings(scene.cluster)
    ended = found["connections"].get("ended by the far end", 0)
    assert ended == CONNECTIONS, f"the agent ends all idle connections: {found}"
    _files_fall(scene)
    _agent_bears_it(scene, ticks)


def proof_loris(scene: Scene) -> None:
    ticks = bounds.Ticks(scene, [scene.node])
    _files_rise(scene, LORIS)
    (found,) = findings(scene.cluster)
    assert "held to the end" not in found["connections"], found
    _files_fall(scene)
    _agent_bears_it(scene, ticks)


def proof_big_head(scene: Scene) -> None:
    ticks = bounds.Ticks(scene, [scene.node])
    (found,) = findings(scene.cluster)
    assert found["answers"] in ({"431": 1}, {}), found
    assert found["answers"] or found["ended"], found
    told = "answered with 431" if found["answers"] else "the connection was ended"
    scene.seen.shown.append(f"{found['sent_bytes']:,} bytes of headers: {told}")
    _agent_bears_it(scene, ticks)


def proof_scraped(scene: Scene) -> None:
    ticks = bounds.Ticks(scene, [scene.node])
    slowest = 0.0
    for found in findings(scene.cluster, SCRAPERS):
        slowest = max(slowest, found["slowest_seconds"])
        number = found["answers"].get("200", 0)
        assert found["answers"] == {"200": number}, found
        assert number > ASKED_SECONDS, f"fewer than one scrape a second: {found}"
    scene.seen.shown.append(f"every scrape is answered with 200, the slowest after {slowest:.2f} s")
    prober.no_network_figure_moves(scene)
    _agent_bears_it(scene, ticks)


def _files_rise(scene: Scene, connections: int) -> None:
    scene.shows(
        f'process_open_fds{{node="{scene.node}"}}',
        lambda value: value > connections * 0.8,
        what=f"process_open_fds of {scene.node} rises",
        within=60,
    )


def _files_fall(scene: Scene) -> None:
    scene.shows(
        f'process_open_fds{{node="{scene.node}"}}',
        lambda value: value < bounds.MOST_FILES,
        what="process_open_fds falls again",
        within=60,
    )


def _agent_bears_it(scene: Scene, ticks: bounds.Ticks) -> None:
    """Those who check it see nothing, it goes on checking, and what it holds is bounded."""
    time.sleep(_CALM_SECONDS)
    scene.unmoved(f'{FAILURES}{{type="path_{scene.node}"}}', what=f"failures of path_{scene.node}")
    scene.unmoved(f"{FAILURES}{{{NO_LOAD}}}", what="failed checks of any type at any agent")
    ticks.none_is_lost()
    bounds.holds(scene, scene.node)
    scene.no_alert_waits()


def _fault(name: str, broken: str, *kind: object, count: int = 1, **proof: Any) -> Fault:
    return Fault(
        name,
        broken,
        "Nothing",
        proof["kubenurse"],
        partial(clients, count=count, kind=tuple(map(str, kind))),
        proof["proof"],
    )


FAULTS: Final = (
    _fault(
        "forged-origins",
        f"A client asks an agent in the name of {ORIGINS:,} different neighbours",
        *("forged-origins", "--count", ORIGINS),
        kubenurse="its cache of callers grows with each name",
        proof=proof_origins,
    ),
    _fault(
        "idle-connections",
        f"A client opens {CONNECTIONS:,} connections to an agent and sends nothing",
        *("idle-connections", "--count", CONNECTIONS, "--seconds", ASKED_SECONDS),
        kubenurse="they stay open",
        proof=proof_idle,
    ),
    _fault(
        "slow-loris",
        f"A client sends {LORIS} requests whose heads never end, one header per second",
        *("slow-loris", "--count", LORIS, "--seconds", ASKED_SECONDS),
        kubenurse="",
        proof=proof_loris,
    ),
    _fault(
        "big-head",
        "A client sends an agent 1 MB of headers",
        *("big-head", "--size", HEAD_BYTES),
        kubenurse="431 after 1 MiB, Go's default",
        proof=proof_big_head,
    ),
    _fault(
        "scraped-often",
        f"{SCRAPERS} more scrapers ask for /metrics, each every {SCRAPED_EVERY_SECONDS} s",
        *("scrapes", "--seconds", ASKED_SECONDS, "--interval-seconds", SCRAPED_EVERY_SECONDS),
        count=SCRAPERS,
        kubenurse="nothing",
        proof=proof_scraped,
    ),
)
