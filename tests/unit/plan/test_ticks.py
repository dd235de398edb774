from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubenurse_otel.plan.ticks import SWAY, Ticks, phase_of, tick_after, tick_at, ticks_of

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
PHASES = st.floats(0.0, 1.0, exclude_max=True)
INTERVALS = st.floats(0.1, 300.0)
NUMBERS = st.integers(-10, 10**7)


@given(number=NUMBERS, phase=PHASES, interval=INTERVALS)
def test_ticks_are_an_interval_apart_and_sway(number: int, phase: float, interval: float) -> None:
    """Each stands in its own interval, 0.85 to 1.25 of one after the tick before."""
    this, following = (tick_at(n, phase, interval) / interval for n in (number, number + 1))

    assert 0.84 < following - this < 1.25
    assert -1e-6 < this - number - phase < SWAY + 1e-6


@given(number=NUMBERS, phase=PHASES, interval=INTERVALS)
def test_the_tick_after_a_moment_is_the_first_later_one(
    number: int, phase: float, interval: float
) -> None:
    """At a tick it is the next one, just before it the tick itself."""
    at = tick_at(number, phase, interval)

    assert tick_after(at, phase, interval) == number + 1
    assert tick_after(at - interval / 1e5, phase, interval) == number


@given(prefix=NAMES)
@settings(max_examples=20, deadline=None)
def test_trains_of_many_nodes_never_bunch(prefix: str) -> None:
    """A thousand agents that check the API server load each twentieth of the interval alike."""
    slots = Counter(int(phase_of(f"{prefix}{n}") * 20) for n in range(1000))

    assert max(slots.values()) < 100  # 50 expected; 7 standard deviations
    assert min(slots[slot] for slot in range(20)) > 10


@given(number=NUMBERS, phase=PHASES, every=st.integers(1, 12), share=PHASES)
def test_who_leaves_with_some_trains_leaves_with_each_of_these(
    number: int, phase: float, every: int, share: float
) -> None:
    """Every so many, and none of them is missed or counted twice."""
    ticks = Ticks(phase=phase, interval=5.0 * every, every=every, place=int(share * every))
    at = ticks.at(number)

    assert at == tick_at(number * every + ticks.place, phase, 5.0)
    assert ticks.after(at) == number + 1
    assert ticks.after(at - 1e-3) == number


def test_targets_of_a_node_are_spread_over_trains_by_their_keys() -> None:
    """Where their interval is a multiple of the trains'; otherwise they leave together."""
    keys = [f"full_size_node-{n}" for n in range(60)]
    spread = [ticks_of("node-a", key=key, interval=30.0, train_seconds=5.0) for key in keys]
    together = {ticks_of("node-a", key=key, interval=31.0, train_seconds=5.0) for key in keys}

    assert {0, 1, 2, 3, 4, 5} == {one.place for one in spread}
    assert together == {Ticks(phase=phase_of("node-a"), interval=31.0)}


def test_a_node_keeps_its_phase() -> None:
    """An agent that starts anew leaves at the same time of the interval."""
    assert phase_of("node-a") == phase_of("node-a") == pytest.approx(0.0, abs=1.0)
    assert phase_of("node-a") != phase_of("node-b")
