"""What one attack did, as figures; to JSON and back."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Self

RSS_MIB_MORE: Final = 8.0
FILES_MORE: Final = 16
THREADS_MORE: Final = 4
"""What an agent may keep of an attack."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attack did. ``ended``: how the attacked agent came to its end; empty, it lives.

    NaN is what nobody could tell.
    """

    attack: str
    ended: str = ""
    opened: int = 0
    """Connections that there were between attacker and agent."""
    wrong: str = ""
    """The attack's own word of what went wrong."""
    peak_rss_mib: float = math.nan
    peak_sockets_mib: float = math.nan
    peak_mib: float = math.nan
    """Of both together."""
    p99_seconds: float = math.nan
    slowest_probe_seconds: float = math.nan
    neighbour_p99_seconds: float = math.nan
    neighbour_failures: float = math.nan
    """Failed checks of the attacked agent by its neighbour."""
    own_failures: float = math.nan
    """Failed checks of honest targets by the attacked agent."""
    missed: float = math.nan
    """Its missed ticks of honest targets."""
    scrapes: int = 0
    whole_scrapes: int = 0
    slowest_scrape_seconds: float = math.nan
    rss_before_mib: float = math.nan
    rss_after_mib: float = math.nan
    learnt_mib: float = 0.0
    """What it may hold more, for what it was told (Attack.learns_mib)."""
    settled_seconds: float = math.nan
    """After how long RSS was back, or the last look at it."""
    files_before: int = 0
    files_after: int = 0
    threads_before: int = 0
    threads_after: int = 0

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        known = {field.name for field in fields(cls)}
        return cls(
            **{
                name: math.nan if value is None else value
                for name, value in found.items()
                if name in known
            }
        )

    def to_json(self) -> dict[str, Any]:
        return {
            name: None
            if isinstance(value, float) and math.isnan(value)
            else round(value, 4)
            if isinstance(value, float)
            else value
            for name, value in asdict(self).items()
        }
