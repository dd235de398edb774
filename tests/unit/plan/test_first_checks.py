"""When the checks of our own Service begin."""

from __future__ import annotations

import pytest
from clock import ManualClock

from kubenurse_otel.plan.first_checks import MOST_SECONDS, SETTLE_SECONDS, Publication


@pytest.mark.parametrize(
    ("asked_at", "published_at"),
    [
        ([], MOST_SECONDS),
        ([1.0], 1.0 + SETTLE_SECONDS),
        ([1.0, 4.0, 7.0], 1.0 + SETTLE_SECONDS),
        ([MOST_SECONDS - 1.0], MOST_SECONDS),
    ],
)
async def test_published_once(asked_at: list[float], published_at: float) -> None:
    """Some time after the first yes to /ready, or at the latest after the bound; once."""
    clock, told = ManualClock(100.0), list[float]()
    publication = Publication(lambda: told.append(clock.time()))
    publication.start(clock)
    for moment in asked_at:
        await clock.advance(100.0 + moment - clock.time())
        publication.said_ready()
    assert not publication.is_published or told
    await clock.advance(2 * MOST_SECONDS)
    assert [pytest.approx(100.0 + published_at)] == told
    assert publication.is_published


async def test_nothing_before_the_start() -> None:
    """A server that answers before the agent runs publishes nothing; without a wait, at once."""
    told: list[str] = []
    publication = Publication(lambda: told.append("now"))
    publication.said_ready()
    assert not publication.is_published
    publication.publish()
    assert ["now"] == told
