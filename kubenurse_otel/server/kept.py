"""A large document that many may ask for: made again only when it changed, and not too often."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from kubenurse_otel.rate import Rate

if TYPE_CHECKING:
    from collections.abc import Callable

PER_SECOND: Final = 1.0
BURST: Final = 5.0
"""So many may be built in a row, so that a client that asks seldom gets the current state."""

Document = TypeVar("Document")


class Kept(Generic[Document]):
    """``get`` returns what ``make`` returned last, unless ``version`` has changed since.

    While it changes faster than it may be made, it is up to a second old.
    """

    def __init__(
        self,
        make: Callable[[], Document],
        *,
        version: Callable[[], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._version = version
        self._rate = Rate(per_second=PER_SECOND, burst=BURST, clock=clock)
        self._made: tuple[object, Document] | None = None

    def get(self) -> Document:
        version = self._version()
        if self._made is not None and self._made[0] == version:
            return self._made[1]
        if self._rate.allows() or self._made is None:
            self._made = (version, self._make())
        return self._made[1]
