"""One HTTP/1.1 answer out of bytes, piece by piece: what Go's net/http takes, within bounds.

Owns framing (RFC 9112 section 6) and the bounds on what a far end may send; no socket, no clock.
kubenurse, kubectl and most clients in a cluster are Go programs. What they read is no failure of
the network, so that Go's reader is the measure, in both directions. No library reads as it does
(h11 0.16; llhttp by httptools 0.9, as it is and with every leniency on):

    a far end sends                             Go 1.26   h11       llhttp    llhttp, lenient
    two spaces before the status                taken     refused   refused   refused
    `Name : value`                              taken     refused   refused   refused
    the same Content-Length twice               taken     taken     refused   refused
    bare LF in a head, obs-fold                 taken     taken     refused   taken
    Content-Length beside chunks                taken     taken     refused   taken
    a status below 100                          taken     refused   taken     taken
    Transfer-Encoding in HTTP/1.0 (no chunks)   taken     refused   refused   refused
    `Transfer-Encoding: gzip, chunked`          refused   refused   taken     taken
    bare LF in chunk framing                    refused   refused   refused   taken
    ESC in a header's value                     refused   taken     refused   taken

A space before the first header's name is refused by Go, too; before a later one's it is obs-fold.
Not as Go: a status is three digits (it reads `+20`), ten interim answers are enough, a head ends
within 64 KiB and 1,024 lines (Go: 10 MB), and a body is read no further than its bound.
The verdict depends on the bytes alone, never on how they were cut.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from kubenurse_otel.errors import (
    ClosedEarlyError,
    MalformedResponseError,
    ResponseHeadTooLargeError,
)
from kubenurse_otel.probe.body import ChunkedBody, SizedBody, UnsizedBody
from kubenurse_otel.probe.buffer import Buffer
from kubenurse_otel.probe.fields import FieldLines, Headers, elements, quoted, values

if TYPE_CHECKING:
    from kubenurse_otel.probe.fields import Field

MAX_HEAD_BYTES: Final = 65_536
"""Status line and headers, those of interim answers before it included."""
MAX_HEAD_LINES: Final = 1024
MAX_INTERIM_RESPONSES: Final = 10

_PROTOCOL: Final = b"HTTP/"
_END: Final = b"\r\n\r\n"
_VERSION: Final = re.compile(rb"HTTP/[0-9]\.[0-9]").fullmatch
_STATUS: Final = re.compile(rb"[0-9]{3}").fullmatch
_LENGTH: Final = re.compile(rb"[0-9]{1,1000}").fullmatch
_MAX_LENGTH: Final = 2**63 - 1
_OF_FRAMING: Final = frozenset({b"connection", b"content-length", b"trailer", b"transfer-encoding"})
_NO_TRAILERS: Final = frozenset({b"transfer-encoding", b"trailer", b"content-length"})


class Answer:
    """Feed it what comes until it is ``finished``; then status and headers are there.

    ``method`` is the request's: no body follows HEAD, nor a 2xx to CONNECT.
    """

    __slots__ = (
        "_body",
        "_buffer",
        "_fields",
        "_head_bytes",
        "_head_lines",
        "_method",
        "_status",
        "headers",
        "interim_count",
        "keep_alive",
        "status_code",
        "version",
    )

    def __init__(self, method: bytes) -> None:
        self.status_code = 0
        self.version = b""
        """The version as it came, such as b"HTTP/1.1"."""
        self.headers: Headers = []
        """Headers, with names in lower case."""
        self.keep_alive = False
        """Whether the far end says that it keeps the connection open."""
        self.interim_count = 0
        """Interim answers (1xx except 101) that came before this answer."""
        self._method = method
        self._buffer = Buffer()
        self._fields = FieldLines()
        self._status: int | None = None
        """The status of the head that is being read, once its first line is there."""
        self._head_bytes = self._head_lines = 0
        self._body: SizedBody | None = None

    @property
    def finished(self) -> bool:
        """True if no more bytes of the answer are wanted."""
        return self._body is not None and self._body.finished

    @property
    def begun(self) -> bool:
        """True if a byte of the answer is here, or of an interim answer that is not complete."""
        return self._body is not None or self._status is not None or len(self._buffer) > 0

    @property
    def whole(self) -> bool:
        """True if the answer was read to its end."""
        return self._body is not None and self._body.whole

    @property
    def content_bytes(self) -> int:
        """Bytes of the content that were read."""
        return self._body.content_bytes if self._body is not None else 0

    @property
    def chunks(self) -> int:
        """Number of chunks in which the body came."""
        return self._body.chunks if self._body is not None else 0

    @property
    def reusable(self) -> bool:
        """True if the connection can carry another exchange: nothing came beyond this answer."""
        return self.whole and self.keep_alive and not len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take in what came. Raises MalformedResponseError and ResponseHeadTooLargeError."""
        is_first = not self._head_bytes and not len(self._buffer)
        self._buffer.add(data)
        if is_first and data.startswith(_PROTOCOL):
            self._whole_head(data)
        while self._body is None:
            line = self._head_line()
            if line is None:
                return
            if self._status is None:
                self._status = self._status_of(line)
            elif line:
                self._fields.add(line)
            else:
                self._end_of_head(self._status, self._fields.take())
                self._status = None
        while not self._body.finished and self._body.step():
            pass

    def _whole_head(self, data: bytes) -> None:
        """Take a head that came in one piece and whose lines end in CRLF, as most do, in one go."""
        size = data.find(_END) + len(_END)
        lines = data[: size - len(_END)].split(b"\r\n")
        if not len(_END) <= size <= MAX_HEAD_BYTES or len(lines) >= MAX_HEAD_LINES:
            return
        if data.count(b"\n", 0, size) != len(lines) + 1:
            return
        self._head_bytes, self._head_lines = size, len(lines) + 1
        status = self._status_of(lines[0])
        self._fields.add_all(lines[1:])
        self._buffer.skip(size)
        self._end_of_head(status, self._fields.take())

    def end(self) -> None:
        """The far end has closed. Raises ClosedEarlyError where that is not the answer's end."""
        if self._body is not None:
            if not self._body.finished:
                self._body.end()
        elif self.begun:
            raise ClosedEarlyError("in the middle of its answer")
        elif self.interim_count:
            raise ClosedEarlyError("after an interim answer, without a final one")
        else:
            raise ClosedEarlyError("without an answer")

    def _head_line(self) -> bytes | None:
        """Return the next line without its end, None until it is there."""
        if self._status is None and not _PROTOCOL.startswith(self._buffer.peek(len(_PROTOCOL))):
            raise MalformedResponseError(f"it begins with {self._beginning()}, not with HTTP/")
        line = self._buffer.line()
        self._head_bytes += len(line or b"")
        if self._head_bytes + (len(self._buffer) if line is None else 0) > MAX_HEAD_BYTES:
            raise ResponseHeadTooLargeError(f"over {MAX_HEAD_BYTES // 1024} KiB")
        if line is None:
            return None
        self._head_lines += 1
        if self._head_lines > MAX_HEAD_LINES:
            raise ResponseHeadTooLargeError(f"over {MAX_HEAD_LINES} lines")
        return line[:-2] if line.endswith(b"\r\n") else line[:-1]  # RFC 9112 section 2.2

    def _beginning(self) -> str:
        """Quote what came instead of an answer, unless it is our own request sent back, which can
        hold secrets.
        """
        start = self._buffer.peek(64)
        if self._method.startswith(start[: len(self._method)]):
            return "our request"
        if start[:2] in {b"\x15\x03", b"\x16\x03"}:  # RFC 8446 section 5.1: alert, handshake
            return "a TLS record"
        return quoted(start)

    def _status_of(self, line: bytes) -> int:
        version, _, rest = line.partition(b" ")
        code = rest.lstrip(b" ").partition(b" ")[0]
        if not _VERSION(version) or not _STATUS(code):
            raise MalformedResponseError(f"not a status line: {quoted(line)}")
        self.version = version
        return int(code)

    def _end_of_head(self, status: int, fields: Headers) -> None:
        """RFC 9112 section 6.3. Of an interim answer, too, the framing must be sound."""
        said = tuple([field for field in fields if field[0] in _OF_FRAMING])
        size = sum([len(value) for _, value in said])
        known = _framing if size > _KEPT_BYTES else _known_framing
        framing = known(self.version, said)
        if 100 <= status <= 199 and status != 101:
            self.interim_count += 1
            if self.interim_count > MAX_INTERIM_RESPONSES:
                raise MalformedResponseError(f"over {MAX_INTERIM_RESPONSES} interim answers")
            return
        self.status_code, self.headers = status, fields
        self.keep_alive = framing.keep_alive
        tunnel = self._method == b"CONNECT" and 200 <= status <= 299
        if status in {101, 204, 304} or self._method == b"HEAD" or tunnel:
            self._body = SizedBody(self._buffer, 0)
            self.keep_alive = self.keep_alive and status != 101
        elif framing.is_chunked:
            self._body = ChunkedBody(self._buffer)
        elif framing.length is not None:
            self._body = SizedBody(self._buffer, framing.length)
        else:
            self._body = UnsizedBody(self._buffer)
            self.keep_alive = False


