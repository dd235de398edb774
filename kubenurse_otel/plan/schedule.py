"""When each target is checked: one short train of checks per interval, and one timer for all.

Owns the trains, overlap, missed ticks and the quiet moments between trains. Does not know
what a check is: it is given a coroutine function, and anything that this raises is a bug.

Checks of a train run one after the other. The second one finds the processor's caches warm; a check
that comes alone waits for memory (docs/performance.md). They never run at the same time, because
they would measure each other. If this process gets too little CPU there is no train: a process that
has just run has to wait for the processor, and others use the caches meanwhile.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol

from kubenurse_otel.plan.ticks import Ticks, ticks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from kubenurse_otel.model import Target

PACE_SECONDS: Final = 0.02
"""How long a check may keep the next one of its train waiting: no dead target delays it by more."""

HELD_UP_SECONDS: Final = 0.02
"""A check that our own process held up for longer counts as held up."""
STARVED_FROM: Final = 0.25
STARVED_UNTIL: Final = 0.06
"""Shares of the latest checks that were held up."""
STARVED_SHARE: Final = 0.75
"""Of an interval, over which its checks are spread then."""
_LATEST: Final = 8

QUIET_AHEAD_SECONDS: Final = 0.02
"""A moment is quiet only if no tick is due for so long: what is done in it takes a few ms."""

QUIET_AGE_SECONDS: Final = 0.25
"""A check that has run for longer waits for something slow: it does not make a moment unquiet,
or else ten dead peers would leave none."""

QUIET_PAUSE_SECONDS: Final = 0.005
"""Between two quiet moments where one was not enough: others on the event loop have their turn."""


class Timer(Protocol):
    """What Clock.call_at returns."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """The two methods of an asyncio event loop that a schedule needs: monotonic seconds."""

    def time(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], object], /) -> Timer: ...


class _Ticker:
    """The clock of one target."""

    __slots__ = (
        *("due", "in_line", "interval", "started", "target", "task", "tick", "ticks", "waits"),
    )

    def __init__(self, target: Target, ticks: Ticks, now: float) -> None:
        self.target = target
        self.ticks = ticks
        self.interval = target.interval_seconds
        self.tick = ticks.after(now)
        self.due = ticks.at(self.tick)
        self.task: asyncio.Task[None] | None = None
        self.started = 0.0
        self.in_line = False
        self.waits = False
        """A tick came while the check of the one before was under way."""

    def pass_ticks(self, now: float) -> int:
        """Move on from the tick that is due; returns how many ticks after it passed as well."""
        passed, self.tick = self.tick, self.ticks.after(now)
        self.due = self.ticks.at(self.tick)
        return self.tick - passed - 1

    def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()

    def __lt__(self, other: _Ticker) -> bool:
        """A target has the same place in each train: where checks are spread out, too, they are
        an interval apart.
        """
        return (self.due, self.target.key) < (other.due, other.target.key)


class Schedule:
    """Calls ``check(target)`` at each tick of each target, at most one at a time for a target.

    What is due stands in line: the next check begins when the one before has ended, or has taken
    PACE_SECONDS (less where so many targets would not get through in half of the shortest
    interval). Where many of the latest checks were held up by this process (``check`` returns for
    how many seconds; None: unknown), each begins an even share of an interval after the one before.
    A tick at which the target's previous check is under way waits for its end: a dead peer is
    checked at every tick though its time-out is as long as the interval. A tick beside one that
    waits, or that passed while our process stood still, is lost and told to ``on_missed(target,
    count, ours)``, with how many of the ``count`` were lost while our process stood still. No other
    target notices.

    ``node`` is our own node's name: it makes the trains of agents leave at different times.
    ``on_quiet()`` is called in a quiet moment: a check has ended, nothing is in line, no check has
    run for less than QUIET_AGE_SECONDS, and no tick is due within QUIET_AHEAD_SECONDS. It must not
    block for longer than that, and returns whether there is more to do: then it is called again,
    QUIET_PAUSE_SECONDS later. ``clock`` is the running event loop where none is given.

    All methods belong on the event loop.
    """

    def __init__(
        self,
        check: Callable[[Target], Coroutine[Any, Any, float | None]],
        *,
        on_missed: Callable[[Target, int, int], None],
        node: str,
        on_quiet: Callable[[], bool | None] | None = None,
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
        self._line: deque[_Ticker] = deque()
        """Due, and waiting for their turn."""
        self._ahead: _Ticker | None = None
        """Whose check the line waits for, until ``_let_on_at``."""
        self._let_on_at = 0.0
        self._pace_seconds = self._even_seconds = PACE_SECONDS
        self._held_up = 0.0
        """The share of the latest checks that were, each counting an eighth less than the next."""
        self._is_starved = False
        self._look_at: float | None = None
        """When to look whether the moment is quiet."""
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
                ticks = ticks_of(
                    self._node,
                    key=key,
                    interval=target.interval_seconds,
                    train_seconds=target.train_seconds,
                )
                kept[key] = _Ticker(target, ticks, now)
        self._tickers = kept
        self._heap = list(kept.values())
        heapq.heapify(self._heap)
        if kept:
            shortest = min(ticker.interval for ticker in kept.values())
            self._even_seconds = STARVED_SHARE * shortest / len(kept)
            self._pace_seconds = min(PACE_SECONDS, shortest / 2 / len(kept))
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
                self._look_for_quiet()
                self._wake.clear()
                timer = self._set_timer()
                try:
                    await self._wake.wait()
                finally:
                    if timer is not None:
                        timer.cancel()

    def _set_timer(self) -> Timer | None:
        at = [self._heap[0].due] if self._heap else []
        if self._line:
            at.append(self._let_on_at)
        if self._look_at is not None:
            at.append(self._look_at)
        return self._clock.call_at(min(at), self._wake.set) if at else None

    def _start_due(self, group: asyncio.TaskGroup) -> None:
        now = self._clock.time()
        lost: list[tuple[Target, int, int]] = []
        while self._heap and self._heap[0].due <= now:
            ticker = self._heap[0]
            missed = ours = ticker.pass_ticks(now)
            heapq.heapreplace(self._heap, ticker)
            if ticker.in_line or ticker.waits:
                missed += 1
            elif ticker.task is not None:
                ticker.waits = True
            else:
                ticker.in_line = True
                self._line.append(ticker)
            if missed:
                lost.append((ticker.target, missed, ours))
        if now >= self._let_on_at:
            self._ahead = None
        first = self._next_in_line() if self._ahead is None else None
        if first is not None:
            task = group.create_task(self._train(first))
            task.add_done_callback(self._left_behind)
            self._begin(first, task)
        for missed_of in lost:
            self._on_missed(*missed_of)

    def _next_in_line(self) -> _Ticker | None:
        while self._line:
            ticker = self._line.popleft()
            ticker.in_line = False
            if self._tickers.get(ticker.target.key) is ticker:  # else it is gone, or placed anew
                return ticker
        return None

    async def _train(self, ticker: _Ticker) -> None:
        """Check ``ticker`` and whoever stands in line then, as long as nobody has let them on.

        One task: between two checks others on the loop have one turn, and nothing else is done.
        """
        task = asyncio.current_task()
        assert task is not None
        while True:
            self._note_held_up(await self._check(ticker.target))
            following = self._next_in_line() if self._ahead is ticker else None
            self._end(ticker)
            if following is None:
                self._wake.set()
                return
            ticker = following
            begins_at = self._let_on_at if self._is_starved else 0.0
            self._begin(ticker, task, begins_at)
            await self._wait_until(begins_at)

    async def _wait_until(self, when: float) -> None:
        if when <= self._clock.time():
            await asyncio.sleep(0)
            return
        come = asyncio.Event()
        timer = self._clock.call_at(when, come.set)
        try:
            await come.wait()
        finally:
            timer.cancel()

    def _note_held_up(self, seconds: float | None) -> None:
        if seconds is not None:
            self._held_up += ((seconds > HELD_UP_SECONDS) - self._held_up) / _LATEST
            limit = STARVED_UNTIL if self._is_starved else STARVED_FROM
            self._is_starved = self._held_up > limit

    def _begin(self, ticker: _Ticker, task: asyncio.Task[None], when: float = 0.0) -> None:
        ticker.started = max(when, self._clock.time())
        ticker.task = task
        gap_seconds = self._even_seconds if self._is_starved else self._pace_seconds
        self._ahead, self._let_on_at = ticker, ticker.started + gap_seconds
        self._running[ticker] = None

    def _end(self, ticker: _Ticker) -> None:
        ticker.task = None
        del self._running[ticker]
        if self._ahead is ticker:
            self._ahead = None
        if ticker.waits:
            ticker.waits, ticker.in_line = False, True
            self._line.appendleft(ticker)  # its tick was before theirs, or with them
        if self._on_quiet is not None:
            self._look_at = self._clock.time()

    def _left_behind(self, task: asyncio.Task[None]) -> None:
        """A check that was cancelled, maybe before its first step, has ended, too."""
        for ticker in [one for one in self._running if one.task is task]:
            self._end(ticker)
            self._wake.set()

    def _look_for_quiet(self) -> None:
        """Call the hook if it is time to look and the moment is quiet."""
        now = self._clock.time()
        if self._on_quiet is None or self._look_at is None or now < self._look_at:
            return
        self._look_at = None
        if self._ahead is not None or self._line or self._is_due(now + QUIET_AHEAD_SECONDS):
            return  # the end of what comes is the next one to look at
        youngest = next(reversed(self._running), None)
        if youngest is not None and now - youngest.started < QUIET_AGE_SECONDS:
            self._look_at = youngest.started + QUIET_AGE_SECONDS
        elif self._on_quiet():
            self._look_at = now + QUIET_PAUSE_SECONDS

    def _is_due(self, at: float) -> bool:
        return bool(self._heap) and self._heap[0].due < at
