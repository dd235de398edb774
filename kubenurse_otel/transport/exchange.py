"""One request and its answer over a connection: HTTP/1.1 (RFC 9112) by h11, within bounds.

Owns the bounds on what a far end may send. Does not open connections and keeps none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import h11

from kubenurse_otel.errors import (
    ClosedEarlyError,
    MalformedResponseError,
    ProxyRefusedError,
    without_frames,
)

if TYPE_CHECKING:
    from kubenurse_otel.transport.marks import Received
    from kubenurse_otel.transport.sockets import Connection

MAX_BODY_BYTES: Final = 65_536
MAX_HEAD_BYTES: Final = 16_384
MAX_INTERIM_RESPONSES: Final = 10
_VERSION: Final = b"HTTP/1."

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer, without its body. Header names are lower case."""

    status_code: int
    http_version: bytes
    headers: Headers
    reusable: bool
    """Both sides may go on with this connection."""


class Exchange:
    """Sends one request and reads its answer; ``writing`` says how far it came."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        self.writing = False
        self._start = b""
        self._received = 0

    async def run(self, method: bytes, target: bytes, headers: Headers) -> Reply:
        """Raises OSError, ssl.SSLError, ClosedEarlyError, MalformedResponseError."""
        await self._send(method, target, headers)
        response = await self._head()
        whole = await self._body()
        return Reply(
            status_code=response.status_code,
            http_version=b"HTTP/" + response.http_version,
            headers=list(response.headers),
            reusable=whole
            and self._protocol.our_state is h11.DONE
            and self._protocol.their_state is h11.DONE,
        )

    async def open_tunnel(self, authority: bytes) -> None:
        """CONNECT (RFC 9110 section 9.3.6). Raises ProxyRefusedError, and what ``run`` raises."""
        await self._send(b"CONNECT", authority, [(b"Host", authority)])
        response = await self._head()
        if not 200 <= response.status_code < 300:
            raise ProxyRefusedError(f"the proxy answered {response.status_code}")

    async def _send(self, method: bytes, target: bytes, headers: Headers) -> None:
        self.writing = True
        request = h11.Request(method=method, target=target, headers=headers)
        data = self._protocol.send(request) or b""
        data += self._protocol.send(h11.EndOfMessage()) or b""
        await self._connection.send(data)
        self.writing = False

    async def _head(self) -> h11.Response:
        for _ in range(MAX_INTERIM_RESPONSES + 1):
            event = await self._next()
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise ClosedEarlyError("without an answer")
        raise MalformedResponseError("too many interim responses")

    async def _body(self) -> bool:
        """Read the body; False where it goes on beyond what we read of it."""
        size = 0
        while True:
            event = await self._next()
            if isinstance(event, h11.Data):
                size += len(event.data)
                if size > MAX_BODY_BYTES or self._received > MAX_HEAD_BYTES + MAX_BODY_BYTES:
                    return False
            else:
                return True

    async def _next(self) -> h11.Event | type[h11.PAUSED]:
        while True:
            try:
                event = self._protocol.next_event()
            except h11.RemoteProtocolError as error:
                without_frames(error)  # h11 raises it as itself: it is in its own frames
                if self._protocol.trailing_data[1]:  # the peer closed
                    raise ClosedEarlyError("in the middle of its answer") from None
                raise MalformedResponseError("not HTTP/1.1, or a head over 16 KiB") from None
            if event is not h11.NEED_DATA:
                return event  # type: ignore[return-value]  # NEED_DATA is out, which mypy cannot see
            data, received = await self._connection.receive()
            if received is not None:
                self._mark(received)
            if len(self._start) < len(_VERSION):
                self._start = (self._start + data)[: len(_VERSION)]
                if not _VERSION.startswith(self._start):
                    raise MalformedResponseError("it does not begin as HTTP/1 does")
            self._received += len(data)
            self._protocol.receive_data(data)

    def _mark(self, received: Received) -> None:
        marks = self._connection.marks
        if marks.first_byte is None:
            marks.first_byte = received
        marks.last_byte = received
