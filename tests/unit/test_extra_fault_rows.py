"""The faults of extra checks name checks that the agent takes."""

from __future__ import annotations

from functools import partial

import pytest
from e2e.faults import extra

from kubenurse_otel.config.extra_checks import parse_check


@pytest.mark.parametrize(
    "url",
    sorted(
        {one.inject.args[0] for one in extra.FAULTS if isinstance(one.inject, partial)}
        | {extra.TCP}
    ),
)
def test_an_agent_takes_the_check(url: str) -> None:
    """Else it would not start, and the row would say nothing of its fault."""
    assert parse_check(url).url.text == url.partition(";")[0]
