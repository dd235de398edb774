"""Turn the bytes of one connection into requests, one at a time, within bounds.

Owns what is refused and with which status; no socket, and nothing of how it is answered. Bytes are
kept as they came until a head is whole (so a head that never ends costs its bytes and no more),
then llhttp (httptools) reads it at once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import httptools

from kubenurse_otel.server.message import METHODS, Request, named_authority

if TYPE_CHECKING:
    from kubenurse_otel.server.arrival import Arrival
    from kubenurse_otel.server.message import Peer

MAX_HEAD_BYTES: Final = 16_384
MAX_HEADERS: Final = 128
_NOT_ALLOWED: Final = frozenset((b"POST", b"PUT", b"DELETE", b"PATCH", b"CONNECT", b"TRACE"))
"""RFC 9110, 9.1: methods that are known and mean nothing here (405); others are unknown (501)."""
_VERSIONS: Final = {b"HTTP/1.0\r": "1.0", b"HTTP/1.1\r": "1.1"}
_WORDS: Final = 3
"""Of a request line: method, target, version."""
_END: Final = b"\r\n\r\n"
_TOKEN: Final = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]{1,32}"
_BEGINNING: Final = re.compile(_TOKEN + rb"(?:\Z| )")
_REQUEST_LINE: Final = re.compile(rb"(" + _TOKEN + rb") (\S+) (HTTP/\d\.\d\r)\n")


class Reader:
    """``feed`` what was read, then ask for the ``next`` request until there is none."""

    __slots__ = (
        "_arrival",
        "_body_at",
        "_held",
        "_peer",
        "_served",
        "_synack_retransmits",
        "refused",
    )

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._held = b""
        self._body_at = 0
        """Where in ``_held`` a chunked body begins whose end is awaited; 0: there is none."""
        self._arrival: Arrival | None = None
        self._synack_retransmits: int | None = None
        self._served = 0
        self.refused = False

    @property
    def held_bytes(self) -> int:
        """Bytes that are held of further requests."""
        return len(self._held)

    @property
    def half_way(self) -> bool:
        """Whether a request is awaited: the connection's first, or the rest of one."""
        return bool(self._held) or not self._served

    def feed(
        self, data: memoryview | bytes, arrival: Arrival, synack_retransmits: int | None
    ) -> None:
        """Take in ``data``. After a refusal nothing more is kept."""
        if self.refused:
            return
        self._arrival = arrival
        self._synack_retransmits = synack_retransmits
        self._held += data

    def next(self) -> Request | int | None:
        """Return the next request, the status of a refusal (the last), or None: not yet whole."""
        # RFC 9112, 2.2: empty lines before a request are no mistake.
        held = self._held = self._held if self._body_at else self._held.lstrip(b"\r\n")
        while held and not self.refused:
            end = held.find(_END, self._body_at) + len(_END)
            whole = end >= len(_END)
            if self._body_at or not whole or end > MAX_HEAD_BYTES:
                refusal = _judge(held, self._body_at, end if whole else None)
                if refusal:
                    return self._refuse(refusal)
            if not whole:
                break
            request = Request(self._peer)
            message = _Message(request)
            if refusal := message.read(held[:end]):
                return self._refuse(refusal)
            if message.whole:
                self._held, self._body_at = held[end:], 0
                request.arrival = self._arrival
                if not self._served:
                    request.synack_retransmits = self._synack_retransmits
                self._served += 1
                return request
            self._body_at = end
        return None

    def close(self) -> None:
        """Forget everything."""
        self._held = b""

    def _refuse(self, status: int) -> int:
        self.refused = True
        self._held = b""
        return status


def _judge(held: bytes, body_at: int, end: int | None) -> int:
    """Return the status that refuses what begins with ``held``; 0 if it may become a request.

    ``end`` is where its head (or, from ``body_at`` on, its body) ends, None while it does not.
    """
    too_long = len(held) >= MAX_HEAD_BYTES if end is None else end > MAX_HEAD_BYTES
    if body_at:
        # RFC 9112, 7.1: the last chunk is the one of no bytes, and here it is the first.
        return 413 if too_long or held[body_at : body_at + 1] not in (b"", b"0") else 0
    return _judge_request_line(held) or (431 if too_long else 0)


def _judge_request_line(held: bytes) -> int:
    if b"\n" not in held:
        return 0 if _BEGINNING.match(held) else 400
    line = _REQUEST_LINE.match(held)
    if line is None:
        return 400
    method, _, version = line.groups()
    if version not in _VERSIONS:
        return 505
    if method in METHODS:
        return 0
    return 405 if method in _NOT_ALLOWED else 501


class _Message:
    """One request as llhttp reads it: its callbacks, and what they leave."""

    __slots__ = ("coded", "hosts", "in_head", "options", "request", "whole", "with_body")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.in_head = True
        self.coded = self.with_body = self.whole = False
        self.hosts = 0
        self.options: list[bytes] = []
        """Of the Connection header, in lower case."""

    def read(self, data: bytes) -> int:
        """Read a head, or a head with its body; return the status of a refusal or 0."""
        request = self.request
        upgraded = False
        try:
            httptools.HttpRequestParser(self).feed_data(data)
        except httptools.HttpParserUpgrade:
            upgraded = True  # answered as if nothing had been asked for, then closed
        except httptools.HttpParserError:
            too_many = len(request.headers) > MAX_HEADERS
            return _judge_request_line(data) or (431 if too_many else 400)
        # llhttp also takes several spaces, HTTP/0.9 and other protocols.
        line = data[: data.index(b"\n")].split(b" ")
        version = _VERSIONS.get(line[-1])
        if version is None or len(line) != _WORDS or line[0] not in METHODS:
            return _judge_request_line(data) or 400
        if self.with_body:
            return 413
        is_1_1 = version == "1.1"
        if is_1_1 and not self.hosts:
            return 400
        self.whole |= upgraded or not self.coded
        request.method, request.target, request.http_version = line[0], line[1], version
        request.keep_alive = (
            not upgraded
            and b"close" not in self.options
            and (is_1_1 or (b"keep-alive" in self.options and not self.coded))
        )
        return 0

    # --- llhttp's callbacks ----------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.in_head:
            return  # a trailer is no header (RFC 9110, 6.5.1)
        name = name.lower()
        self.request.headers.append((name, value))
        if name == b"host":
            self.hosts += 1
            if self.hosts > 1 or named_authority(value) is None:
                raise ValueError("not one host")
        elif name == b"connection":
            self.options += map(bytes.strip, value.lower().split(b","))
        elif name == b"transfer-encoding":
            self.coded = True
        elif name == b"content-length":
            self.with_body |= value.strip(b"0") != b""
        if len(self.request.headers) > MAX_HEADERS:
            raise ValueError("too many headers")

    def on_chunk_header(self) -> None:
        self.in_head = False

    def on_body(self, _: bytes) -> None:
        self.with_body = True

    def on_chunk_complete(self) -> None:
        self.whole = True  # the last chunk: there was none with a body
