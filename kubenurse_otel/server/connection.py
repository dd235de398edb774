"""One accepted connection: bytes to requests, responses to bytes, within bounds.

Owns the socket and the order of things (one request at a time, the next one read when the
answer before it is taken); what to answer is the handler's, how long it may take connections.py's.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
from collections import deque
from typing import TYPE_CHECKING, Final

import httptools

from kubenurse_otel.server import arrival, message
from kubenurse_otel.server.connections import Stage
from kubenurse_otel.server.message import Request, Response
from kubenurse_otel.server.tls import Channel

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from kubenurse_otel.server.connections import Connections

_log = logging.getLogger(__name__)

MAX_HEAD_BYTES: Final = 16_384
MAX_LINGER_BYTES: Final = 1_048_576
_BUFFER: Final = memoryview(bytearray(MAX_HEAD_BYTES))
"""Shared by all connections: what is read is parsed before the next read."""
_METHODS: Final = frozenset((b"GET", b"HEAD"))
_EMPTY: Final = memoryview(b"")


class Connection:
    """Serves one socket until it is closed. Every callback runs on the event loop."""

    __slots__ = (
        "_arrival",
        "_channel",
        "_close_after",
        "_connections",
        "_current",
        "_handler",
        "_head_bytes",
        "_lingered",
        "_loop",
        "_parser",
        "_peer",
        "_queue",
        "_reading",
        "_refused",
        "_served",
        "_socket",
        "_synack_retransmits",
        "_unsent",
        "stage",
    )

    def __init__(
        self,
        connection: socket.socket,
        peer: message.Peer,
        *,
        handler: Callable[[Request], Response],
        connections: Connections,
        loop: asyncio.AbstractEventLoop,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.stage: Stage | None = None
        self._socket = connection
        self._peer = peer
        self._handler = handler
        self._connections = connections
        self._loop = loop
        self._channel = Channel(context) if context is not None else None
        # Made here and not at the first byte: while the request travels nobody waits for us.
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._current: Request | None = None
        self._queue: deque[Request | int] = deque()  # an int is a refusal: its status
        self._unsent = _EMPTY
        self._head_bytes = 0
        self._lingered = 0
        self._arrival: arrival.Arrival | None = None
        self._synack_retransmits: int | None = None
        self._served = 0
        self._refused = False
        self._close_after = False
        self._reading = True
        connections.enter(self, Stage.READING)
        loop.add_reader(connection, self._readable)

    # --- the life of the socket ------------------------------------------------------------------

    def abort(self) -> None:
        """Close at once; what was not sent is lost. May be called at any time, also twice."""
        if self.stage is None:
            return
        self._connections.leave(self)
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self._queue.clear()
        self._unsent = _EMPTY
        self._parser = self._channel = self._current = None  # the parser's callbacks are ours

    def finish(self) -> None:
        """The server is stopping: end after the request that is under way, if there is one."""
        self._close_after = True
        if self.stage is Stage.IDLE:
            self._end()

    def _end(self) -> None:
        """Close properly: everything is sent."""
        if self._channel is not None:
            self._channel.close_notify()
            with contextlib.suppress(OSError):  # the peer is gone, which is what was wanted
                self._socket.send(self._channel.outgoing.read())
        self.abort()

    # --- reading ---------------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            size, self._arrival = arrival.receive(self._socket, _BUFFER)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.abort()
            return
        if not size or self._lingered > MAX_LINGER_BYTES:
            self.abort()
        elif self.stage is Stage.LINGERING:
            self._lingered += size
        else:
            self._received(_BUFFER[:size], self._arrival)

    def _received(self, data: memoryview, arrived: arrival.Arrival) -> None:
        if self.stage is Stage.IDLE:
            self._connections.enter(self, Stage.READING)
        if self._synack_retransmits is None:
            self._synack_retransmits = arrived.retransmits
        if self._channel is None:
            self._parse(data)
            self._answer_next()
            return
        try:
            plain, ended = self._channel.decrypt(data)
        except ssl.SSLError:
            self._flush()  # an alert that says why
            self.abort()
            return
        self._flush()
        if plain and self.stage is not None:
            self._parse(plain)
            self._answer_next()
        if ended and not self._unsent and not self._queue:
            self.abort()

    def _parse(self, data: memoryview | bytes) -> None:
        if self._parser is None:
            return
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # answered as if nothing had been asked for; on_headers_complete saw to the end
        except httptools.HttpParserError:
            self._refuse(400)
        if self._current is not None and self._head_bytes >= MAX_HEAD_BYTES:
            self._refuse(431)

    def on_message_begin(self) -> None:
        self._current = Request(self._peer, headers=[])

    def on_url(self, url: bytes) -> None:
        if self._current is not None:
            self._current.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._current is not None and self._current.headers is not None:
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
        if request is None or self._refused:
            return
        self._current = None
        self._head_bytes = 0
        request.arrival = self._arrival
        if not self._served:
            request.synack_retransmits = self._synack_retransmits
        self._served += 1
        self._queue.append(request)

    def _refuse(self, status: int) -> None:
        """Answer ``status`` after what came before it, and read no more requests."""
        if not self._refused:
            self._refused = True
            self._current = None
            self._queue.append(status)

    # --- answering -------------------------------------------------------------------------------

    def _answer_next(self) -> None:
        """Answer one request. Others that came with it wait their turn on the event loop."""
        if self.stage is None or not self._queue:
            return
        request = self._queue.popleft()
        if isinstance(request, int):
            self._close_after = True
            response, with_body = _refusal(request), True
        else:
            self._close_after = self._close_after or not request.keep_alive
            response, with_body = self._handle(request), request.method != b"HEAD"
        self._write(message.encode(response, with_body=with_body, close=self._close_after))
        if response.sent is not None:
            response.sent()
        if not self._unsent:
            self._answered()

    def _handle(self, request: Request) -> Response:
        try:
            return self._handler(request)
        except Exception:  # noqa: BLE001 - the edge: a bug in one answer must not end the others
            _log.exception("Answering %r failed", request.path)
            return message.text(500, "internal error, see the agent's log")

    def _write(self, data: bytes) -> None:
        if self._channel is not None:
            try:
                self._channel.encrypt(data)
            except ssl.SSLError:
                self.abort()
                return
            data = self._channel.outgoing.read()
        self._send(memoryview(data))

    def _flush(self) -> None:
        """Send what TLS itself has to say."""
        if self._channel is not None and self._channel.outgoing.pending:
            self._send(memoryview(self._channel.outgoing.read()))

    def _send(self, data: memoryview) -> None:
        """Send what the kernel takes now, the rest when it takes more; till then read nothing."""
        if self._unsent:
            self._unsent = memoryview(b"".join((self._unsent, data)))
            return
        try:
            sent = self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self.abort()
            return
        if sent < len(data):
            self._unsent = data[sent:]
            self._connections.enter(self, Stage.ANSWERING)
            self._pause()
            self._loop.add_writer(self._socket, self._writable)

    def _writable(self) -> None:
        try:
            sent = self._socket.send(self._unsent)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.abort()
            return
        self._unsent = self._unsent[sent:]
        if not self._unsent:
            self._loop.remove_writer(self._socket)
            self._answered()

    def _answered(self) -> None:
        """What we had to send is with the kernel: go on, wait, or end."""
        if self.stage is None:
            return
        if self._refused and not self._queue:
            self._linger()
        elif self._close_after:
            self._end()
        elif self._queue:
            self._pause()
            self._loop.call_soon(self._answer_next)
        else:
            half_way = self._current is not None or not self._served
            self._connections.enter(self, Stage.READING if half_way else Stage.IDLE)
            self._resume()

    def _linger(self) -> None:
        """End our side and throw away what still comes: closing now would reset the answer."""
        self._connections.enter(self, Stage.LINGERING)
        self._resume()
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.abort()

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._socket)

    def _resume(self) -> None:
        if not self._reading:
            self._reading = True
            self._loop.add_reader(self._socket, self._readable)


def _refusal(status: int) -> Response:
    if status == 405:
        return message.text(405, "only GET and HEAD", (b"Allow", b"GET, HEAD"))
    return message.text(status, _SENTENCES[status])


_SENTENCES: Final = {
    400: "not a valid HTTP/1.1 request",
    413: "requests have no body here",
    431: f"the request's head is longer than {MAX_HEAD_BYTES} bytes",
    505: "only HTTP/1.1",
}
