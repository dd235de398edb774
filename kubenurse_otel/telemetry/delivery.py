"""Delivers one batch to one exporter: tries, waits, counts, and writes few log lines.

Owns when an export is tried again, and what of its answers is counted and told. How it is sent is
the exporter's.
"""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

from kubenurse_otel import semconv, unhandled
from kubenurse_otel.telemetry.answers import Answer, Result, failure
from kubenurse_otel.text import printable
from kubenurse_otel.unhandled import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kubenurse_otel.config import OtlpConfig
    from kubenurse_otel.telemetry.instruments import Instruments

_log = logging.getLogger(__name__)

BACKOFF_SECONDS: Final = (1.0, 4.0)
"""Seconds to wait before the second and the third try. A far end may ask for longer."""
LONGEST_WAIT_SECONDS: Final = 60.0
"""The longest wait in seconds that a far end may ask for: its "in a year" must not silence us for a
year.
"""
QUIET_SECONDS: Final = 600.0
"""Seconds after which a rejection is logged again."""
_MOST_CAUSES: Final = 20
_LONGEST_REASON: Final = 400
_SHORTEST_SECRET: Final = 6
_USER_AND_QUERY: Final = re.compile(r"(?<=://)[^\s/@]*@|(?<=\?)[^\s'\")]+")

T_contra = TypeVar("T_contra", contravariant=True)
T = TypeVar("T")


class Exporter(Protocol[T_contra]):
    """Sends one batch, once."""

    def export(self, data: T_contra, *, deadline: float) -> Answer:
        """Send and say what became of it; ``deadline`` is of time.monotonic."""

    def close(self) -> None:
        """Cut off what runs, from any thread. May wait for a moment."""


class Delivery(Generic[T]):
    """Delivers batches of one signal to one place, for one thread.

    `stop` and `gave_up` may come from another.

    ``make_exporter`` is called until it raises no OSError or ValueError: a missing file is looked
    for again.
    """

    def __init__(
        self,
        make_exporter: Callable[[], Exporter[T]],
        *,
        signal: str,
        otlp: OtlpConfig | None,
        instruments: Instruments,
        backoff_seconds: Sequence[float] = BACKOFF_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make_exporter = make_exporter
        self._exporter: Exporter[T] | None = None
        self._instruments = instruments
        self._signal = signal
        self._backoff_seconds = tuple(backoff_seconds)
        self._telling = _Telling(signal, otlp, clock)
        self._clock = clock
        self.stopping = threading.Event()
        self.deadline = float("inf")
        """Seconds of time.monotonic: nothing is sent after it."""

    def stop(self, *, deadline: float) -> None:
        """End waits; from now on each batch is tried once, until ``deadline``."""
        self.deadline = deadline
        self.stopping.set()

    def close(self) -> None:
        """Cut off what runs."""
        if self._exporter is not None:
            self._exporter.close()

    def deliver(self, data: T, *, deadline: float = float("inf")) -> bool:
        """Send one batch, and again where that may help; False where it was not taken.

        A batch of which a part was rejected was taken: the same part would be rejected again.
        Waits end before ``deadline``.
        """
        for backoff in (*self._backoff_seconds, None):
            answer = self._try(data, min(deadline, self.deadline))
            self._note(answer)
            if answer.result is not Result.FAILURE:
                return True
            if backoff is None or not answer.retryable:
                return False
            wait = backoff * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
            wait = min(max(wait, answer.retry_after_seconds or 0.0), LONGEST_WAIT_SECONDS)
            if self._clock() + wait >= deadline or self.stopping.wait(wait):
                return False
        return False

    def gave_up(self, reason: str) -> None:
        """Count and log a failure that happened before any exporter was involved."""
        self._note(failure(reason, reason))

    def _try(self, data: T, deadline: float) -> Answer:
        try:
            exporter = self._exporter = self._exporter or self._make_exporter()
        except (OSError, ValueError) as error:
            return failure(str(error), str(error))
        try:
            return exporter.export(data, deadline=deadline)
        except Exception as error:  # noqa: BLE001 - the edge of one export: the next one may be good
            unhandled.caught(Part.EXPORT, error, about=self._signal)
            said = f"a bug, {type(error).__name__}"
            return failure(said, said)

    def _note(self, answer: Answer) -> None:
        """Log first, then count, so that whoever sees the count finds the line."""
        self._telling.tell(answer)
        labels = {"signal": self._signal, "result": answer.result.value}
        self._instruments.add(semconv.TELEMETRY_EXPORTS, 1, labels)
        if answer.rejected:
            self._instruments.add(
                semconv.TELEMETRY_REJECTED_ITEMS, answer.rejected, {"signal": self._signal}
            )


class _Telling:
    """What is logged about one collector: each kind of failure once, until exports work again."""

    def __init__(self, signal: str, otlp: OtlpConfig | None, clock: Callable[[], float]) -> None:
        self._signal = signal
        self._where = _without_secrets(otlp.endpoint) if otlp else "the console"
        self._secrets = _secrets(otlp) if otlp else []
        self._clock = clock
        self._failures: set[str] = set()
        self._noted: dict[str, float] = {}

    def tell(self, answer: Answer) -> None:
        if answer.result is Result.FAILURE:
            self._tell_failure(answer)
            return
        if self._failures:
            self._failures.clear()
            _log.warning("exporting %s to %s works again", self._signal, self._where)
        if answer.reason:
            self._tell_note(answer)

    def _tell_failure(self, answer: Answer) -> None:
        if answer.cause in self._failures or len(self._failures) >= _MOST_CAUSES:
            return
        self._failures.add(answer.cause)
        _log.error(
            "cannot export %s to %s: %s (said once until it works again;"
            " kubenurse_telemetry_exports_total counts)",
            self._signal,
            self._where,
            self._shown(answer.reason),
        )

    def _tell_note(self, answer: Answer) -> None:
        """Log what the collector said about an export that it took, whole or in part."""
        now = self._clock()
        last = self._noted.get(answer.cause, float("-inf"))
        self._noted[answer.cause] = now
        if now - last >= QUIET_SECONDS:
            _log.warning(
                "exporting %s to %s: %s (said once while it goes on%s)",
                self._signal,
                self._where,
                self._shown(answer.reason),
                "; kubenurse_telemetry_rejected_items_total counts"
                if answer.rejected
                else "; nothing was rejected",
            )

    def _shown(self, reason: str) -> str:
        """Make text that may hold the far end's words safe for the log: one line, printable, short,
        and without our secrets.
        """
        for secret in self._secrets:
            reason = reason.replace(secret, "***")
        return printable(" ".join(_USER_AND_QUERY.sub("...", reason).split()), _LONGEST_REASON)


def _secrets(otlp: OtlpConfig) -> list[str]:
    """Secrets that a far end could send back: the headers' values, and "abc" of "Bearer abc"."""
    values = {value for _name, value in otlp.headers}
    words = {word for value in values for word in value.split()}
    return sorted(
        (secret for secret in values | words if len(secret) >= _SHORTEST_SECRET),
        key=len,
        reverse=True,
    )


def _without_secrets(endpoint: str) -> str:
    """The endpoint without user, password and query."""
    parts = urlsplit(endpoint)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
