"""One accepted connection: reads when it may, answers one request after the other, ends.

Owns the socket and the order of things (the next request is read when the answer before it is
taken); what to answer is the handler's, how long it may take connections.py's.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Final

from kubenurse_otel import unhandled
from kubenurse_otel.server import arrival, message
from kubenurse_otel.server.connections import Stage
from kubenurse_otel.server.reader import MAX_HEAD_BYTES, MAX_HEADERS, Reader
from kubenurse_otel.server.tls import Channel
from kubenurse_otel.unhandled import Part

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from kubenurse_otel.server.connections import Connections

MAX_LINGER_BYTES: Final = 1_048_576
_EMPTY: Final = memoryview(b"")
_REFUSALS: Final = {
    400: "not a valid HTTP/1.1 request",
    405: "only GET, HEAD and OPTIONS",
    413: "requests have no body here",
    431: f"the request's head has more than {MAX_HEAD_BYTES} bytes or {MAX_HEADERS} headers",
    501: "no method that is known here",
    505: "only HTTP/1.1",
}


class Connection:
    """Serves one socket until it is closed. Every callback runs on the event loop."""

    __slots__ = (
        "_channel",
        "_close_after",
        "_connections",
        "_handler",
        "_lingered",
        "_loop",
        "_paused",
        "_reader",
        "_socket",
        "_synack_retransmits",
        "_told_close",
        "_unsent",
        "stage",
    )

    def __init__(
        self,
        connection: socket.socket,
        peer: message.Peer,
        *,
        handler: Callable[[message.Request], message.Response],
        connections: Connections,
        loop: asyncio.AbstractEventLoop,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.stage: Stage | None = None
        self._socket = connection
        self._handler = handler
        self._connections = connections
        self._loop = loop
        self._reader = Reader(peer)
        self._channel = Channel(context) if context is not None else None
        self._unsent = _EMPTY
        self._synack_retransmits: int | None = None
        self._lingered = 0
        self._paused = False
        self._close_after = False
        self._told_close = False
        connections.enter(self, Stage.READING)
        loop.add_reader(connection, self._readable)

    # --- the end ---------------------------------------------------------------------------------

    def abort(self) -> None:
        """Close at once; what was not sent is lost. May be called at any time, also twice."""
        if self.stage is None:
            return
        self._connections.leave(self)
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self._reader.close()
        self._unsent = _EMPTY

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

    def _linger(self) -> None:
        """End our side and throw away what still comes: closing now would reset the answer."""
        self._connections.enter(self, Stage.LINGERING)
        self._resume()
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.abort()

    # --- reading ---------------------------------------------------------------------------------

    def _readable(self) -> None:
        buffer = self._connections.buffer
        try:
            size, arrived = arrival.receive(self._socket, buffer)
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
            self._received(buffer[:size], arrived)

    def _received(self, data: memoryview, arrived: arrival.Arrival) -> None:
        if self.stage is Stage.IDLE:
            self._connections.enter(self, Stage.READING)
        if self._synack_retransmits is None:
            self._synack_retransmits = arrived.retransmits
        plain: memoryview | bytes = data
        ended = False
        if self._channel is not None:
            try:
                plain, ended = self._channel.decrypt(data)
            except ssl.SSLError:
                self._send(self._channel.outgoing.read())  # an alert that says why
                self.abort()
                return
            self._send(self._channel.outgoing.read())
        self._reader.feed(plain, arrived, self._synack_retransmits)
        self._answer_next()
        if ended and not self._unsent and not self._paused:
            self.abort()

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._loop.remove_reader(self._socket)

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._loop.add_reader(self._socket, self._readable)

    # --- answering -------------------------------------------------------------------------------

    def _answer_next(self) -> bool:
        """Answer one request, if one is whole. Others that came with it wait their turn."""
        request = self._reader.next()
        if request is None:
            return False
        if isinstance(request, int):
            self._close_after = True
            headers = (message.ALLOW,) if request == 405 else ()
            response = message.text(request, _REFUSALS[request], *headers)
            with_body, connection = True, b"close"
        else:
            self._close_after = self._close_after or not request.keep_alive
            response, with_body = self._handle(request), request.method != b"HEAD"
            # HTTP/1.0 closes unless it is told that it need not (RFC 9112, 9.3 and C.2.2).
            granted = b"keep-alive" if request.http_version == "1.0" else b""
            connection = b"close" if self._close_after else granted
        self._told_close = self._close_after
        data = message.encode(response, with_body=with_body, connection=connection)
        if self._channel is not None:
            self._channel.encrypt(data)
            data = self._channel.outgoing.read()
        self._send(data)
        if not self._unsent:
            self._answered()
        if response.sent is not None:
            response.sent()
        return True

    def _go_on(self) -> None:
        """Answer what came together with the request before, or await the rest of it."""
        if self.stage is not None and not self._answer_next():
            self._await_request()

    def _await_request(self) -> None:
        half_way = self._reader.half_way
        self._connections.enter(self, Stage.READING if half_way else Stage.IDLE)
        self._resume()

    def _handle(self, request: message.Request) -> message.Response:
        try:
            return self._handler(request)
        except Exception as error:  # noqa: BLE001 - the edge: a bug in one answer must not end the others
            unhandled.caught(Part.ANSWER, error, about=request.path.decode("latin-1"))
            return message.text(500, "internal error, see the agent's log")

    def _answered(self) -> None:
        """What we had to send is with the kernel: go on, wait, or end."""
        if self.stage is None:
            return
        if self._reader.refused:
            self._linger()
        elif self._told_close:
            self._end()
        elif self._reader.held_bytes:
            self._pause()
            self._loop.call_soon(self._go_on)
        else:
            self._await_request()

    # --- sending ---------------------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        """Send what the kernel takes now, the rest when it takes more; till then read nothing."""
        if self._unsent:
            self._unsent = memoryview(b"".join((self._unsent, data)))
            return
        if not data or self.stage is None:
            return
        try:
            sent = self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self.abort()
            return
        if sent < len(data):
            self._unsent = memoryview(data)[sent:]
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
