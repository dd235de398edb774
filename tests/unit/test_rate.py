"""Tokens: a burst, then so many a second, an address."""

from __future__ import annotations

from clock import ManualClock

from kubenurse_otel.rate import MAX_ADDRESSES, Rate


def allowed(rate: Rate, address: str, times: int) -> int:
    return sum(rate.allows(address) for _ in range(times))


def test_a_burst_then_so_many_a_second() -> None:
    """Who was silent has its burst again, and never more."""
    clock = ManualClock()
    rate = Rate(per_second=2, burst=3, clock=clock.time)
    assert allowed(rate, "a", 10) == 3
    clock.now += 1
    assert allowed(rate, "a", 10) == 2
    clock.now += 3_600
    assert allowed(rate, "a", 10) == 3


def test_one_does_not_use_what_is_anothers() -> None:
    """Each address has its own."""
    rate = Rate(per_second=1, burst=1, clock=ManualClock().time)
    assert [rate.allows("a"), rate.allows("a"), rate.allows("b")] == [True, False, True]


def test_those_silent_longest_are_forgotten() -> None:
    """However many addresses ask, so many are held."""
    rate = Rate(per_second=1, burst=1, clock=ManualClock().time)
    assert rate.allows("first")
    for number in range(MAX_ADDRESSES):
        assert rate.allows(f"a{number}")
        assert len(rate._tokens) <= MAX_ADDRESSES
    assert rate.allows("first")
