"""How moments, lengths of time and counts are written for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_MINUTE: Final = 60
_HOUR: Final = 3_600
_DAY: Final = 86_400


def unix(moment: str) -> float | None:
    """Unix seconds of RFC 3339; None where it is none."""
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return None


def clock(seconds: float) -> str:
    """A moment for people: the time of day, in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%S} UTC"


def lasting(seconds: float) -> str:
    """How long, in one unit or two: 12 s, 3 min, 2 h 5 min, 4 d 3 h."""
    whole = max(0, int(seconds))
    if whole < 2 * _MINUTE:
        return f"{whole} s"
    if whole < 2 * _HOUR:
        return f"{whole // _MINUTE} min"
    if whole < 2 * _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def ago(moment: str, now: float) -> str:
    """Like "3 s ago"; of what is no moment the text itself."""
    at = unix(moment)
    return moment if at is None else f"{lasting(now - at)} ago"


def duration(seconds: float | None, *, micro: str = "µ") -> str:
    """Three digits that matter, in the unit that fits: 340 µs, 1.23 ms, 45.6 ms, 1.00 s."""
    if seconds is None:
        return ""
    if seconds < 0.0009995:
        return f"{seconds * 1e6:.0f} {micro}s"
    value, unit = (seconds * 1e3, "ms") if seconds < 0.9995 else (seconds, "s")
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {unit}"


def plural(count: int, one: str, many: str = "") -> str:
    """Like "1 check", "3 checks"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
