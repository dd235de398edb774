"""What must not move when a wire is broken: checks that do not go over it.

The machine that all nodes share may be held up: then a check waits for a process and says so
(own_timeout, response_timeout), and a kernel sends again what was not lost. No wire did that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from e2e.faults.scene import Scene

_STRAY: Final = 3
"""Checks that may have lost time by the machine itself."""


def no_failure(scene: Scene, checks: str, *, what: str) -> None:
    """No check of these labels failed by the network."""
    by_network = 'error_type!~"own_timeout|response_timeout"'
    scene.unmoved(
        f"kubenurse_check_failures_total{{{checks}{by_network}}}", what=f"failures {what}"
    )


def no_loss(scene: Scene, checks: str, *, what: str) -> None:
    """No check of these labels lost time to retransmissions."""
    scene.unmoved(f"kubenurse_loss_delay_seconds_count{{{checks}}}", what=f"loss {what}", by=_STRAY)


def calm_between_others(scene: Scene) -> None:
    """The other nodes see nothing on the way to each other."""
    others = "|".join(scene.others)
    pairs = f'type=~"path_({others})", node=~"{others}", '
    no_failure(scene, pairs, what="between the other nodes")
    no_loss(scene, pairs, what="between the other nodes")
