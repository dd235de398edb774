"""One request and its answer over a connection: HTTP/1.1 (RFC 9112).

It opens and keeps no connection. answer.py parses the bytes that came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kubenurse_otel.errors import ProxyRefusedError
from kubenurse_otel.probe.answer import Answer
from kubenurse_otel.probe.request import beginning, lines
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from kubenurse_otel.probe.fields import Headers
    from kubenurse_otel.probe.marks import Received
    from kubenurse_otel.probe.sockets import Connection

_FED_AT_ONCE_BYTES: Final = 2048


@record(frozen=True, slots=True)
class Reply:
    """A complete answer without its body. Header names are in lower case."""

    status_code: int
    http_version: bytes
    headers: Headers
    reusable: bool
    """Whether both sides allow another request on this connection."""


class Exchange:
    """Sends one request and reads its answer. ``writing`` is true while the request is sent."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.writing = False

    async def run(self, method: bytes, head: bytes) -> Reply:
        """Send the request and read its answer. ``head`` includes its last, empty line.

        Raises OSError, ssl.SSLError, ClosedEarlyError, MalformedResponseError,
        ResponseHeadTooLargeError, TooCostlyError.
        """
        await self._send(head)
        answer = await self._answer(method)
        return Reply(
            status_code=answer.status_code,
            http_version=answer.version,
            headers=answer.headers,
            reusable=answer.reusable,
        )

    async def open_tunnel(self, authority: bytes, headers: Headers) -> None:
        """Ask a proxy for a tunnel: CONNECT (RFC 9110 section 9.3.6). Raises ProxyRefusedError, and
        what ``run`` raises.
        """
        head = beginning(b"CONNECT", authority) + lines([(b"Host", authority), *headers])
        await self._send(head + b"\r\n")
        status = (await self._answer(b"CONNECT")).status_code
        if not 200 <= status < 300:
            raise ProxyRefusedError(f"the proxy answered {status}")

    async def _send(self, head: bytes) -> None:
        self.writing = True
        await self._connection.send(head)
        self.writing = False

    async def _answer(self, method: bytes) -> Answer:
        answer = Answer(method)
        while not answer.finished:
            data, received = await self._connection.receive()
            if received is not None:
                self._mark(received)
            if data:
                await self._feed(answer, data)
                self._mark_interim(answer, received)
            else:
                answer.end()
        return answer

    async def _feed(self, answer: Answer, data: bytes) -> None:
        """Pass the bytes on in parts. A read of 64 KiB in chunks of one byte would take 20 ms or
        more at once.
        """
        effort = self._connection.effort
        for at in range(0, len(data), _FED_AT_ONCE_BYTES):
            before = answer.chunks
            answer.feed(data[at : at + _FED_AT_ONCE_BYTES])
            effort.add(answer.chunks - before)
            if effort.is_long and not answer.finished:
                await self._connection.turn()

    def _mark(self, received: Received) -> None:
        marks = self._connection.marks
        if marks.first_byte is None:
            marks.first_byte = received
        marks.last_byte = received

    def _mark_interim(self, answer: Answer, received: Received | None) -> None:
        """Mark interim answers: what ``_mark`` took for the answer's first byte may be of one."""
        marks = self._connection.marks
        while len(marks.interim) < answer.interim_count and marks.first_byte is not None:
            marks.interim.append(marks.first_byte)
            # If the next answer's first byte has come, it came with this read as well.
            if answer.begun or len(marks.interim) < answer.interim_count:
                marks.first_byte = received
            else:
                marks.first_byte = marks.last_byte = None
