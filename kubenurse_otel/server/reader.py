"""The bytes of one connection to requests, by llhttp (httptools), within bounds.

Owns what is refused and with which status; no socket, and nothing of how it is answered.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import httptools

from kubenurse_otel.server.message import Request

if TYPE_CHECKING:
    from kubenurse_otel.server.arrival import Arrival
    from kubenurse_otel.server.message import Peer

MAX_HEAD_BYTES: Final = 16_384
_METHODS: Final = frozenset((b"GET", b"HEAD"))


class Reader:
    """Feeds what it reads into ``queue``: requests in order, and at most one refusal, the last.

    A refusal is its status as an int. At most as many requests as fit in one feed are queued
    when the queue is emptied before the next.
    """

    __slots__ = (
        "_arrival",
        "_current",
        "_head_bytes",
        "_parser",
        "_peer",
        "_served",
        "_synack_retransmits",
        "queue",
        "refused",
    )

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._current: Request | None = None
        self._arrival: Arrival | None = None
        self._synack_retransmits = 0
        self._head_bytes = 0
        self._served = 0
        self.queue: deque[Request | int] = deque()
        self.refused = False

    @property
    def half_way(self) -> bool:
        """Whether a request is awaited: the connection's first, or the rest of one."""
        return self._current is not None or not self._served

    def feed(self, data: memoryview | bytes, arrival: Arrival, synack_retransmits: int) -> None:
        """Take in ``data``. After a refusal nothing more is read."""
        if self._parser is None or self.refused:
            return  # closed meanwhile, or what comes is thrown away
        self._arrival = arrival
        self._synack_retransmits = synack_retransmits
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # answered as if nothing had been asked for; keep_alive is off, so it ends there
        except httptools.HttpParserError:
            self._refuse(400)
        if self._current is not None and self._head_bytes >= MAX_HEAD_BYTES:
            self._refuse(431)

    def close(self) -> None:
        """Forget everything; the parser holds our callbacks, so that we hold each other."""
        self._parser = self._current = None
        self.queue.clear()

    # --- llhttp's callbacks ----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._current = Request(self._peer)

    def on_url(self, url: bytes) -> None:
        if self._current is not None:
            self._current.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._current is not None:
            self._current.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        request, parser = self._current, self._parser
        if request is None or parser is None:
            return
        request.method = parser.get_method()
        request.http_version = parser.get_http_version()
        request.keep_alive = (
            request.http_version == "1.1"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
        )
        body = request.header(b"content-length") or "0"
        if request.method not in _METHODS:
            self._refuse(405)
        elif body.strip("0") or request.header(b"transfer-encoding") is not None:
            self._refuse(413)
        elif request.http_version not in ("1.0", "1.1"):
            self._refuse(505)
        elif request.http_version == "1.1" and request.header(b"host") is None:
            self._refuse(400)  # RFC 9112, 3.2

    def on_message_complete(self) -> None:
        request = self._current
        if request is None or self.refused:
            return
        self._current = None
        self._head_bytes = 0
        request.arrival = self._arrival
        if not self._served:
            request.synack_retransmits = self._synack_retransmits
        self._served += 1
        self.queue.append(request)

    def _refuse(self, status: int) -> None:
        if not self.refused:
            self.refused = True
            self._current = None
            self.queue.append(status)
