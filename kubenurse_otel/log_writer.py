"""Log lines on their way out: a bounded queue, and the thread that writes.

Whoever logs never waits: a pipe that nobody reads holds the thread alone. What does not fit is
dropped and counted, and said when lines can be written again. Owns no format.
"""

from __future__ import annotations

import io
import logging
import os
import select
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LINES: Final = 2000
MAX_BYTES: Final = 1024 * 1024
FLUSH_SECONDS: Final = 1.0


class LogWriter(logging.Handler):
    """Writes to ``stream`` in a thread of its own, which starts with the first line.

    The queue holds MAX_LINES lines and MAX_BYTES bytes. Lines that cannot be written (a full disk,
    a pipe without reader) are dropped, too.
    """

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__()
        self._write = _writer(stream)
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._dropped = 0
        self._told = 0
        self._changed = threading.Condition()
        self._busy = False
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        """How many lines were lost since the start."""
        return self._dropped

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the line. Raises nothing, and never waits for whoever reads it."""
        try:
            line = self._encoded(record)
        except Exception:  # noqa: BLE001 - arguments that do not fit the text, or that cannot be shown
            line = f"a line of {record.name} cannot be shown: {record.msg!r}\n".encode(
                errors="backslashreplace"
            )
        with self._changed:
            if len(self._lines) >= MAX_LINES or self._bytes + len(line) > MAX_BYTES:
                self._dropped += 1
                return
            self._lines.append(line)
            self._bytes += len(line)
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()

    def flush(self, seconds: float = FLUSH_SECONDS) -> None:
        """Wait until all is written, at most so long (also at the interpreter's end)."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while self._lines or self._busy:
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    return

    def _encoded(self, record: logging.LogRecord) -> bytes:
        return (self.format(record) + "\n").encode(errors="backslashreplace")

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._lines)
                self._busy = True
                line = self._lines.popleft()
                self._bytes -= len(line)
                caught_up = not self._lines
            self._put(line)
            if caught_up and self._dropped > self._told:
                self._say_what_is_missing()

    def _put(self, line: bytes) -> None:
        try:
            self._write(line)
        except (OSError, ValueError):  # ValueError: a stream that was closed
            with self._changed:
                self._dropped += 1

    def _say_what_is_missing(self) -> None:
        missing, self._told = self._dropped - self._told, self._dropped
        self._put(
            self._encoded(
                logging.makeLogRecord(
                    {
                        "name": __name__,
                        "levelno": logging.WARNING,
                        "levelname": "WARNING",
                        "msg": "%d log lines are missing here: they could not be written in time",
                        "args": (missing,),
                    }
                )
            )
        )


def _writer(stream: TextIO | None) -> Callable[[bytes], object]:
    """Straight to the descriptor where there is one: no lock and no buffer that others wait for."""
    if stream is None:  # closed by whoever started us
        return len
    try:
        descriptor = stream.fileno()
    except (io.UnsupportedOperation, AttributeError):
        return lambda line: stream.write(line.decode())

    def write(line: bytes) -> None:
        view = memoryview(line)
        while view:
            try:
                view = view[os.write(descriptor, view) :]
            except BlockingIOError:  # somebody has made our standard error non-blocking
                select.select((), (descriptor,), ())

    return write


_writers: Final[list[LogWriter]] = []


def install(stream: TextIO | None) -> LogWriter:
    """Make the process's one; ``dropped`` counts its losses and those of any before it."""
    writer = LogWriter(stream)
    _writers.append(writer)
    return writer


def flush(seconds: float) -> None:
    """Wait until all lines are written, at most so long for each writer (there is one)."""
    for writer in _writers:
        writer.flush(seconds)


def dropped() -> int:
    """Lines that this process has lost."""
    return sum(writer.dropped for writer in _writers)
