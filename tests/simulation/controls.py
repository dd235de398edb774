"""What is no fault: nobody is to be named."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.symptoms import Symptom
from kubenurse_otel.diagnosis.view import Accused, Said, Shared

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubenurse_otel.diagnosis.view import View
    from simulation.cluster import Cluster

SHUTDOWN_SECONDS: Final = 5.0
RESTART_SECONDS: Final = 3.0


def quiet(cluster: Cluster) -> None:
    """Nothing happens."""


def rolled_out(cluster: Cluster) -> None:
    """Every agent is replaced, one after the other, as a DaemonSet does it."""
    for number, node in enumerate(list(cluster.present)):
        cluster.after(number * 10.0, lambda node=node: _leave(cluster, node, returns=True))


def killed(cluster: Cluster) -> None:
    """An agent is gone without a word, and comes again."""
    node = cluster.random.choice(cluster.present)
    _leave(cluster, node, returns=True, shutdown_seconds=0.0)


def drained(cluster: Cluster) -> None:
    """A node is cordoned, and goes for good."""
    node = cluster.random.choice(cluster.present)
    cluster.present.remove(node)
    cluster.changed()
    cluster.after(10.0, lambda: cluster.network.down.add(node))
    cluster.after(10.0, lambda: cluster.stop(node))


def grown(cluster: Cluster) -> None:
    """Nodes are added."""
    for number in range(max(1, len(cluster.present) // 4)):
        node = f"new-{number:03}"
        cluster.zones[node] = f"zone-{number % 3}"
        cluster.present.append(node)
        cluster.add(node)
    cluster.changed()


def losing_a_little(cluster: Cluster) -> None:
    """One segment in a thousand is lost everywhere: that is normal."""
    cluster.network.background_loss = 1e-3


def _leave(
    cluster: Cluster, node: str, *, returns: bool, shutdown_seconds: float = SHUTDOWN_SECONDS
) -> None:
    cluster.present.remove(node)
    cluster.changed()
    cluster.after(shutdown_seconds, lambda: cluster.stop(node))
    if returns:
        cluster.after(shutdown_seconds + RESTART_SECONDS, lambda: _come(cluster, node))


def _come(cluster: Cluster, node: str) -> None:
    cluster.add(node)
    cluster.present.append(node)
    cluster.changed()


CONTROLS: Final[dict[str, Callable[[Cluster], None]]] = {
    "quiet": quiet,
    "roll-out": rolled_out,
    "agent killed": killed,
    "node drained": drained,
    "nodes added": grown,
    "loss 1 in 1,000": losing_a_little,
}


# --- liars --------------------------------------------------------------------------------------


def everybody_is_dead(view: View, cluster: Cluster) -> View:
    """It says the worst of all."""
    return replace(
        view,
        targets={node: Said(Symptom.SILENT, 9, lossy=True) for node in cluster.zones},
        shared=dict.fromkeys(Shared, Said(Symptom.SILENT, 9))
        | {Shared.DNS: Said(Symptom.DNS_SILENT, 9)},
        half_open=tuple(cluster.zones)[:8],
    )


def all_is_well(view: View, cluster: Cluster) -> View:
    """It sees no fault."""
    return replace(
        view,
        targets={node: Said(Symptom.OK, 9) for node in cluster.zones},
        shared=dict.fromkeys(Shared, Said(Symptom.OK, 9)),
    )


def anything(view: View, cluster: Cluster) -> View:
    """It says what comes to its mind."""
    random = cluster.random

    def said() -> Said:
        return Said(random.choice(list(Symptom)), random.randint(1, 9), random.random() < 0.5)

    return replace(
        view,
        doubt=random.randint(0, 7),
        accused=random.choice(list(Accused)),
        targets={node: said() for node in cluster.zones},
        shared={letter: said() for letter in Shared},
    )


LIES: Final = (everybody_is_dead, all_is_well, anything)


def with_liars(cluster: Cluster, *, number: int, lie: Callable[[View, Cluster], View]) -> None:
    for node in cluster.random.sample(cluster.present, min(number, len(cluster.present) - 1)):
        cluster.liars[node] = lie
