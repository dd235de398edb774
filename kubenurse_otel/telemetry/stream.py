"""A TCP or TLS stream to a collector: all steps share one deadline and one budget of bytes.

Owns a blocking socket. TLS runs over memory and not over the socket: OpenSSL reads on for as long
as records come that hold no data (session tickets), and looks at no deadline and no budget.
"""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

HANDSHAKE_BYTES: Final = 262_144
"""The most bytes that a TLS handshake may send us. OpenSSL takes 100 KiB of certificates."""
_READ_BYTES: Final = 16_384


class TooLongError(Exception):
    """More bytes came than a valid answer can have."""


class _Tls(NamedTuple):
    """TLS in memory: what came from the wire, what is to go there, and the protocol between."""

    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO
    layer: ssl.SSLObject


class Stream:
    """One connection. ``deadline`` is of time.monotonic everywhere; TimeoutError is past it."""

    def __init__(self, family: socket.AddressFamily) -> None:
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._tls: _Tls | None = None
        self.budget = 0
        """Bytes on the wire that may still come. More raise TooLongError."""

    def connect(self, address: object, deadline: float) -> None:
        """Raises OSError."""
        self._until(deadline)
        self._socket.connect(address)  # type: ignore[arg-type]  # as getaddrinfo gave it
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start_tls(self, context: ssl.SSLContext, host: str, deadline: float) -> None:
        """Raises OSError (ssl.SSLError), and ValueError for a name that no certificate has."""
        name = host.rstrip(".")  # no certificate has the root's dot
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        layer = context.wrap_bio(incoming, outgoing, server_hostname=name)
        tls = _Tls(incoming, outgoing, layer)
        self.budget = HANDSHAKE_BYTES
        self._run(tls, layer.do_handshake, deadline)
        self._tls = tls

    def send(self, data: bytes, deadline: float) -> None:
        """Send all. Raises OSError."""
        tls = self._tls
        if tls is None:
            self._send_raw(data, deadline)
        else:
            self._run(tls, lambda: tls.layer.write(data), deadline)

    def receive(self, deadline: float) -> bytes:
        """At least a byte; empty at the end. Raises OSError, TooLongError."""
        tls = self._tls
        if tls is None:
            return self._receive_raw(deadline)
        try:
            return self._run(tls, lambda: tls.layer.read(_READ_BYTES), deadline)
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def is_idle(self) -> bool:
        """Whether the stream is open, and nothing came except records of TLS itself."""
        try:
            self._socket.settimeout(0.0)
            data = self._socket.recv(_READ_BYTES)
            if not data or self._tls is None:
                return False
            self._tls.incoming.write(data)
            self._tls.layer.read(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            pass
        return False

    def close(self) -> None:
        self._socket.close()

    def cut(self) -> None:
        """Wake the thread that waits for the stream. That thread still has to close the socket."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _send_raw(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while view:
            self._until(deadline)
            view = view[self._socket.send(view) :]

    def _receive_raw(self, deadline: float) -> bytes:
        self._until(deadline)
        data = self._socket.recv(_READ_BYTES)
        self.budget -= len(data)
        if self.budget < 0:
            raise TooLongError
        return data

    def _until(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)

    def _run(self, tls: _Tls, step: Callable[[], T], deadline: float) -> T:
        """Do a step of TLS, with as much from and to the wire as it takes."""
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self._flush(tls, deadline)
                data = self._receive_raw(deadline)
                if data:
                    tls.incoming.write(data)
                else:
                    tls.incoming.write_eof()
            except ssl.SSLError:
                with suppress(OSError):
                    self._flush(tls, deadline)  # the alert: the far end's log says why
                raise
            else:
                self._flush(tls, deadline)
                return result

    def _flush(self, tls: _Tls, deadline: float) -> None:
        if tls.outgoing.pending:
            self._send_raw(tls.outgoing.read(), deadline)
