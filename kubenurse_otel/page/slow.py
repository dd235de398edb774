"""What takes longer than usual now: whose time it is, and how many agents see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import htpy as h

from kubenurse_otel.page import words
from kubenurse_otel.page.table import columns, table
from kubenurse_otel.report import slower

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubenurse_otel.report.slower import Row

_HEAD: Final = columns(*slower.HEAD, figures=("now", "usually"))


def section(found: Sequence[Row], left: int) -> h.Element:
    """``left``: how many rows more there are."""
    return h.section(aria_labelledby="slow")[
        h.h2("#slow")["Slow now, and whose time"],
        table(
            "The last half minute against the half hour before it: three times as long, and 5 ms "
            "more. Medians.",
            _HEAD,
            (slower.cells(row) for row in found),
        )
        if found
        else h.p[words.mark("good"), "Nothing takes longer than it usually does."],
        left > 0 and h.p[f"... and {left} more"],
    ]
