"""How long to wait after what the API server forbids (403)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kubenurse_otel.discovery.api import Problem

if TYPE_CHECKING:
    from collections.abc import Callable


class Refusals:
    """Waits after refusals of one kind of request: short at first, and long if it stays forbidden.

    A kube-apiserver that has just started answers before it has read its roles, and so forbids for
    a moment what it allows (findings/apiserver-forbids-while-it-starts.sh). Arguments are seconds.
    """

    def __init__(
        self,
        *,
        soon: float,
        later: float,
        patience: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._soon = soon
        self._later = later
        self._patience = patience
        self._clock = clock
        self._since: float | None = None

    @property
    def is_lasting(self) -> bool:
        """Whether it has been forbidden for longer than an API server needs to start."""
        return self._since is not None and self._clock() - self._since >= self._patience

    def wait_after(self, problem: Problem | None) -> float:
        """Take a request's error, None if it succeeded. Return the seconds until the next one."""
        if problem is not Problem.FORBIDDEN:
            self._since = None
        elif self._since is None:
            self._since = self._clock()
        return self._later if self.is_lasting else self._soon
