"""What the demo breaks, in which order and for how long, and which verdict is expected."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from kubenurse_otel.record import record

if TYPE_CHECKING:
    from collections.abc import Iterator


class Fault(StrEnum):
    NONE = "none"
    SLOW_INGRESS = "slow far end"
    NODE_DOWN = "refused node"
    EXPIRED_CERTIFICATE = "expired certificate"


SLOW_SECONDS: Final = 0.4
DOWN_NUMBER: Final = 4
"""The agent that is stopped. Not 1, because the others reach that one as the Service."""


@record(frozen=True, slots=True)
class Scene:
    """``share`` is the scene's part of the play. ``expected`` is the verdict: (kind, culprit)."""

    fault: Fault
    share: int
    announcement: str
    expected: tuple[str, str] | None = None


SCENES: Final = (
    Scene(Fault.NONE, 2, "All is well: five agents check each other, API server and ingress."),
    Scene(
        Fault.SLOW_INGRESS,
        2,
        f"We make the ingress slow: it takes {SLOW_SECONDS * 1000:.0f} ms for each request.",
        ("ingress", "cluster"),
    ),
    Scene(Fault.NONE, 1, "The ingress is as fast as before."),
    Scene(
        Fault.NODE_DOWN,
        2,
        f"We stop the agent of node-{DOWN_NUMBER}.",
        ("agent", f"node-{DOWN_NUMBER}"),
    ),
    Scene(Fault.NONE, 2, f"The agent of node-{DOWN_NUMBER} is started again."),
    Scene(
        Fault.EXPIRED_CERTIFICATE,
        2,
        "We give the ingress a certificate that expired yesterday.",
        ("certificate", "ingress"),
    ),
    Scene(Fault.NONE, 1, "The ingress has its good certificate back."),
)
SHARE_SECONDS: Final = 5.0
"""Seconds per share, if the user gave no --seconds."""


def scenes(seconds: float | None) -> Iterator[tuple[Scene, float]]:
    """Yield (scene, its seconds): the whole play once in ``seconds``, or again and again (None)."""
    shares = sum(scene.share for scene in SCENES)
    if seconds is None:
        while True:
            yield from ((scene, scene.share * SHARE_SECONDS) for scene in SCENES)
    yield from ((scene, scene.share / shares * seconds) for scene in SCENES)
