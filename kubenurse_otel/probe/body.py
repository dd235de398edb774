"""A body's bytes, by each framing of RFC 9112 section 6: counted, bounded and dropped.

Chunks are read as Go's net/http reads them (answer.py says why), with its bounds on their framing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from kubenurse_otel.errors import ClosedEarlyError, MalformedResponseError
from kubenurse_otel.probe.buffer import without_end
from kubenurse_otel.probe.fields import FieldLines, quoted

if TYPE_CHECKING:
    from kubenurse_otel.probe.buffer import Buffer

MAX_CONTENT_BYTES: Final = 65_536
"""The most bytes of content that are read of a body."""
MAX_WIRE_BYTES: Final = 2 * MAX_CONTENT_BYTES
"""The same with the framing of its chunks."""
# Go's: what a chunk's size may hold with its extensions, all trailers, and bytes of framing beyond
# what an honest sender needs.
MAX_CHUNK_LINE_BYTES: Final = 4096
MAX_TRAILER_BYTES: Final = 4096
MAX_EXCESS_BYTES: Final = 16_384

_CHUNK_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,16}").fullmatch


class SizedBody:
    """A body as long as Content-Length says. A missing body is one of 0 bytes."""

    __slots__ = ("_buffer", "_left", "chunks", "content_bytes", "finished", "whole")

    def __init__(self, buffer: Buffer, length: int) -> None:
        self._buffer = buffer
        self._left = length
        self.content_bytes = 0
        self.chunks = 0
        self.finished = self.whole = length == 0
        """``finished``: no more of it is wanted. ``whole``: its end was reached."""

    def step(self) -> bool:
        """Take one piece (content, chunk or trailer). False if bytes are missing or nothing is
        left. Raises MalformedResponseError.
        """
        self._take_content()
        if not self._left:
            self._finish()
        return False

    def end(self) -> None:
        """The far end has closed. Raises ClosedEarlyError where that is not the body's end."""
        raise ClosedEarlyError("in the middle of its answer")

    def _take_content(self) -> None:
        size = min(self._left, len(self._buffer))
        self._buffer.skip(size)
        self._left -= size
        self.content_bytes += size
        if self.content_bytes > MAX_CONTENT_BYTES:
            self.finished = True

    def _finish(self) -> None:
        self.whole = not self.finished  # else its bound came first
        self.finished = True


class UnsizedBody(SizedBody):
    """A body that ends with the connection."""

    __slots__ = ()

    def __init__(self, buffer: Buffer) -> None:
        super().__init__(buffer, MAX_CONTENT_BYTES + 1)

    def end(self) -> None:
        self._finish()


class ChunkedBody(SizedBody):
    """Chunks, then trailers (RFC 9112 section 7.1)."""

    __slots__ = ("_excess_bytes", "_in_chunk", "_in_trailers", "_wire_bytes")

    def __init__(self, buffer: Buffer) -> None:
        super().__init__(buffer, 0)
        self.finished = self.whole = False
        self._in_chunk = self._in_trailers = False
        self._excess_bytes = self._wire_bytes = 0

    def step(self) -> bool:
        if self._in_trailers:
            return self._trailers()
        more = self._chunk() if self._in_chunk else self._chunk_line()
        if self._wire_bytes + self.content_bytes > MAX_WIRE_BYTES:
            self.finished = True
        return more and not self.finished

    def _chunk_line(self) -> bool:
        if not self._buffer.has_line(within=MAX_CHUNK_LINE_BYTES):
            if len(self._buffer) >= MAX_CHUNK_LINE_BYTES:
                raise MalformedResponseError("a chunk's size and extensions over 4 KiB")
            return False
        line = self._buffer.line()
        assert line is not None
        self._wire_bytes += len(line)
        if line.find(b"\r") != len(line) - 2:  # no lenience here: RFC 9112 errata 7633
            raise MalformedResponseError(
                f"a chunk's size that does not end in CRLF: {quoted(line)}"
            )
        size = line[:-2].rstrip(b" \t").partition(b";")[0]
        if not _CHUNK_SIZE(size):
            raise MalformedResponseError(f"not a chunk's size: {quoted(size)}")
        self.chunks += 1
        self._left = int(size, 16)
        self._excess_bytes = max(0, self._excess_bytes + len(line) - 16 - 2 * self._left)
        self._in_chunk = self._left > 0
        self._in_trailers = not self._in_chunk
        if self._in_chunk and self._excess_bytes > MAX_EXCESS_BYTES:
            raise MalformedResponseError("more chunk framing than an answer")
        return True

    def _chunk(self) -> bool:
        self._take_content()
        end = self._buffer.peek(2)
        if self._left or self.finished or len(end) < 2:
            return False
        if end != b"\r\n":
            raise MalformedResponseError("a chunk that is not as long as it says")
        self._buffer.skip(2)
        self._wire_bytes += 2
        self._in_chunk = False
        return True

    def _trailers(self) -> bool:
        start = self._buffer.peek(MAX_TRAILER_BYTES)
        if start.startswith(b"\r\n"):
            self._buffer.skip(2)
            self._finish()
            return False
        if b"\r\n\r\n" not in start:
            if len(start) == MAX_TRAILER_BYTES:
                raise MalformedResponseError("trailers over 4 KiB")
            return False
        fields = FieldLines()
        while line := without_end(self._buffer.line() or b"\n"):
            fields.add(line)
        self._finish()
        return False
