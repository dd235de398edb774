"""An agent that judges, on node-a with four neighbours and a clock of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kubenurse_otel import errors
from kubenurse_otel.config.urls import parse_url
from kubenurse_otel.diagnosis import wire
from kubenurse_otel.diagnosis.diagnosis import Diagnosis, Judgement
from kubenurse_otel.diagnosis.symptoms import Symptom
from kubenurse_otel.diagnosis.view import Said, View
from kubenurse_otel.model import (
    CheckResult,
    Failure,
    Measurement,
    Neighbour,
    Neighbourhood,
    Outcome,
    Phase,
    Split,
    Target,
    TargetKind,
)
from kubenurse_otel.state.judging import Judging

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

INTERVAL = 5.0
DEAD = "node-b"
NEIGHBOURS = {
    node: Neighbour(pod_name=f"kubenurse-{node}", node_name=node, pod_ip=f"10.0.0.{number}")
    for number, node in enumerate(("node-b", "node-c", "node-d", "node-e"), start=2)
}
REFUSED = Failure(
    error_type=errors.ErrorType.CONNECTION_REFUSED,
    phase=Phase.CONNECT,
    event="connect_done",
    message="refused",
)
SILENT = replace(REFUSED, error_type=errors.ErrorType.CONNECT_TIMEOUT, message="no answer to a SYN")
LABELS = ("agent", DEAD, "", "refused")


def target(node: str) -> Target:
    return Target(
        key=f"path_{node}",
        type=f"path_{node}",
        kind=TargetKind.PATH,
        url=parse_url("http://10.0.0.2:8080/alwayshappy"),
        interval_seconds=INTERVAL,
        timeout_seconds=INTERVAL,
        neighbour=NEIGHBOURS[node],
    )


def good(node: str, says: str = "") -> CheckResult:
    return CheckResult(
        target=target(node),
        outcome=Outcome.OK,
        started_at=0.0,
        measurement=Measurement(split=Split(), status_code=200, answering_node=node, view=says),
    )


def refused(node: str) -> CheckResult:
    return CheckResult(target=target(node), outcome=Outcome.FAILED, started_at=0.0, failure=REFUSED)


def silent(node: str) -> CheckResult:
    return replace(refused(node), failure=SILENT)


def witness(node: str) -> str:
    """What a neighbour says that cannot reach the dead one either."""
    return wire.encode(View(node=node, targets={DEAD: Said(Symptom.REFUSED, 3)}))


class Agent:
    """Judging on node-a, with a clock of its own."""

    def __init__(self, *, node: str = "node-a") -> None:
        self.now = 1_000_000.0
        self.neighbourhood = Neighbourhood(
            chosen=tuple(NEIGHBOURS.values()),
            known=tuple(NEIGHBOURS.values()),
            state="ok",
            own_node_name=node,
        )
        self.told: list[Judgement] = []
        self.set_forward = 0.0
        self.half_open: dict[str, float] = {}
        self.looks = 0
        self.judging = Judging(
            lambda node: Diagnosis(
                node=node,
                interval_seconds=INTERVAL,
                timeout_seconds=INTERVAL,
                slow_seconds=1.0,
            ),
            lambda: self.neighbourhood,
            interval_seconds=INTERVAL,
            tell=self.told.append,
            half_open=self._look,
            clock=lambda: self.now,
            wall_clock=lambda: self.now + self.set_forward,
        )
        self.judging.retain(target(node) for node in NEIGHBOURS)

    def _look(self, now: float, tell: Callable[[Mapping[str, float]], None]) -> None:
        assert now == self.now
        self.looks += 1
        tell(self.half_open)

    def interval(self, *results: CheckResult) -> None:
        """One of each, and a quiet moment."""
        self.now += INTERVAL
        for result in results:
            self.judging.note(result)
        self.judging.judge()

    def is_well(self) -> None:
        self.interval(*(good(node) for node in NEIGHBOURS))

    def sees_dead(self) -> None:
        others = (node for node in NEIGHBOURS if node != DEAD)
        self.interval(refused(DEAD), *(good(node, witness(node)) for node in others))
