"""When to collect and when to render: quiet moments, the scrape that is expected, and on demand.

Owns the cached bodies and the rule of staleness. The store holds the figures, exposition the
format; who calls `refresh`, and when, is the app's.
"""

from __future__ import annotations

import threading
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kubenurse_otel import unhandled
from kubenurse_otel.telemetry.exposition import CONTENT_TYPES, Exposition, Rendered
from kubenurse_otel.unhandled import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from kubenurse_otel.process.figures import GaugeSources
    from kubenurse_otel.telemetry.store import Store

FRESH_SECONDS: Final = 1.0
"""A body this young is served as it is."""
QUIET_SECONDS: Final = 5.0
"""A body this young is served if nothing was recorded since (gauges move without a record)."""
BUDGET_SECONDS: Final = 0.002
COLLECT_SECONDS: Final = 10.0
_EXPIRE_SECONDS: Final = 10.0
_LEAD_SECONDS: Final = 0.8
"""Seconds before the expected scrape at which the body is built. With the time that building takes,
less than FRESH_SECONDS.
"""
_SHORTEST_PERIOD_SECONDS: Final = 2.0
_LONGEST_PERIOD_SECONDS: Final = 300.0
_GZIP_LEVEL: Final = 1
_GZIP_WBITS: Final = zlib.MAX_WBITS | 16
"""zlib.h: with gzip's header."""
_GZIP_PIECE_BYTES: Final = 65_536


@dataclass(slots=True)
class _Body:
    made_at: float
    version: int
    rendered: Rendered


