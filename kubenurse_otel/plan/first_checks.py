"""When our own pod can be had through its Service: some time after it first said that it is ready.

Before that, Service and ingress may have no pod at all to send us to: at a first install every
agent would report its own start as a failure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubenurse_otel.plan.schedule import Clock

SETTLE_SECONDS: Final = 5.0
"""kubelet, the EndpointSlice controller, kube-proxy and an ingress controller, one after the other.
kubenurse waits for as long before its first check of anything."""
MOST_SECONDS: Final = 30.0
"""Where nobody asks /ready."""


class FirstChecks:
    """Calls ``on_begin()`` once, when they may begin. All methods belong on the event loop."""

    def __init__(self, on_begin: Callable[[], None]) -> None:
        self.have_begun = False
        self._on_begin = on_begin
        self._clock: Clock | None = None
        self._said_ready = False

    def start(self, clock: Clock) -> None:
        self._clock = clock
        clock.call_at(clock.time() + MOST_SECONDS, self.begin)

    def said_ready(self) -> None:
        """/ready was answered with 200."""
        if not self._said_ready and self._clock is not None:
            self._said_ready = True
            self._clock.call_at(self._clock.time() + SETTLE_SECONDS, self.begin)

    def begin(self) -> None:
        if not self.have_begun:
            self.have_begun = True
            self._on_begin()
