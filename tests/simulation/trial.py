"""One fault in one cluster: was it named, when, and was anything else?"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from kubenurse_otel.diagnosis.verdict import State
from simulation.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubenurse_otel.diagnosis.verdict import Verdict
    from simulation.cluster import Named
    from simulation.faults import Fault, Truth


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """``seconds`` until all that must be named were; None: they were not."""

    fault: str
    size: int
    seed: int
    seconds: float | None
    wrong: tuple[Named, ...]
    healthy: tuple[Named, ...]
    """Of the wrong ones: those that name a node that is well."""
    standing: tuple[Verdict, ...]
    """What stands at the end."""

    @property
    def is_right(self) -> bool:
        return self.seconds is not None and not self.wrong


def fits(fault: Fault, size: int) -> bool:
    return size >= fault.least_nodes and size // fault.zones >= fault.least_in_zone


def run(
    fault: Fault,
    size: int,
    seed: int,
    *,
    background_loss: float = 1e-4,
    prepare: Callable[[Cluster], None] | None = None,
    healed_seconds: float = 0.0,
) -> Outcome:
    """Break a sound cluster of ``size`` nodes, and look on for ``fault.seconds``, then heal it."""
    cluster = Cluster(size, Random(f"{fault.name} {size} {seed}"), zones=fault.zones, tls=fault.tls)
    cluster.network.background_loss = background_loss
    if prepare is not None:
        prepare(cluster)
    at = fault.warm_seconds + cluster.random.uniform(0.0, 10.0)
    cluster.run(at)
    truth = fault.inject(cluster)
    cluster.run(at + fault.seconds)
    if healed_seconds:
        cluster.heal()
        cluster.run(at + fault.seconds + healed_seconds)
    return judge(cluster, truth, at, fault=fault.name, seed=seed)


def judge(cluster: Cluster, truth: Truth, at: float, *, fault: str, seed: int) -> Outcome:
    heard = [one for one in cluster.named if one.by not in cluster.liars]
    first: list[float] = []
    for expected in truth.named:
        times = [one.at - at for one in heard if expected.fits(one.verdict)]
        if times:
            first.append(min(times))
    allowed = (*truth.named, *truth.also)
    wrong = [one for one in heard if not any(each.fits(one.verdict) for each in allowed)]
    return Outcome(
        fault=fault,
        size=len(cluster.zones),
        seed=seed,
        seconds=max(first, default=0.0) if len(first) == len(truth.named) else None,
        wrong=tuple(wrong),
        standing=tuple(
            one
            for agent in cluster.agents.values()
            if agent.node not in cluster.liars
            for one in agent.judging.judgement.verdicts
            if one.state in (State.RAISED, State.FLAPPING)
        ),
        healthy=tuple(one for one in wrong if _names_the_healthy(one, cluster, truth)),
    )


def _names_the_healthy(named: Named, cluster: Cluster, truth: Truth) -> bool:
    nodes = set(named.verdict.culprit.split("|")) & set(cluster.zones)
    return bool(nodes) and not nodes & (truth.touched | set(cluster.liars))
