"""What several proofs ask of the figures of checks: of the network, and of who is not broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from e2e.faults.scene import Scene

FAST_SECONDS: Final = 0.02
"""A round trip on this machine is below 1 ms; with busy cores it has been seen at some."""


def mean(histogram: str, labels: str) -> str:
    return (
        f"rate({histogram}_sum{{{labels}}}[10s]) / (rate({histogram}_count{{{labels}}}[10s]) > 0)"
    )


def network_stays(scene: Scene, labels: str, *, what: str) -> None:
    scene.stays(
        mean("kubenurse_network_round_trip_seconds", labels),
        lambda value: value < FAST_SECONDS,
        what=what,
    )
    scene.unmoved(f"kubenurse_loss_delay_seconds_count{{{labels}}}", what=f"loss of {labels}", by=2)


def others_unmoved(scene: Scene) -> None:
    others = "|".join(scene.others)
    paths = "|".join(f"path_{other}" for other in scene.others)
    scene.unmoved(
        f'kubenurse_errors_total{{type=~"{paths}", node=~"{others}"}}',
        what="errors between the other nodes",
    )
