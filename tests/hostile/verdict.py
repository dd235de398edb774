"""What an agent has to bear: an Outcome against its bounds, and what fell."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from hostile.agent import LIMIT_BYTES, MIB
from hostile.outcome import FILES_MORE, RSS_MIB_MORE, THREADS_MORE

if TYPE_CHECKING:
    from hostile.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may be in one trial."""

    p99_seconds: float
    missed: float
    neighbour_p99_times: float = 1.0
    """So many times what the prober sees of the neighbour is the machine's share of the p99."""
    peak_mib: float = LIMIT_BYTES / MIB
    rss_mib_more: float = RSS_MIB_MORE
    files_more: int = FILES_MORE
    threads_more: int = THREADS_MORE


FULL: Final = Bounds(p99_seconds=0.05, missed=0)
GATE: Final = Bounds(p99_seconds=0.5, missed=math.inf, neighbour_p99_times=4.0)
"""On a machine that does other things at the same time: what needs a core is not judged."""


def fallen(outcome: Outcome, bounds: Bounds) -> list[str]:
    """Return what did not hold, a few words each; figures that nobody could read have not held."""
    if outcome.ended:
        return [outcome.ended]
    machines_share = bounds.neighbour_p99_times * outcome.neighbour_p99_seconds
    held = {
        outcome.wrong: not outcome.wrong,
        f"{outcome.peak_mib:.0f} MiB held": outcome.peak_mib <= bounds.peak_mib,
        f"p99 {outcome.p99_seconds * 1e3:.0f} ms": (
            outcome.p99_seconds <= bounds.p99_seconds + machines_share
        ),
        f"{outcome.neighbour_failures:.0f} checks of its neighbour failed": (
            outcome.neighbour_failures == 0
        ),
        f"{outcome.own_failures:.0f} own checks failed": outcome.own_failures == 0,
        f"{outcome.missed:.0f} ticks missed": outcome.missed <= bounds.missed,
        f"{outcome.scrapes - outcome.whole_scrapes} of {outcome.scrapes} scrapes not whole": (
            outcome.scrapes == outcome.whole_scrapes
        ),
        f"{outcome.rss_after_mib - outcome.rss_before_mib:.0f} MiB kept": (
            outcome.rss_after_mib
            <= outcome.rss_before_mib + outcome.learnt_mib + bounds.rss_mib_more
        ),
        f"{outcome.files_after - outcome.files_before} files kept": (
            outcome.files_after <= outcome.files_before + bounds.files_more
        ),
        f"{outcome.threads_after - outcome.threads_before} threads kept": (
            outcome.threads_after <= outcome.threads_before + bounds.threads_more
        ),
    }
    return [words for words, is_held in held.items() if not is_held]


def only_slow(outcome: Outcome, bounds: Bounds) -> bool:
    """Return whether nothing but the p99 is beyond its bound."""
    return not fallen(replace(outcome, p99_seconds=0.0), bounds)
