"""Waiting for a condition: never longer than said, and with a reason when it did not come."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from e2e.cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable

_EVERY_SECONDS: Final = 0.1


def wait_for(condition: Callable[[], object], *, seconds: float, what: str) -> float:
    """Poll until true; return the seconds it took. Raises ClusterError with ``what`` is missing.

    A condition that returns text is waited for, too: the text says what is still missing.
    """
    began = time.monotonic()
    while (found := condition()) is not True:
        if time.monotonic() - began > seconds:
            why = f": {found}" if isinstance(found, str) else ""
            raise ClusterError(f"not within {seconds:.0f} s: {what}{why}")
        time.sleep(_EVERY_SECONDS)
    return time.monotonic() - began
