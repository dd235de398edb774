"""The first view: whose fault it is, who cannot reach whom, where the time went."""

from __future__ import annotations

from typing import TYPE_CHECKING

import htpy as h

from kubenurse_otel.page import checks, mesh, slow, verdicts, words
from kubenurse_otel.page import frame as framing
from kubenurse_otel.record import record
from kubenurse_otel.report.overview import overview

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubenurse_otel.page.frame import Frame
    from kubenurse_otel.report.checked import Checked
    from kubenurse_otel.report.seen import Sight


@record(frozen=True, slots=True, kw_only=True)
class Now:
    """What is shown. ``sight`` is None where there is no diagnosis."""

    sight: Sight | None
    checks: Sequence[Checked]
    known: int
    """Targets of this agent."""
    interval_seconds: float


def view(frame: Frame, now: Now) -> bytes:
    sight = now.sight
    if sight is None:
        kind, said = "dim", f"Checks of node {frame.node}"
        parts: h.Node = verdicts.off(frame)
    else:
        found = overview(sight)
        kind, said = found.kind, found.said
        parts = [
            verdicts.section(frame, found),
            slow.section(found.slow, found.slow_left),
            mesh.section(sight, found.mesh, interval_seconds=now.interval_seconds),
        ]
    return framing.document(
        frame,
        said,
        [
            h.h1[words.mark(kind), said],
            parts,
            checks.section(
                frame, now.checks, known=now.known, interval_seconds=now.interval_seconds
            ),
        ],
    )
