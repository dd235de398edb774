"""An API server that has just started forbids for a moment what it allows."""

from __future__ import annotations

from clock import Clock

from kubenurse_otel.discovery.api import Problem
from kubenurse_otel.discovery.refusals import Refusals


def refusals(clock: Clock) -> Refusals:
    return Refusals(soon=10.0, later=300.0, patience=60.0, clock=clock)


def test_a_first_refusal_is_asked_again_soon_and_a_lasting_one_seldom() -> None:
    clock = Clock()
    forbidden = refusals(clock)
    for after_seconds, pause_seconds in ((0, 10.0), (59, 10.0), (60, 300.0), (360, 300.0)):
        clock.now = 1000.0 + after_seconds
        assert forbidden.wait_after(Problem.FORBIDDEN) == pause_seconds
        assert forbidden.is_lasting == (pause_seconds == 300.0)


def test_an_answer_or_another_problem_in_between_begins_anew() -> None:
    for between in (None, Problem.UNREACHABLE):
        clock = Clock()
        forbidden = refusals(clock)
        forbidden.wait_after(Problem.FORBIDDEN)
        clock.now += 100
        assert forbidden.wait_after(between) == 10.0
        assert forbidden.wait_after(Problem.FORBIDDEN) == 10.0
        assert not forbidden.is_lasting
