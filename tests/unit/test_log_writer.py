"""The thread that writes log lines: whoever logs never waits, and what is lost is counted."""

from __future__ import annotations

import errno
import io
import logging
import os
import time
from typing import TYPE_CHECKING

import pytest

from kubenurse_otel import log_writer
from kubenurse_otel.log_writer import MAX_BYTES, MAX_LINES, LogWriter

if TYPE_CHECKING:
    from collections.abc import Iterator


def record(text: str, *args: object) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": text, "args": args, "name": "x"})


@pytest.fixture
def pipe() -> Iterator[tuple[int, io.TextIOWrapper]]:
    """A pipe's end for reading, and its other end as a stream."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        yield reader, stream
    os.close(reader)


def read_until(reader: int, end: bytes) -> bytes:
    found = b""
    while end not in found:
        found += os.read(reader, 65536)
    return found


def test_lines_are_written_in_their_order(pipe: tuple[int, io.TextIOWrapper]) -> None:
    """All of them, by one thread, which is there from the first line on."""
    reader, stream = pipe
    writer = LogWriter(stream)
    for number in range(100):
        writer.emit(record("line %d", number))
    writer.flush()
    written = read_until(reader, b"line 99\n").splitlines()
    assert written == [b"line %d" % number for number in range(100)]
    assert writer.dropped == 0


def test_a_pipe_that_nobody_reads_holds_nobody_up(pipe: tuple[int, io.TextIOWrapper]) -> None:
    """Lines are bounded in number and in bytes; what is lost is counted, and said afterwards."""
    reader, stream = pipe
    writer = LogWriter(stream)
    for _ in range(MAX_LINES + 500):
        writer.emit(record("x" * 1000))  # 64 KiB fit the pipe
    assert writer.dropped > 0
    assert writer._bytes <= MAX_BYTES
    assert len(writer._lines) <= MAX_LINES
    lost = writer.dropped
    started = time.monotonic()
    writer.flush(0.05)
    assert time.monotonic() - started < 5  # and not for ever

    written = read_until(reader, b"are missing here")
    assert written.count(b"x" * 1000) == MAX_LINES + 500 - lost
    assert f"{lost} log lines are missing here".encode() in written


def test_small_lines_are_bounded_in_number(pipe: tuple[int, io.TextIOWrapper]) -> None:
    """A thousand objects of a byte are no little memory either."""
    _, stream = pipe
    writer = LogWriter(stream)
    writer.emit(record("x" * 200_000))  # fills the pipe: the thread waits
    for _ in range(MAX_LINES + 10):
        writer.emit(record("y"))
    assert len(writer._lines) <= MAX_LINES
    assert writer.dropped in (10, 9)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EPIPE, errno.EIO])
def test_what_cannot_be_written_is_counted(number: int) -> None:
    """A full disk and a reader that is gone raise nothing at whoever logs."""

    class Broken(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(number, os.strerror(number))

    writer = LogWriter(Broken())
    writer.emit(record("lost"))
    writer.flush()
    assert writer.dropped >= 1


def test_a_descriptor_that_does_not_block_is_waited_for(
    pipe: tuple[int, io.TextIOWrapper],
) -> None:
    """Terminals and pipes are shared with processes that make them so."""
    reader, stream = pipe
    os.set_blocking(stream.fileno(), False)
    writer = LogWriter(stream)
    for _ in range(200):
        writer.emit(record("x" * 1000))
    writer.emit(record("last"))
    assert read_until(reader, b"last\n").count(b"x" * 1000) == 200


def test_a_line_that_cannot_be_formatted_is_said() -> None:
    """And nothing is raised at whoever logged it."""
    stream = io.StringIO()
    writer = LogWriter(stream)
    writer.emit(record("%d", "no number"))
    writer.flush()
    assert stream.getvalue() == "a line of x cannot be shown: '%d'\n"


def test_no_standard_error_is_nobody_who_listens() -> None:
    """A process that was started with it closed."""
    writer = log_writer.install(None)
    writer.emit(record("unheard"))
    writer.flush()
    assert log_writer.dropped() == sum(one.dropped for one in log_writer._writers)
