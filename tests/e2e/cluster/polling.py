"""Look again and again until what is seen is as wanted, or the time is up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

PERIOD_SECONDS: Final = 0.25
_SHOWN: Final = 3000
"""Characters of what was seen last."""
T = TypeVar("T")


def until(
    look: Callable[[], T], condition: Callable[[T], object], *, seconds: float, what: str
) -> tuple[T, float]:
    """Return what was seen when ``condition`` held, and the seconds that it took.

    A server that does not answer (OSError) is asked again. Raises AssertionError when the time is
    up, with what was seen last.
    """
    start = time.monotonic()
    while True:
        last: object
        try:
            last = seen = look()
        except OSError as error:
            last = error
        else:
            if condition(seen):
                return seen, time.monotonic() - start
        if time.monotonic() - start >= seconds:
            raise AssertionError(
                f"not within {seconds:g} s: {what}; seen last: {str(last)[:_SHOWN]}"
            )
        time.sleep(PERIOD_SECONDS)