class Collection:
    """Turns records into series and series into bytes, in small pieces.

    Staleness: `render` serves a cached body while it is younger than FRESH_SECONDS, or younger
    than QUIET_SECONDS with nothing recorded since. Any other is made on demand: a collection and
    the lines of the series that changed since they were last rendered. To have a body ready,
    `refresh` makes it within the second before the next scrape is expected (they are periodic).
    """

    def __init__(  # the parts are Telemetry's to build
        self,
        store: Store,
        exposition: Exposition,
        *,
        gauges: GaugeSources,
        ttl_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._exposition = exposition
        self._gauges = gauges
        self._clock = clock
        self._lock = store.lock
        self._bodies: dict[tuple[int, bool], _Body] = {}
        self._pieces: Iterator[None] | None = None
        self._collected_at = self._expired_at = clock()
        self._expire_seconds = min(_EXPIRE_SECONDS, ttl_seconds / 4)
        self._last_scrape: float | None = None
        self._period_seconds: float | None = None
        self._asked: tuple[int, bool] | None = None
        self._prepared_for = 0.0
        self._wanted = threading.Event()
        self._done = threading.Event()

    def refresh(self, budget_seconds: float = BUDGET_SECONDS) -> bool:
        """Do pending work, piece by piece, for about ``budget_seconds``; True if more is pending.

        For the event loop's quiet moments: call it between checks, never inside one. A piece is a
        millisecond at most (a collection in a big cluster a few). Never raises for a broken gauge
        source. Costs a microsecond when nothing is due.
        """
        end = time.perf_counter() + budget_seconds
        with self._lock:
            if self._pieces is None:
                self._pieces = self._next_work(self._clock())
                if self._pieces is None:
                    return False
            for _ in self._pieces:
                if time.perf_counter() >= end:
                    return True
            self._pieces = None
            return False

    def _next_work(self, now: float) -> Iterator[None] | None:
        if self._wanted.is_set():
            return self._collect_all()
        expected = self._expected_scrape(now)
        if expected is not None and self._asked is not None and now >= expected - _LEAD_SECONDS:
            return self._prepare(expected, *self._asked)
        if now - self._collected_at >= COLLECT_SECONDS:
            return self._collect_only()
        return None

    def _expected_scrape(self, now: float) -> float | None:
        if self._last_scrape is None or self._period_seconds is None:
            return None
        expected = self._last_scrape + self._period_seconds
        if self._prepared_for == expected or now > expected + self._period_seconds:
            return None
        return expected

    def _collect_only(self) -> Iterator[None]:
        self._collect()
        yield from ()

    def _collect_all(self) -> Iterator[None]:
        self._collect()
        yield
        self._read_gauges()

    def _prepare(self, expected: float, form: int, gzip: bool) -> Iterator[None]:  # noqa: FBT001 - a key's part
        self._prepared_for = expected
        made_at = self._clock()
        self._collect()
        yield
        self._read_gauges()
        yield
        for _ in self._exposition.pieces(form):
            yield
        body, version = self._exposition.body(form), self._store.version
        if gzip:
            yield
            body = yield from _compressed(body)
        self._keep(form, body, gzip=gzip, made_at=made_at, version=version)

    def render(self, accept: str, *, gzip: bool = False) -> Rendered:
        """The exposition for a scrape with this Accept header, gzip-coded if asked.

        Safe from any thread; see the class for what is served from the cache.
        """
        with self._lock:
            now = self._clock()
            form = self._exposition.negotiate(accept)
            self._note_scrape(now, form, gzip=gzip)
            cached = self._bodies.get((form, gzip))
            if cached is not None:
                age = now - cached.made_at
                unchanged = cached.version == self._store.version
                if age < FRESH_SECONDS or (unchanged and age < QUIET_SECONDS):
                    return cached.rendered
            self._pieces = None
            self._collect()
            self._read_gauges()
            body = self._exposition.body(form)
            if gzip:
                body = zlib.compress(body, _GZIP_LEVEL, _GZIP_WBITS)
            return self._keep(form, body, gzip=gzip, made_at=now, version=self._store.version)

    def _keep(
        self, form: int, body: bytes, *, gzip: bool, made_at: float, version: int
    ) -> Rendered:
        rendered = Rendered(body, CONTENT_TYPES[form], "gzip" if gzip else "")
        # Beside the last one asked for only those that may still be served: who asks for one form
        # after the other costs each once a second. All of a big cluster are many megabytes.
        fresh = {
            key: body
            for key, body in self._bodies.items()
            if made_at - body.made_at < FRESH_SECONDS
        }
        self._bodies = fresh | {(form, gzip): _Body(made_at, version, rendered)}
        return rendered

    def _note_scrape(self, now: float, form: int, *, gzip: bool) -> None:
        self._asked = (form, gzip)
        if self._last_scrape is not None:
            period = now - self._last_scrape
            if period < _SHORTEST_PERIOD_SECONDS:
                return  # a second scraper, or a person: the period is of the first
            self._period_seconds = period if period <= _LONGEST_PERIOD_SECONDS else None
        self._last_scrape = now

    def collect_now(self) -> None:
        """Collect and read gauges at once (shutdown: the last figures)."""
        with self._lock:
            self._pieces = None
            self._collect()
            self._read_gauges()

    def await_fresh(self, timeout_seconds: float) -> None:
        """Ask the next `refresh` for a collection and wait for it; for other threads.

        If none comes in time (no quiet moment, or the loop hangs), collect here. Gauge sources
        belong to the loop's thread: one that fails here keeps its last reading.
        """
        self._done.clear()
        self._wanted.set()
        if not self._done.wait(timeout_seconds):
            with self._lock:
                self._collect()
                self._read_gauges(elsewhere=True)

    def _collect(self) -> None:
        now = self._clock()
        self._collected_at = now
        self._store.collected(time.time_ns())
        if now - self._expired_at >= self._expire_seconds:
            self._expired_at = now
            self._store.expire(now=now)

    def _read_gauges(self, *, elsewhere: bool = False) -> None:
        now_ns = time.time_ns()
        for metric, source in self._gauges.items():
            try:
                readings = list(source())
                self._store.set_gauge(metric, readings, now_ns=now_ns)
            except Exception as error:  # noqa: BLE001 - the edge of one gauge: the others stay
                if not elsewhere:
                    self._store.set_gauge(metric, (), now_ns=now_ns)
                    unhandled.caught(Part.EXPORT, error, about=metric.name)
        if self._wanted.is_set():
            self._wanted.clear()
            self._done.set()


def _compressed(body: bytes) -> Generator[None, None, bytes]:
    """Compress 64 KiB per step of the generator, and return all of it at the end."""
    compressor = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_WBITS)
    parts: list[bytes] = []
    for start in range(0, len(body), _GZIP_PIECE_BYTES):
        parts.append(compressor.compress(body[start : start + _GZIP_PIECE_BYTES]))
        yield
    return b"".join((*parts, compressor.flush()))