class _Framing(NamedTuple):
    """What an answer's headers say of its body's end, and of what comes after it."""

    is_chunked: bool
    length: int | None
    keep_alive: bool


def _framing(version: bytes, fields: tuple[Field, ...]) -> _Framing:
    """``fields`` are those of _OF_FRAMING. Raises MalformedResponseError."""
    headers = list(fields)
    is_chunked = _is_chunked(version, values(headers, b"transfer-encoding"))
    length = _content_length(values(headers, b"content-length"))
    if is_chunked and not _NO_TRAILERS.isdisjoint(elements(values(headers, b"trailer"))):
        raise MalformedResponseError("it announces a trailer that cannot be one")
    keep_alive = _is_kept_alive(version, elements(values(headers, b"connection")))
    return _Framing(is_chunked, length, keep_alive)


_known_framing: Final = lru_cache(maxsize=64)(_framing)
_KEPT_BYTES: Final = 128


def _is_chunked(version: bytes, codings: list[bytes]) -> bool:
    # HTTP/1.0 knows no chunks; HTTP/0.0 is 1.1 to Go.
    if not codings or (version < b"HTTP/1.1" and version != b"HTTP/0.0"):
        return False
    if len(codings) > 1 or codings[0].lower() != b"chunked":
        raise MalformedResponseError(f"Transfer-Encoding {quoted(b', '.join(codings))}")
    return True


def _is_kept_alive(version: bytes, connection: list[bytes]) -> bool:
    if b"close" in connection or version < b"HTTP/1.0":
        return False
    return version > b"HTTP/1.0" or b"keep-alive" in connection


def _content_length(lines: list[bytes]) -> int | None:
    lengths = {line.strip(b" \t") for line in lines}
    if not lengths:
        return None
    if len(lengths) > 1:
        raise MalformedResponseError("two different values of Content-Length")
    (length,) = lengths
    if not _LENGTH(length) or int(length) > _MAX_LENGTH:
        raise MalformedResponseError(f"not a Content-Length: {quoted(length)}")
    return int(length)
