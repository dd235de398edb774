"""Neighbours from a Kubernetes API server, in threads; only the result meets the event loop.

Owns the flow: followed pods and cordoned nodes -> candidates -> ring -> nodes of the chosen ->
Neighbourhood. Whatever the API server does, the last neighbours stay, and ``state`` says what is
wrong.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from kubenurse_otel import unhandled
from kubenurse_otel.discovery import is_old_news
from kubenurse_otel.discovery.api import ApiServer
from kubenurse_otel.discovery.neighbours import NO_NEIGHBOUR, Neighbours
from kubenurse_otel.discovery.timings import Timings
from kubenurse_otel.unhandled import Part

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubenurse_otel.config import Config
    from kubenurse_otel.model import Neighbourhood

log = logging.getLogger(__name__)

MAX_HINTS: Final = 20_000
MAX_CPU_SHARE: Final = 0.05
"""Largest share of one core for rounds of choosing, however fast a cluster changes."""
STOP_SECONDS: Final = 1.0
MAX_SAID: Final = 20
"""The most different bad states that are logged before all is well again."""


class KubernetesDiscovery:
    """Follows the agents of a cluster. ``on_change`` is called on the event loop."""

    def __init__(
        self,
        config: Config,
        *,
        on_change: Callable[[Neighbourhood], None],
        timings: Timings | None = None,
    ) -> None:
        self._config = config
        self._on_change = on_change
        self._timings = timings or Timings()
        self._changed = threading.Event()
        self._stopping = threading.Event()
        self._hints: set[str] = set()
        self._hints_lock = threading.Lock()
        self._current: Neighbourhood | None = None
        self._well = self._said_new = False
        self._said: set[str] = set()

    async def run(self) -> None:
        """Follow the cluster until cancelled."""
        loop = asyncio.get_running_loop()
        server = ApiServer(self._config)
        neighbours = Neighbours(
            self._config,
            server,
            self._timings,
            stopping=self._stopping,
            on_change=self._changed.set,
        )
        thread = threading.Thread(
            target=self._run, args=(neighbours, loop), name="neighbours", daemon=True
        )
        neighbours.start()
        thread.start()
        try:
            await loop.create_future()  # For ever: the threads do the work.
        finally:
            self._stopping.set()
            self._changed.set()
            server.close()
            # Bounded, and the threads are daemons: one that sits in a look-up keeps nobody.
            await asyncio.to_thread(neighbours.join, STOP_SECONDS)
            await asyncio.to_thread(thread.join, STOP_SECONDS)

    def target_failed(self, node_name: str) -> None:
        """Have the node of a failed target read soon: it may be leaving, or not ready."""
        with self._hints_lock:
            if len(self._hints) < MAX_HINTS:
                self._hints.add(node_name)
        self._changed.set()

    # --- the thread -----------------------------------------------------------------------------

    def _run(self, neighbours: Neighbours, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stopping.is_set():
            try:
                self._round(neighbours, loop)
            except Exception as error:  # noqa: BLE001 - the edge of one round: the last neighbours stay
                unhandled.caught(Part.DISCOVERY, error, about="the neighbours")
                self._stopping.wait(self._timings.backoff)

    def _round(self, neighbours: Neighbours, loop: asyncio.AbstractEventLoop) -> None:
        self._changed.clear()
        with self._hints_lock:
            hints, self._hints = self._hints, set()
        started = time.thread_time()
        neighbourhood, complete = neighbours.current(hints)
        if neighbourhood is not None and not self._stopping.is_set():
            self._publish(neighbourhood, loop, is_new=neighbours.is_new())
        busy = time.thread_time() - started
        self._stopping.wait(max(self._timings.settle, busy / MAX_CPU_SHARE))
        if complete:
            self._changed.wait(self._timings.tick)

    def _publish(
        self, neighbourhood: Neighbourhood, loop: asyncio.AbstractEventLoop, *, is_new: bool
    ) -> None:
        self._say(neighbourhood.state, is_new=is_new)
        before = self._current
        if before is not None and is_old_news(
            before, neighbourhood, within_seconds=self._timings.tick
        ):
            return
        self._current = neighbourhood
        with suppress(RuntimeError):  # The loop was closed meanwhile.
            loop.call_soon_threadsafe(self._on_change, neighbourhood)

    def _say(self, state: str, *, is_new: bool) -> None:
        """Log each bad state once until all is well again, however often it comes and goes."""
        if state == NO_NEIGHBOUR and is_new:
            # At a first installation all agents start together, and none has started yet.
            if not self._said_new:
                log.info("neighbourhood: %s yet", state)
            self._said_new, self._well = True, False
            return
        if state == "ok":
            if not self._well:
                log.info("neighbourhood: ok")
            self._well = True
            self._said.clear()
            return
        self._well = False
        if state not in self._said and len(self._said) < MAX_SAID:
            self._said.add(state)
            log.warning("neighbourhood: %s", state)
