"""A store of Kubernetes objects, kept up to date by list and watch, in a thread of its own.

Owns resource versions, bookmarks, 410, back-off and the jitter of re-lists. Knows neither pods
nor nodes: ``decode`` makes (key, item) of an object. The last items stay whatever goes wrong.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from dataclasses import field
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import msgspec

from kubenurse_otel import unhandled
from kubenurse_otel.discovery.api import Answer, ApiError, ApiServer, Problem
from kubenurse_otel.discovery.listing import MAX_ITEM_BYTES, MAX_LIST_BYTES, ListError, read_list
from kubenurse_otel.discovery.schema import Bookmark, Status, WatchEvent
from kubenurse_otel.errors import without_frames
from kubenurse_otel.record import record
from kubenurse_otel.unhandled import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from kubenurse_otel.discovery.timings import Timings

Item = TypeVar("Item")

MAX_ITEMS: Final = 20_000
MAX_SHORT_BYTES: Final = 8 * 1024 * 1024
"""The most bytes of a short list: 20,000 rows have 6 MB."""
MAX_WATCH_BYTES: Final = 128 * 1024 * 1024
"""The most bytes within the five minutes of a watch. A watch that brings more is started again with
a list.
"""

_EVENT: Final = msgspec.json.Decoder(WatchEvent)
_STATUS: Final = msgspec.json.Decoder(Status)
_BOOKMARK: Final = msgspec.json.Decoder(Bookmark)


@record(frozen=True, slots=True, kw_only=True)
class ShortForm(Generic[Item]):
    """A list with one row per object, for more than ``above`` objects."""

    above: int
    accept: str
    query: dict[str, str]
    decode: Callable[[bytes, Mapping[str, Item]], tuple[str, dict[str, Item]]]
    """Turns the whole body and the last items into (resourceVersion, items). Raises DecodeError."""


@record(frozen=True, slots=True, kw_only=True)
class ListWatch(Generic[Item]):
    """What to list and watch. ``name`` is for people ("pods in namespace x")."""

    name: str
    path: str
    query: dict[str, str]
    decode: Callable[[bytes], tuple[str, Item]]
    """Raises msgspec.DecodeError."""
    max_items: int = MAX_ITEMS
    short: ShortForm[Item] | None = None
    """How to poll with lists if there are too many objects to watch. None: always watch."""


@record(frozen=True, slots=True)
class Snapshot(Generic[Item]):
    """``heard_at`` is time.monotonic() of the server's last word, None before the first list."""

    items: dict[str, Item] = field(default_factory=dict)
    heard_at: float | None = None
    problem: ApiError | None = None


