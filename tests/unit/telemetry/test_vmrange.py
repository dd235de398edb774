"""VictoriaMetrics' ranges."""

from __future__ import annotations

import math
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel.telemetry import vmrange


def _as_in_go(value: float) -> str:
    """What github.com/VictoriaMetrics/metrics (v1.40) Histogram.Update puts a value into."""
    index = (math.log10(value) + 9) * 18 if value > 0 else -1.0
    if index < 0:
        return f"0...{1e-9:.3e}"
    if index >= 27 * 18:
        return f"{1e18:.3e}...+Inf"
    whole = int(index)
    if index == whole and whole > 0:
        whole -= 1
    ends = [1e-9]
    for _ in range(27 * 18):
        ends.append(ends[-1] * 10 ** (1 / 18))
    return f"{ends[whole]:.3e}...{ends[whole + 1]:.3e}"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0...1.000e-09"),
        (5e-10, "0...1.000e-09"),
        (0.001, "8.799e-04...1.000e-03"),
        (0.0011, "1.000e-03...1.136e-03"),
        (1.0, "8.799e-01...1.000e+00"),
        (2e18, "1.000e+18...+Inf"),
    ],
)
def test_a_value_falls_into_its_range(value: float, expected: str) -> None:
    """Each value is in the range that includes its upper bound and not its lower."""
    assert expected == vmrange.RANGES[bisect_left(vmrange.BOUNDS, value)]


@given(st.floats(min_value=2e-9, max_value=9e17))
def test_ranges_are_those_of_the_go_library(value: float) -> None:
    """Except within rounding of a bound, a value is where VictoriaMetrics' own code puts it."""
    index = (math.log10(value) + 9) * 18
    if abs(index - round(index)) < 1e-9:
        return
    assert _as_in_go(value) == vmrange.RANGES[bisect_left(vmrange.BOUNDS, value)]


def test_there_are_eighteen_ranges_a_decade() -> None:
    """27 decades of 18 ranges, one below and one above; the bounds increase."""
    assert (len(vmrange.RANGES), len(vmrange.BOUNDS)) == (27 * 18 + 2, 27 * 18 + 1)
    assert sorted(set(vmrange.BOUNDS)) == list(vmrange.BOUNDS)
