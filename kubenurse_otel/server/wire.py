"""One accepted socket, with or without TLS: reads plain bytes, and writes what the socket takes.

Owns what is not sent yet. A large body is shared by all who are sent it and never copied here;
with TLS it is encrypted a record at a time, as the socket takes it. OpenSSL's part begins with a
client's first bytes, and only where another handshake may be under way.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import ssl
import struct
import termios
from typing import TYPE_CHECKING, Final

from kubenurse_otel.semconv import Refusal
from kubenurse_otel.server import arrival
from kubenurse_otel.server.tls import Channel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kubenurse_otel.server.clients import Clients, Member

RECORD_BYTES: Final = 16_384
UNSENT_BYTES: Final = 256 * 1024
"""The most that is charged for an answer, however large."""
TLS_BYTES: Final = 32_768
"""What OpenSSL holds for a connection that has begun."""
_EMPTY: Final = memoryview(b"")
NOT_SENT_BYTES: Final = 4_096
"""The kernel's TCP_NOTSENT_LOWAT for every connection (listener.py)."""
_SIOCOUTQNSD: Final = 0x894B
"""linux/sockios.h: in the kernel's queue and not sent."""
_INT: Final = struct.Struct("@i")
_FORGET: Final = struct.pack("@ii", 1, 0)
"""struct linger, socket(7): on, no seconds."""


class NotWelcomeError(Exception):
    """We do not accept what came, for ``reason``. The connection must end."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason)
        self.reason = reason


class Wire:
    """``receive`` what comes; ``put``, then ``send`` until it says that all is with the kernel."""

    __slots__ = (
        "_channel",
        "_clients",
        "_context",
        "_pieces",
        "_small_until",
        "_unsent",
        "peer_ended",
        "socket",
        "taken_bytes",
    )

    def __init__(
        self,
        accepted: socket.socket,
        *,
        context: ssl.SSLContext | None,
        clients: Clients,
    ) -> None:
        self.socket = accepted
        self._context = context
        self._clients = clients
        self._channel: Channel | None = None
        self._pieces: list[bytes | memoryview] = []
        self._unsent = _EMPTY
        self._small_until = 0
        self.taken_bytes = 0
        """Bytes that the kernel has taken, of all that was ever put."""
        self.peer_ended = False

    def receive(
        self, buffer: memoryview, member: Member
    ) -> tuple[memoryview | bytes, arrival.Arrival]:
        """Read once, for ``member``. ``peer_ended`` is set when nothing more will come.

        Raises BlockingIOError where there was nothing, OSError where the peer is gone,
        NotWelcomeError. With TLS there may be something to send afterwards.
        """
        size, arrived = arrival.receive(self.socket, buffer)
        self.peer_ended = not size
        if self._context is not None and size:
            return self._decrypt(buffer[:size], self._context, member), arrived
        return buffer[:size], arrived

    def _decrypt(self, data: memoryview, context: ssl.SSLContext, member: Member) -> bytes:
        channel = self._channel
        if channel is None:
            if not self._clients.start_handshake(self, member):
                raise NotWelcomeError(Refusal.HANDSHAKES)
            channel = self._channel = Channel(context)
        handshaking = not channel.established
        try:
            plain, self.peer_ended = channel.decrypt(data)
        except ssl.SSLError as problem:
            with contextlib.suppress(OSError):
                self.send()  # an alert that says why
            raise NotWelcomeError(Refusal.REQUEST) from problem
        finally:  # a handshake may be over, and what came behind it no TLS
            if handshaking and channel.established:
                self._clients.end_handshake(self)
        return plain

    def put(self, pieces: Iterable[bytes]) -> None:
        """Add plain bytes to what is to be sent; no piece is empty."""
        self._pieces += pieces

    def send(self) -> bool:
        """Return whether all is under way. Raises OSError where the peer is gone.

        False while the kernel has more of it than it tells us to add to: the socket is writable
        again when the peer has taken of it.
        """
        channel = self._channel
        while True:
            if not self._unsent and channel is not None:
                self._unsent = self._encrypted(channel)
            elif not self._unsent and self._pieces:
                self._unsent = memoryview(self._pieces.pop(0))
            if not self._unsent:
                break
            try:
                sent = self.socket.send(self._unsent)
            except (BlockingIOError, InterruptedError):
                return False
            self.taken_bytes += sent
            self._unsent = self._unsent[sent:]
        self._unsent = _EMPTY  # an empty slice would keep its document
        if self.taken_bytes - self._small_until < NOT_SENT_BYTES:
            return True  # nor can the kernel have more than that
        is_little = self._in_kernel(_SIOCOUTQNSD) < NOT_SENT_BYTES
        if is_little:
            self._small_until = self.taken_bytes
        return is_little

    @property
    def held_bytes(self) -> int:
        """Of what is not sent, and of OpenSSL's. A large body is shared, so it counts in part."""
        unsent = len(self._unsent) + sum(map(len, self._pieces))
        return min(unsent, UNSENT_BYTES) + (TLS_BYTES if self._channel is not None else 0)

    def goodbye(self) -> None:
        """Say that no more comes; the peer's own goodbye is not waited for."""
        if self._channel is not None:
            self._channel.close_notify()
            with contextlib.suppress(OSError):  # the peer is gone, which is what was wanted
                self.send()

    def close(self, *, reset: bool = False) -> None:
        """Close the socket and forget what was not sent. Call it once.

        ``reset``: what the kernel has not sent either is forgotten, too. Else it would keep it, for
        a peer that takes nothing, for minutes.
        """
        if reset and self._in_kernel(termios.TIOCOUTQ):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _FORGET)
        if self._channel is not None and not self._channel.established:
            self._clients.end_handshake(self)
        self._channel = None
        self._pieces.clear()
        self._unsent = _EMPTY
        self.socket.close()

    def _in_kernel(self, request: int) -> int:
        """Return the bytes that tcp(7) counts by SIOCOUTQ (not acknowledged) or SIOCOUTQNSD."""
        return int(_INT.unpack(fcntl.ioctl(self.socket, request, bytes(_INT.size)))[0])

    def _encrypted(self, channel: Channel) -> memoryview:
        """Return the next bytes for the socket, none where there are none."""
        if not channel.outgoing.pending and self._pieces:
            piece = memoryview(self._pieces.pop(0))
            channel.encrypt(piece[:RECORD_BYTES])
            if len(piece) > RECORD_BYTES:
                self._pieces.insert(0, piece[RECORD_BYTES:])
        return memoryview(channel.outgoing.read())