class Informer(Generic[Item]):
    """Keeps ``snapshot()`` up to date; calls ``on_change`` in its own thread.

    Ends when ``stopping`` is set; the server's ``close`` interrupts what it reads.
    ``expected`` is asked before the first list about how many items there will be.
    """

    def __init__(
        self,
        server: ApiServer,
        list_watch: ListWatch[Item],
        timings: Timings,
        *,
        stopping: threading.Event,
        on_change: Callable[[], None],
        expected: Callable[[], int] = lambda: 0,
    ) -> None:
        self._server = server
        self._list_watch = list_watch
        self._timings = timings
        self._on_change = on_change
        self._expected = expected
        self._lock = threading.Lock()
        self._items: dict[str, Item] = {}
        self._heard_at: float | None = None
        self._problem: ApiError | None = None
        self._version: str | None = None
        self._told_at = 0.0
        """time.monotonic() of the latest list, event or bookmark."""
        self._failures = 0
        self._is_large = False
        self._stopping = stopping
        self._hurried = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"informer {list_watch.name}", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def join(self, seconds: float) -> None:
        if self._thread.is_alive():
            self._thread.join(seconds)

    def hurry(self) -> None:
        """Say that the last short list is outdated: the next one comes sooner."""
        self._hurried.set()

    def snapshot(self) -> Snapshot[Item]:
        with self._lock:
            return Snapshot(dict(self._items), self._heard_at, self._problem)

    # --- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        expected = self._expected()
        self._note_size(expected)
        self._pause(random.uniform(0, self._timings.start_jitter(expected)))  # noqa: S311 - jitter
        while not self._stopping.is_set():
            try:
                if self._is_large:
                    self._list_short()
                    self._wait_for_next_list()
                elif self._version is None or self._is_untold():
                    self._list()
                else:
                    self._watch(self._version)
            except ApiError as error:
                self._failed(error)
            except Exception as error:  # noqa: BLE001 - the edge of one request: the items stay
                unhandled.caught(Part.DISCOVERY, error, about=self._list_watch.name)
                self._failed(
                    ApiError(
                        Problem.INVALID,
                        f"following {self._list_watch.name} met a bug, {type(error).__name__}:"
                        " see the agent's log",
                    )
                )

    def _note_size(self, size: int) -> None:
        """Choose between watching and listing, with hysteresis at the border."""
        if self._list_watch.short is not None:
            border = self._list_watch.short.above * (0.8 if self._is_large else 1.0)
            self._is_large = size > border

    def _is_untold(self) -> bool:
        """Whether watches have told nothing for as long as one lasts.

        The cluster is quiet, or the server is behind our version, as after etcd was restored from a
        backup: then it tells nothing, no error either, until it has caught up. A list is megabytes
        in a large cluster, so it is not for each watch that somebody ends early.
        """
        return time.monotonic() - self._told_at >= self._timings.watch

    def _list_short(self) -> None:
        short = self._list_watch.short
        assert short is not None
        answer = self._server.get(
            self._list_watch.path,
            self._list_watch.query | short.query | {"resourceVersion": "0"},
            asked=f"list {self._list_watch.name}",
            read_seconds=self._timings.list_read,
            max_bytes=MAX_SHORT_BYTES,
            accept=short.accept,
            compressed=True,
        )
        with answer:
            content = answer.read()
        try:
            _, items = short.decode(content, self._items)
        except (msgspec.DecodeError, RecursionError) as error:
            raise self._not_understood("list", str(error)) from None
        with self._lock:
            self._items = dict(itertools.islice(items.items(), self._list_watch.max_items))
        self._version = None
        self._note_size(len(items))
        self._heard()

    def _list(self) -> None:
        items: dict[str, Item] = {}
        max_items = self._list_watch.max_items

        def take(content: bytes) -> None:
            if len(items) < max_items:
                key, item = self._list_watch.decode(content)
                items[key] = item

        # From the API server's cache and not etcd: 5,000 agents may ask at once.
        answer = self._server.get(
            self._list_watch.path,
            self._list_watch.query | {"resourceVersion": "0"},
            asked=f"list {self._list_watch.name}",
            read_seconds=self._timings.list_read,
            max_bytes=MAX_LIST_BYTES,
            compressed=True,
        )
        with answer:
            try:
                version = read_list(answer.chunks(), take)
            except ListError as error:
                raise self._not_understood("list", str(error)) from None
        with self._lock:
            self._items = items
        self._version = version
        self._told_at = time.monotonic()
        self._note_size(len(items))
        self._heard()

    def _watch(self, version: str) -> None:
        seconds = self._timings.watch * random.uniform(1, 2)  # noqa: S311 - jitter
        started = time.monotonic()
        answer = self._server.get(
            self._list_watch.path,
            self._list_watch.query
            | {
                "watch": "true",
                "allowWatchBookmarks": "true",
                "resourceVersion": version,
                "timeoutSeconds": str(max(1, int(seconds))),
            },
            asked=f"watch {self._list_watch.name}",
            read_seconds=seconds + self._timings.watch_grace,
            max_bytes=MAX_WATCH_BYTES,
            total_seconds=seconds + 2 * self._timings.watch_grace,
        )
        with answer:
            self._heard()
            for line in self._lines(answer):
                self._take_event(line)
        if time.monotonic() - started < self._timings.backoff:
            self._pause(self._timings.backoff)  # A server that ends every watch at once.

    def _lines(self, answer: Answer) -> Iterator[bytes]:
        rest = bytearray()
        for chunk in answer.chunks():
            head, *lines = chunk.split(b"\n")
            rest += head  # in place: an event that comes byte by byte is not copied with each
            if len(rest) > MAX_ITEM_BYTES:
                raise self._not_understood("watch", "an event without end")
            for line in lines:
                yield bytes(rest)
                rest = bytearray(line)

    def _take_event(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            event = _EVENT.decode(line)
            if event.type == "ERROR":
                raise self._watch_error(_STATUS.decode(event.object))
            metadata = _BOOKMARK.decode(event.object).metadata
            if event.type in ("ADDED", "MODIFIED", "DELETED"):
                key, item = self._list_watch.decode(bytes(event.object))
                with self._lock:
                    if event.type == "DELETED":
                        self._items.pop(key, None)
                    elif key in self._items or len(self._items) < self._list_watch.max_items:
                        self._items[key] = item
        except (msgspec.DecodeError, RecursionError) as error:
            self._version = None
            raise self._not_understood("watch", str(error)) from None
        self._version = metadata.resource_version
        self._told_at = time.monotonic()
        self._heard()

    def _watch_error(self, status: Status) -> ApiError:
        if status.code == 410:
            return ApiError(Problem.GONE, f"watching {self._list_watch.name}: too far behind (410)")
        return ApiError(
            Problem.REFUSED, f"watching {self._list_watch.name} ended with {status.code}"
        )

    # --- what went well, what went wrong --------------------------------------------------------

    def _heard(self) -> None:
        with self._lock:
            self._heard_at = time.monotonic()
            self._problem = None
        self._failures = 0
        self._on_change()

    def _failed(self, error: ApiError) -> None:
        without_frames(error)  # it is kept, and they hold what was read
        if self._stopping.is_set():
            return
        if error.problem in (Problem.UNREACHABLE, Problem.UNAUTHORIZED):
            self._server.renew()
        elif error.problem is not Problem.THROTTLED:
            self._version = None
        if error.problem is Problem.GONE:
            # Not wrong but behind: list again, and not all agents in the same second.
            self._pause(random.uniform(0, self._timings.relist_jitter(len(self._items))))  # noqa: S311
            return
        with self._lock:
            self._problem = error
        self._on_change()
        backoff = min(self._timings.max_backoff, self._timings.backoff * 2.0**self._failures)
        self._failures = min(self._failures + 1, 20)
        wait = random.uniform(backoff / 2, backoff)  # noqa: S311 - jitter
        self._pause(max(wait, error.retry_after_seconds or 0.0))

    def _not_understood(self, verb: str, what: str) -> ApiError:
        return ApiError(
            Problem.INVALID,
            f"the API server's answer to {verb} {self._list_watch.name} is not understood:"
            f" {what[:200]}",
        )

    def _wait_for_next_list(self) -> None:
        spread = random.uniform(0.75, 1.25)  # noqa: S311 - jitter
        started = time.monotonic()
        self._hurried.clear()
        self._pause(self._timings.hurried_poll * spread)
        while not self._stopping.is_set() and not self._hurried.is_set():
            left = started + self._timings.poll * spread - time.monotonic()
            if left <= 0:
                break
            self._pause(min(left, self._timings.tick))

    def _pause(self, seconds: float) -> None:
        self._stopping.wait(seconds)
