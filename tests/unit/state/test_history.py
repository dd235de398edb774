"""history.py: the last 30 minutes in memory that does not grow, and what is slower than usual."""

from __future__ import annotations

import pytest
from check_results import result as check_result
from check_results import target
from clock import Clock

from kubenurse_otel.model import CheckResult, Measurement, Split
from kubenurse_otel.state.history import (
    LEAST_STEPS,
    MAX_TARGETS,
    STEP_SECONDS,
    STEPS,
    History,
    Slower,
    Step,
)


def result(key: str = "a", *, good: bool = True, **split: float) -> CheckResult:
    return check_result(target(key), good=good, measurement=Measurement(split=Split(**split)))


def test_a_step_keeps_its_worst_outcome_and_its_longest_times() -> None:
    """Of checks within ten seconds; of a failed one no time is kept."""
    clock = Clock()
    history = History(clock=clock)
    for one in (
        result(network_round_trip=0.001, far_end=0.5),
        result(network_round_trip=0.002, far_end=0.1),
        result(good=False, network_round_trip=9.0),
    ):
        history.record(one)
    found = history.strip("a")
    assert found is not None
    outcomes, parts = found
    assert outcomes == [Step.NONE] * (STEPS - 1) + [Step.FAILED]
    assert parts["network"][-1] == pytest.approx(0.002)
    assert parts["far_end"][-1] == pytest.approx(0.5)
    assert parts["loss"] == [None] * STEPS


def test_time_that_passes_empties_what_is_old() -> None:
    """What is older than half an hour is gone, a pause is a gap, and now is at the right."""
    clock = Clock()
    history = History(clock=clock)
    history.record(result())
    clock.now += 3 * STEP_SECONDS
    history.record(result(good=False))
    clock.now += STEP_SECONDS
    found = history.strip("a")
    assert found is not None
    assert found[0][-5:] == [Step.GOOD, Step.NONE, Step.NONE, Step.FAILED, Step.NONE]
    clock.now += STEPS * STEP_SECONDS
    found = history.strip("a")
    assert found is not None
    assert set(found[0]) == {Step.NONE}


def test_the_memory_has_a_bound() -> None:
    """So many targets are kept and no more; who is forgotten makes room."""
    history = History(clock=Clock())
    for number in range(MAX_TARGETS + 1):
        history.record(result(f"{number}"))
    assert history.strip(f"{MAX_TARGETS - 1}") is not None
    assert history.strip(f"{MAX_TARGETS}") is None
    history.retain({"0"})
    history.record(result(f"{MAX_TARGETS}"))
    assert history.strip("1") is None
    assert history.strip(f"{MAX_TARGETS}") is not None


def after(usual: float, now: float, *, steps: int = LEAST_STEPS) -> list[Slower]:
    """What is slower when the far end took ``usual`` for so many steps, and then ``now``."""
    clock = Clock()
    history = History(clock=clock)
    for seconds in (usual,) * steps + (now,) * 3:
        history.record(result(far_end=seconds, network_round_trip=0.001))
        clock.now += STEP_SECONDS
    clock.now -= STEP_SECONDS
    return list(history.slower())


@pytest.mark.parametrize(
    ("usual", "now", "is_slower"),
    [
        (0.002, 0.4, True),
        (0.002, 0.004, False),  # three times need 5 ms more, too
        (0.1, 0.2, False),
        (0.1, 0.31, True),
        (0.4, 0.4, False),
    ],
)
def test_slower_is_three_times_as_long_and_5_ms_more(
    usual: float, now: float, *, is_slower: bool
) -> None:
    """As the diagnosis says of round trips; each part of each target by itself."""
    found = after(usual, now)
    assert [(one.key, one.whose) for one in found] == ([("a", "far_end")] if is_slower else [])


def test_what_is_usual_takes_two_minutes() -> None:
    """Who has just begun finds nothing slow."""
    assert after(0.002, 0.4, steps=LEAST_STEPS - 1) == []
