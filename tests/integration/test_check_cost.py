"""What a check costs, in calls of Python functions: a clock would tell of the machine."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from probing import Prober
from servers import answer

from kubenurse_otel.config.urls import parse_url
from kubenurse_otel.model import Target, TargetKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers import FaultServer

MOST: Final = 430
"""378 by Python 3.11, with the test's own exporter; at commit 2d60581 it was 535."""
_COUNTED: Final = ("kubenurse_otel", "opentelemetry", "httpx")
"""Not the event loop, which is asked the more the longer the far end takes."""


async def test_a_plain_check_and_its_spans_take_few_calls(
    serve: Callable[..., FaultServer],
) -> None:
    """The least of a few, whose far end was quick."""
    target = Target(
        key="path_node-b",
        type="path_node-b",
        kind=TargetKind.PATH,
        url=parse_url(serve(answer()).url("/alwayshappy")),
        interval_seconds=5.0,
        timeout_seconds=10.0,
        propagate=True,
    )
    async with Prober() as prober:
        counts = [await _calls(prober, target) for _ in range(20)]

    assert min(counts) <= MOST


async def _calls(prober: Prober, target: Target) -> int:
    made = 0

    def note(frame: Any, event: str, _: object) -> None:
        nonlocal made
        name = frame.f_globals.get("__name__", "")
        made += event == "call" and name.partition(".")[0] in _COUNTED

    sys.setprofile(note)
    try:
        probed = await prober.instrumented.probe(target)
    finally:
        sys.setprofile(None)
    assert probed.failure is None
    return made
