"""When the checks of our own Service begin."""

from __future__ import annotations

import pytest
from clock import ManualClock

from kubenurse_otel.plan.first_checks import MOST_SECONDS, SETTLE_SECONDS, FirstChecks


@pytest.mark.parametrize(
    ("asked_at", "begin_at"),
    [
        ([], MOST_SECONDS),
        ([1.0], 1.0 + SETTLE_SECONDS),
        ([1.0, 4.0, 7.0], 1.0 + SETTLE_SECONDS),
        ([MOST_SECONDS - 1.0], MOST_SECONDS),
    ],
)
async def test_they_begin_once(asked_at: list[float], begin_at: float) -> None:
    """Some time after the first yes to /ready, or at the latest after the bound; once."""
    clock, told = ManualClock(100.0), list[float]()
    first_checks = FirstChecks(lambda: told.append(clock.time()))
    first_checks.start(clock)
    for moment in asked_at:
        await clock.advance(100.0 + moment - clock.time())
        first_checks.said_ready()
    assert not first_checks.have_begun or told
    await clock.advance(2 * MOST_SECONDS)
    assert [pytest.approx(100.0 + begin_at)] == told
    assert first_checks.have_begun


async def test_nothing_before_the_start() -> None:
    """A server that answers before the agent runs begins nothing; without a wait, at once."""
    told: list[str] = []
    first_checks = FirstChecks(lambda: told.append("now"))
    first_checks.said_ready()
    assert not first_checks.have_begun
    first_checks.begin()
    assert ["now"] == told
