"""A cache of single objects: read when they are picked or fail, and forgotten after.

Owns the reads, their cache and their bound; a read that fails leaves what was known. For one
thread.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import msgspec

from kubenurse_otel.discovery.api import ApiError, ApiServer, Problem
from kubenurse_otel.discovery.refusals import Refusals
from kubenurse_otel.errors import without_frames
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from kubenurse_otel.discovery.timings import Timings

View = TypeVar("View")

READ_SECONDS: Final = 5.0
MAX_BYTES: Final = 4 * 1024 * 1024
READS_A_PASS: Final = 20
"""The most reads per pass. Others follow in later passes, so that a first neighbourhood does not
wait for hundreds.
"""


@record(frozen=True, slots=True, kw_only=True)
class Kind(Generic[View]):
    """What a cache is of. ``asked`` is for people ("get nodes")."""

    asked: str
    path: str
    decode: Callable[[bytes], View]
    """Raises msgspec.DecodeError."""
    missing: View
    """The view of an object that the API server does not have."""
    is_gone: Callable[[View], bool]
    """Whether an object cannot be a neighbour. It is read again after ``Timings.leaving_cache``."""
    recheck_soon: Callable[[View], bool] = lambda _: False
    """Whether an object is to be read again soon, after ``Timings.not_ready_cache``."""


@record(frozen=True, slots=True)
class _Entry(Generic[View]):
    view: View
    read_at: float
    """Seconds of time.monotonic()."""


class ObjectCache(Generic[View]):
    """Views of the few objects that matter to us now, by name."""

    def __init__(self, server: ApiServer, timings: Timings, kind: Kind[View]) -> None:
        self._server = server
        self._timings = timings
        self._kind = kind
        self._entries: dict[str, _Entry[View]] = {}
        self._unread: set[str] = set()
        """Names whose last read failed. They are due until a read succeeds."""
        self._blocked_until = 0.0
        self._refusals = Refusals(
            soon=timings.node_cache, later=timings.forbidden, patience=timings.patience
        )
        self.problem: ApiError | None = None
        """Why the last read failed, None when it did not."""

    def view(self, name: str) -> View | None:
        entry = self._entries.get(name)
        return entry.view if entry is not None else None

    def read(self, names: Iterable[str], failed: Collection[str]) -> bool:
        """Read the names that are new or outdated, and those in ``failed`` that were read more than
        10 s ago. False if some are left over.
        """
        reads = 0
        for name in names:
            if not self._is_due(name, failed):
                continue
            if time.monotonic() < self._blocked_until:
                return True
            if reads == READS_A_PASS:
                return False
            self._read(name)
            reads += 1
        return True

    def gone(self) -> set[str]:
        """Return those that cannot be neighbours, until it is time to read them again."""
        oldest = time.monotonic() - self._timings.leaving_cache
        return {
            name
            for name, entry in self._entries.items()
            if entry.read_at > oldest and self._kind.is_gone(entry.view)
        }

    def retain(self, names: Collection[str]) -> None:
        """Forget all but these and those that cannot be neighbours."""
        gone = self.gone()
        self._entries = {
            name: entry for name, entry in self._entries.items() if name in names or name in gone
        }
        self._unread.intersection_update(names)
        if not self._unread:
            self.problem = None

    def _is_due(self, name: str, failed: Collection[str]) -> bool:
        entry = self._entries.get(name)
        if entry is None or name in self._unread:
            return True
        age = time.monotonic() - entry.read_at
        if self._kind.is_gone(entry.view):
            return age >= self._timings.leaving_cache
        if self._kind.recheck_soon(entry.view) and age >= self._timings.not_ready_cache:
            return True
        return name in failed and age >= self._timings.node_cache

    def _read(self, name: str) -> None:
        try:
            view = self._ask(name)
        except ApiError as error:
            self.problem = without_frames(error)
            self._unread.add(name)
            # Not one time-out a name: ask for none while the server does not answer.
            self._blocked_until = time.monotonic() + self._refusals.wait_after(error.problem)
            return
        self._refusals.wait_after(None)
        self.problem = None
        self._unread.discard(name)
        self._entries[name] = _Entry(view, time.monotonic())

    def _ask(self, name: str) -> View:
        try:
            answer = self._server.get(
                f"{self._kind.path}/{name}",
                {"resourceVersion": "0"},
                asked=self._kind.asked,
                read_seconds=READ_SECONDS,
                max_bytes=MAX_BYTES,
            )
            with answer:
                return self._kind.decode(answer.read())
        except ApiError as error:
            if error.problem is Problem.NOT_FOUND:
                return self._kind.missing
            raise
        except (msgspec.DecodeError, RecursionError) as error:
            raise ApiError(
                Problem.INVALID,
                f"the API server's answer to {self._kind.asked} is not understood: {error}",
            ) from None
