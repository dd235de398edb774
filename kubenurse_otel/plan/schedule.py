"""When each target is checked: a clock of its own for every target, and one timer for all.

Owns phases, ticks, overlap, missed ticks and the quiet moments between checks. Does not know
what a check is: it is given a coroutine function, and anything that this raises is a bug.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import struct
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable

    from kubenurse_otel.model import Target

CANDIDATES: Final = struct.Struct(">16I")
"""One blake2b digest (64 bytes) is sixteen places on a target's clock, each in 1/2**32."""

CROWD: Final = 64
"""From so many targets on, hashes alone are even enough, and comparing all would take long."""

UNRELATED_SECONDS: Final = 0.1
"""Clocks whose ticks can only stay this little apart meet now and then, wherever they start."""

QUIET_AHEAD_SECONDS: Final = 0.02
"""A moment is quiet only if no tick is due for so long: what is done in it takes a few ms."""

QUIET_AGE_SECONDS: Final = 0.25
"""A check that has run for longer waits for something slow: it does not make a moment unquiet,
or else ten dead peers would leave none."""


class Timer(Protocol):
    """What Clock.call_at returns."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """The two methods of an asyncio event loop that a schedule needs: monotonic seconds."""

    def time(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], object], /) -> Timer: ...


class _Ticker:
    """The clock of one target. Tick n is at phase + n * interval, so that nothing adds up."""

    __slots__ = ("due", "interval", "phase", "started", "target", "task", "tick")

    def __init__(self, target: Target, phase: float, now: float) -> None:
        self.target = target
        self.phase = phase
        self.interval = target.interval_seconds
        self.tick = math.floor((now - phase) / self.interval) + 1
        self.due = phase + self.tick * self.interval
        self.task: asyncio.Task[None] | None = None
        self.started = 0.0

    def pass_ticks(self, now: float) -> int:
        """Move on from the tick that is due; returns how many ticks after it passed as well."""
        passed = math.floor((now - self.due) / self.interval)
        self.tick += passed + 1
        self.due = self.phase + self.tick * self.interval
        return passed

    def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()

    def __lt__(self, other: _Ticker) -> bool:
        return self.due < other.due


class Schedule:
    """Calls ``check(target)`` at each tick of each target, at most one at a time for a target.

    A tick at which the target's previous check still runs, or that passed while our process
    stood still, is lost and told to ``on_missed(target, count)``; no other target notices.
    ``node`` is our own node's name: it makes phases differ between agents. ``on_quiet()`` is
    called in a quiet moment: when a check has just ended, no other has run for less than
    QUIET_AGE_SECONDS, and no tick is due within QUIET_AHEAD_SECONDS. It must not block for
    longer than that. ``clock`` is the running event loop where none is given.

    All methods belong on the event loop.
    """

    def __init__(
        self,
        check: Callable[[Target], Awaitable[None]],
        *,
        on_missed: Callable[[Target, int], None],
        node: str,
        on_quiet: Callable[[], object] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._check = check
        self._on_missed = on_missed
        self._node = node
        self._on_quiet = on_quiet
        self._clock: Clock = clock or asyncio.get_running_loop()
        self._tickers: dict[str, _Ticker] = {}
        self._heap: list[_Ticker] = []
        self._running: dict[_Ticker, None] = {}
        """In the order in which they started, the removed ones included."""
        self._wake = asyncio.Event()
        self._stopped = False

    def set_targets(self, targets: Iterable[Target]) -> None:
        """Replace the targets, at any time, also before ``run``.

        Who stays keeps phase and ticks (a changed interval sets its clock anew). The running
        check of a target that is gone, or that now has another URL, is cancelled.
        """
        now = self._clock.time()
        wanted = {target.key: target for target in targets}
        kept: dict[str, _Ticker] = {}
        for key, ticker in self._tickers.items():
            target = wanted.get(key)
            if target is None or target.url != ticker.target.url:
                ticker.cancel()
            if target is not None and target.interval_seconds == ticker.interval:
                ticker.target = target
                kept[key] = ticker
            else:
                ticker.cancel()
        for key, target in wanted.items():
            if key not in kept:
                phase = choose_phase(self._node, target, kept.values())
                kept[key] = _Ticker(target, phase, now)
        self._tickers = kept
        self._heap = list(kept.values())
        heapq.heapify(self._heap)
        self._wake.set()

    def stop(self) -> None:
        """Start nothing more, cancel the running checks; ``run`` returns when they have ended."""
        self._stopped = True
        for ticker in self._running:
            ticker.cancel()
        self._wake.set()

    async def run(self) -> None:
        """Check until ``stop``. Raises (an ExceptionGroup) what a check or a hook raised."""
        async with asyncio.TaskGroup() as group:
            while not self._stopped:
                self._start_due(group)
                self._wake.clear()
                timer = (
                    self._clock.call_at(self._heap[0].due, self._wake.set) if self._heap else None
                )
                try:
                    await self._wake.wait()
                finally:
                    if timer is not None:
                        timer.cancel()

    def _start_due(self, group: asyncio.TaskGroup) -> None:
        now = self._clock.time()
        while self._heap and self._heap[0].due <= now:
            ticker = self._heap[0]
            missed = ticker.pass_ticks(now)
            heapq.heapreplace(self._heap, ticker)
            if ticker.task is not None:
                missed += 1
            else:
                self._start(ticker, now, group)
            if missed:
                self._on_missed(ticker.target, missed)

    def _start(self, ticker: _Ticker, now: float, group: asyncio.TaskGroup) -> None:
        def ended(_: asyncio.Task[None]) -> None:
            # Not in a finally of the coroutine: one that is cancelled at once never gets there.
            ticker.task = None
            del self._running[ticker]

        ticker.started = now
        ticker.task = group.create_task(self._run_check(ticker))
        ticker.task.add_done_callback(ended)
        self._running[ticker] = None

    async def _run_check(self, ticker: _Ticker) -> None:
        await self._check(ticker.target)
        if self._on_quiet is not None and self._is_quiet(ended=ticker):
            self._on_quiet()

    def _is_quiet(self, *, ended: _Ticker) -> bool:
        now = self._clock.time()
        if self._stopped or (self._heap and self._heap[0].due < now + QUIET_AHEAD_SECONDS):
            return False
        youngest = next((ticker for ticker in reversed(self._running) if ticker is not ended), None)
        return youngest is None or now - youngest.started >= QUIET_AGE_SECONDS


class Phased(Protocol):
    """A target's place on its clock, as far as finding room for another one needs it."""

    @property
    def phase(self) -> float: ...

    @property
    def interval(self) -> float: ...


def choose_phase(node: str, target: Target, others: Collection[Phased]) -> float:
    """Where in its interval a target ticks: seconds, 0 <= phase < interval.

    The hash of node and target proposes sixteen places, evenly spread over targets and nodes;
    the one with the most room to the agent's ``others`` is taken (Mitchell's best candidate).
    The same agent with the same targets finds the same phases.
    """
    digest = blake2b(f"{node}\0{target.key}".encode()).digest()
    interval = target.interval_seconds
    places: list[float] = [place / 2**32 * interval for place in CANDIDATES.unpack(digest)]
    if len(others) >= CROWD:
        return places[0]
    return max(places, key=lambda place: _room(place, interval, others))


def _room(phase: float, interval: float, others: Iterable[Phased]) -> float:
    """How close this clock's ticks ever come to another's, in seconds.

    Ticks of periods a and b come as close as their phases are modulo gcd(a, b).
    """
    room = math.inf
    for other in others:
        period = interval
        if other.interval != interval:
            period = math.gcd(round(interval * 1000), round(other.interval * 1000)) / 1000
        if period >= UNRELATED_SECONDS:
            apart = abs(phase - other.phase) % period
            room = min(room, apart, period - apart)
    return room
