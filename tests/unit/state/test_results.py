"""Standings of targets: what is kept, what it says, when it is forgotten."""

from __future__ import annotations

import pytest
from check_results import result as check_result
from check_results import target

from kubenurse_otel.model import (
    CheckResult,
    Measurement,
    Split,
    Target,
)
from kubenurse_otel.state.results import MAX_RECENT_FAILURES, Results, Standing


def result(of: Target, at: float, *, good: bool = True, expiry: float | None = None) -> CheckResult:
    measured = Measurement(split=Split(), certificate_expiry=expiry)
    return check_result(of, at, good=good, measurement=measured)


A, B = target("path_a"), target("path_b")


def test_a_standing_tells_since_when_and_how_often() -> None:
    """Since moves with the outcome; failures in a row are counted; the last one is remembered."""
    results = Results()
    results.set_targets([A])
    seen: list[tuple[float, int, float | None]] = []
    for at, good in [(1, True), (2, True), (3, False), (4, False), (5, True), (6, False)]:
        results.record(result(A, at, good=good))
        standing: Standing = results.latest["path_a"]
        last = standing.last_failure.started_at if standing.last_failure else None
        seen.append((standing.since, standing.consecutive_failures, last))
    assert seen == [(1, 0, None), (1, 0, None), (3, 1, 3), (3, 2, 4), (5, 0, 4), (6, 1, 6)]
    past = [
        (failure.result.started_at, failure.recovered_at) for failure in results.recent_failures
    ]
    assert past == [(3, 5), (4, 5), (6, None)]


def test_since_is_never_later_than_the_check_that_says_it() -> None:
    """A wall clock that is set back takes it along: no run began after its latest check."""
    results = Results()
    results.set_targets([A])
    seen: list[float] = []
    for at, good in [(100, True), (105, True), (50, True), (55, True), (115, True), (45, False)]:
        results.record(result(A, at, good=good))
        seen.append(results.latest["path_a"].since)
    assert seen == [100, 100, 50, 50, 50, 45]


@pytest.mark.parametrize(
    ("outcomes", "good"),
    [
        ({}, False),
        ({"path_a": True}, True),
        ({"path_a": True, "path_b": True}, True),
        ({"path_a": True, "path_b": False}, False),
    ],
)
def test_all_good_wants_a_check_and_no_bad_one(outcomes: dict[str, bool], *, good: bool) -> None:
    """Nothing checked is not good; one bad target is not good."""
    results = Results()
    results.set_targets([A, B])
    for key, outcome in outcomes.items():
        results.record(result(results.targets[key], 1, good=outcome))
    assert results.all_good() is good


def test_what_is_no_target_is_forgotten() -> None:
    """A target that goes takes its standing and failures along, also one checked meanwhile."""
    results = Results()
    results.set_targets([A, B], ["me_ingress"])
    results.record(result(A, 1, good=False))
    results.record(result(B, 1, good=False))
    results.set_targets([B], [])
    results.record(result(A, 2))
    assert set(results.latest) == set(results.targets) == {"path_b"}
    assert [failure.result.target.key for failure in results.recent_failures] == ["path_b"]
    assert results.skipped == ()


def test_recent_failures_are_bounded() -> None:
    """Only the last hundred failures are held."""
    results = Results()
    results.set_targets([A])
    for at in range(MAX_RECENT_FAILURES + 10):
        results.record(result(A, at, good=False))
    kept = results.recent_failures
    assert (len(kept), kept[0].result.started_at) == (MAX_RECENT_FAILURES, 10)


def test_two_keys_of_one_type_are_summed_up() -> None:
    """A type is good when both its addresses are; its certificate's expiry is the earlier one."""
    four, six = target("path_a", "path_a"), target("path_a ipv6", "path_a")
    results = Results()
    results.set_targets([four, six, B])
    results.record(result(four, 1, good=False, expiry=300))
    results.record(result(six, 1, expiry=200))
    results.record(result(B, 1))
    assert results.success_by_type() == {"path_a": False, "path_b": True}
    assert results.certificate_expiry_by_type() == {"path_a": 200}
