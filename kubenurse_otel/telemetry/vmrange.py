"""VictoriaMetrics' histogram ranges: 18 per decade from 1e-9 to 1e18, lower bound excluded.

Owns the bounds and the `vmrange` texts, as github.com/VictoriaMetrics/metrics histogram.go
defines them. Knows nothing of series or exposition.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

_MIN_EXPONENT: Final = -9
_MAX_EXPONENT: Final = 18
_RANGES_PER_DECADE: Final = 18


def _bounds() -> tuple[float, ...]:
    # Whole powers of ten are exact, so that 0.001 falls into ...1.000e-03 as it does in Go.
    bounds = [10.0**_MIN_EXPONENT]
    for exponent in range(_MIN_EXPONENT, _MAX_EXPONENT):
        bounds.extend(
            10.0 ** (exponent + step / _RANGES_PER_DECADE) for step in range(1, _RANGES_PER_DECADE)
        )
        bounds.append(float(f"1e{exponent + 1}"))
    return tuple(bounds)


BOUNDS: Final = _bounds()
"""487 upper bounds in seconds; with the one above the last they make 488 buckets."""


def _ranges() -> tuple[str, ...]:
    ends = [f"{bound:.3e}" for bound in BOUNDS]
    between = [f"{start}...{end}" for start, end in pairwise(ends)]
    return (f"0...{ends[0]}", *between, f"{ends[-1]}...+Inf")


RANGES: Final = _ranges()
"""The `vmrange` value of each bucket, in the order of the bucket counts."""
