"""How often something may be done: a bucket of tokens for each who asks."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_ADDRESSES: Final = 1_024
"""Those that asked longest ago are forgotten."""


class Rate:
    """``allows`` takes one of an address's tokens, where it has one left.

    It has ``burst`` at first and after a pause, and ``per_second`` are added.
    """

    def __init__(
        self, *, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._tokens: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, address: str = "") -> bool:
        """Without an address: of all together."""
        now = self._clock()
        tokens, at = self._tokens.pop(address, (self._burst, now))
        tokens = min(self._burst, tokens + (now - at) * self._per_second)
        allowed = tokens >= 1
        self._tokens[address] = (tokens - 1 if allowed else tokens, now)
        if len(self._tokens) > MAX_ADDRESSES:
            self._tokens.popitem(last=False)
        return allowed
