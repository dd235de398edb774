"""What a server may do to whoever asks it, each by name. A behaviour takes one Connection.

The names in BEHAVIOURS are what the bench and the demo choose by.
"""

from __future__ import annotations

import itertools
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from servers.fault_server import Behaviour, Connection

Header = tuple[str, str]


def head(status: int, headers: Iterable[Header], *, version: str = "1.1") -> bytes:
    lines = [f"HTTP/{version} {status} Whatever", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def answer(
    status: int = 200,
    body: bytes = b"ok\n",
    *,
    headers: Iterable[Header] = (),
    delay_seconds: float = 0.0,
    requests: int | None = None,
    piece_bytes: int | None = None,
) -> Behaviour:
    """Answer soundly, ``delay_seconds`` after the request; close after ``requests`` answers.

    With ``piece_bytes`` the answer leaves in pieces, each a segment of its own at the least.
    """
    response = head(status, [("Content-Length", str(len(body))), *headers]) + body

    def behave(connection: Connection) -> None:
        for _ in itertools.count() if requests is None else range(requests):
            if connection.read_request() is None or not connection.sleep(delay_seconds):
                return
            for start in range(0, len(response), piece_bytes or len(response)):
                connection.send(response[start : start + (piece_bytes or len(response))])

    return behave


def answer_bytes(data: bytes) -> Behaviour:
    """Read a request, send exactly ``data``, close."""

    def behave(connection: Connection) -> None:
        if connection.read_request() is not None:
            connection.send(data)

    return behave


def speaks_first(data: bytes) -> Behaviour:
    """Send ``data`` at once, as an SSH server does, and stay."""

    def behave(connection: Connection) -> None:
        connection.send(data)
        connection.hold()

    return behave


# --- connections that end badly ------------------------------------------------------------------


def reset_on_accept(connection: Connection) -> None:
    """RST at once."""
    connection.reset()


def reset_before_reading(connection: Connection) -> None:
    """RST when the first bytes (a request, a ClientHello) have arrived, none of them read."""
    connection.wait_readable()
    connection.reset()


def reset_after_request(connection: Connection) -> None:
    """RST when the whole request was read."""
    connection.read_request()
    connection.reset()


def cut(connection: Connection) -> None:
    """Close in order (FIN) when the first bytes have come: in a handshake, in an exchange."""
    connection.socket.recv(65536)


def silent(connection: Connection) -> None:
    """Accept, read, and never say a word: no ServerHello, no answer."""
    connection.hold()


def silent_after_request(connection: Connection) -> None:
    """Read the request and never answer (over TLS: after a good handshake)."""
    connection.read_request()
    connection.hold()


def bare_close_notify(connection: Connection) -> None:
    """Over TLS: read the request and end the session in order, without an answer."""
    connection.read_request()
    connection.socket.setblocking(True)
    connection.socket = connection.socket.unwrap()  # type: ignore[attr-defined]


# --- answers that are not whole ------------------------------------------------------------------


def cut_mid_body(connection: Connection) -> None:
    """Promise 1,000 bytes, send 10, close."""
    connection.read_request()
    connection.send(head(200, [("Content-Length", "1000")]) + b"0123456789")


def reset_mid_body(connection: Connection) -> None:
    """Promise 1,000 bytes, send 10, wait until they are read, RST."""
    connection.read_request()
    connection.send(head(200, [("Content-Length", "1000")]) + b"0123456789")
    connection.sleep(0.05)
    connection.reset()


def half_head(connection: Connection) -> None:
    """Close in the middle of a header."""
    connection.read_request()
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Le")


# --- answers that take their time, or much room --------------------------------------------------


def dribble_head(interval_seconds: float = 0.02) -> Behaviour:
    """Send a sound status line, then a header that never ends, a byte at a time."""

    def behave(connection: Connection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while connection.sleep(interval_seconds):
            connection.send(b"x")

    return behave


def dribble_body(interval_seconds: float = 0.02, length: int = 10_000) -> Behaviour:
    """Send a sound head, then the body a byte at a time."""

    def behave(connection: Connection) -> None:
        connection.read_request()
        connection.send(head(200, [("Content-Length", str(length))]))
        for _ in range(length):
            if not connection.sleep(interval_seconds):
                return
            connection.send(b"x")

    return behave


def big_body(size: int = 100 * 1024 * 1024, *, use_chunks: bool = False) -> Behaviour:
    """Send ``size`` bytes of body as fast as the peer takes them."""
    block = b"x" * 65536

    def behave(connection: Connection) -> None:
        connection.read_request()
        framing = ("Transfer-Encoding", "chunked") if use_chunks else ("Content-Length", str(size))
        connection.send(head(200, [framing]))
        for start in range(0, size, len(block)):
            piece = block[: size - start]
            connection.socket.sendall(
                b"%x\r\n%s\r\n" % (len(piece), piece) if use_chunks else piece
            )
        if use_chunks:
            connection.socket.sendall(b"0\r\n\r\n")

    return behave


def endless_head(connection: Connection) -> None:
    """Send header after header for ever."""
    connection.read_request()
    connection.send(b"HTTP/1.1 200 OK\r\n")
    while not connection.server.stopping.is_set():
        connection.socket.sendall(b"X-Filler: " + b"y" * 1000 + b"\r\n")


def endless_interim(connection: Connection) -> None:
    """Send one 103 after the other for ever."""
    connection.read_request()
    while connection.sleep(0.001):
        connection.socket.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")


# --- sound answers of other shapes ---------------------------------------------------------------


def interim(delay_seconds: float = 0.0) -> Behaviour:
    """100 Continue, then (after ``delay_seconds``) 103 Early Hints and a sound 200."""

    def behave(connection: Connection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sleep(delay_seconds)
        connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        connection.send(head(200, [("Content-Length", "3")]) + b"ok\n")

    return behave


def chunked(connection: Connection) -> None:
    """A sound body in chunks, with a trailer."""
    connection.read_request()
    connection.send(head(200, [("Transfer-Encoding", "chunked")]))
    connection.send(b"2\r\nok\r\n1;ext=1\r\n\n\r\n0\r\nX-Trailer: t\r\n\r\n")


def tiny_chunks(connection: Connection) -> None:
    """A megabyte of body, each byte a chunk with an extension."""
    connection.read_request()
    connection.send(head(200, [("Transfer-Encoding", "chunked")]))
    block = b"1;x=y\r\nx\r\n" * 4096
    for _ in range(256):
        connection.socket.sendall(block)
    connection.socket.sendall(b"0\r\n\r\n")


def http_1_0(connection: Connection) -> None:
    """HTTP/1.0, the body ends where the connection does."""
    connection.read_request()
    connection.send(head(200, [("X-Old", "yes")], version="1.0") + b"ok\n")


def redirect(location: str, status: int = 301) -> Behaviour:
    """Send whoever asks elsewhere."""
    return answer(status, b"", headers=[("Location", location)])


def half_closed(connection: Connection) -> None:
    """Answer, shut down our sending half, and read on."""
    connection.read_request()
    connection.send(head(200, [("Connection", "close")]) + b"ok\n")
    connection.socket.shutdown(socket.SHUT_WR)
    connection.hold()


GARBAGE: Final = {
    "ssh": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    "binary": bytes(range(256)) * 4,
    "http2_preface": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
    "no_status": b"HTTP/1.1 OK\r\n\r\n",
    "bad_length": b"HTTP/1.1 200 OK\r\nContent-Length: minus one\r\n\r\n",
    "two_lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "bad_chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n",
    "bad_header": b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
}

BEHAVIOURS: Final[dict[str, Behaviour]] = {
    "ok": answer(),
    "slow": answer(delay_seconds=0.08),
    "unavailable": answer(503, b"no\n"),
    "idle_close": answer(requests=1),
    "reset_on_accept": reset_on_accept,
    "reset_before_reading": reset_before_reading,
    "reset_after_request": reset_after_request,
    "reset_mid_body": reset_mid_body,
    "cut": cut,
    "cut_mid_body": cut_mid_body,
    "half_head": half_head,
    "silent": silent,
    "silent_after_request": silent_after_request,
    "dribble_head": dribble_head(),
    "dribble_body": dribble_body(),
    "big_body": big_body(),
    "big_chunked_body": big_body(use_chunks=True),
    "endless_head": endless_head,
    "endless_interim": endless_interim,
    "interim": interim(),
    "chunked": chunked,
    "tiny_chunks": tiny_chunks,
    "http_1_0": http_1_0,
    "half_closed": half_closed,
    **{f"garbage_{name}": answer_bytes(data) for name, data in GARBAGE.items()},
}
