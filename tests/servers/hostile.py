"""Servers that make whoever asks them work: all that they send is sound, and there is much of it.

Bounded: each stops by itself after some megabytes, or when the peer hangs up.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from servers.behaviours import head

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.fault_server import Behaviour, Connection


class Session:
    """The server's side of TLS 1.3 in memory, so that its records can be held back.

    ``flood`` (what a handshake left to send beyond its end: session tickets) is not sent yet.
    """

    def __init__(self, connection: Connection, context: ssl.SSLContext) -> None:
        self._connection = connection
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.flood = b""

    def start(self) -> None:
        """Shake hands."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._connection.socket.sendall(self._outgoing.read())
                self._incoming.write(self._connection.socket.recv(65536))
            else:
                self.flood = self._outgoing.read()
                return

    def read_request(self) -> None:
        while True:
            try:
                self._tls.read(65536)
            except ssl.SSLWantReadError:
                self._incoming.write(self._connection.socket.recv(65536))
            else:
                return

    def records(self, data: bytes, *, size: int) -> bytes:
        """``data`` encrypted, so many bytes a record."""
        for start in range(0, len(data), size):
            self._tls.write(data[start : start + size])
        return self._outgoing.read()


def one_byte_records(context: ssl.SSLContext, length: int = 65_536) -> Behaviour:
    """Each byte of the body is a TLS record, all ready to be read at once."""

    def behave(connection: Connection) -> None:
        session = Session(connection, context)
        session.start()
        session.read_request()
        answer = session.records(head(200, [("Content-Length", str(length))]), size=16_384)
        body = session.records(b"x" * length, size=1)
        connection.socket.sendall(session.flood + answer + body)
        connection.hold()

    return behave


def session_tickets(context: ssl.SSLContext, number: int = 5_000) -> Behaviour:
    """Session tickets, about 250 bytes each, before a sound answer."""
    context.num_tickets = number

    def behave(connection: Connection) -> None:
        session = Session(connection, context)
        session.start()
        session.read_request()
        answer = session.records(head(200, [("Content-Length", "3")]) + b"ok\n", size=16_384)
        connection.socket.sendall(session.flood + answer)
        connection.hold()

    return behave


def dribbled_tickets(context: ssl.SSLContext, interval_seconds: float = 0.02) -> Behaviour:
    """A session ticket now and then, and never an answer."""
    context.num_tickets = 500

    def behave(connection: Connection) -> None:
        session = Session(connection, context)
        session.start()
        session.read_request()
        for record in _records(session.flood):
            connection.socket.sendall(record)
            if not connection.sleep(interval_seconds):
                return

    return behave


def one_byte_chunks(length: int = 65_536) -> Behaviour:
    """Each byte of the body is a chunk."""
    answer = head(200, [("Transfer-Encoding", "chunked")]) + b"1\r\nx\r\n" * length + b"0\r\n\r\n"

    def behave(connection: Connection) -> None:
        connection.read_request()
        connection.socket.sendall(answer)
        connection.hold()

    return behave


def many_headers(number: int = 20_000) -> Behaviour:
    """Header lines of three bytes."""
    answer = b"HTTP/1.1 200 OK\r\n" + b"a:\n" * number + b"Content-Length: 0\r\n\r\n"

    def behave(connection: Connection) -> None:
        connection.read_request()
        connection.socket.sendall(answer)
        connection.hold()

    return behave


def _records(data: bytes) -> Iterator[bytes]:
    """TLS records one by one (RFC 8446 section 5.1)."""
    at = 0
    while at < len(data):
        end = at + 5 + int.from_bytes(data[at + 3 : at + 5], "big")
        yield data[at:end]
        at = end
