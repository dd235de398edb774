"""TLS to a proxy: the layer below a tunnel. It turns bytes into bytes, without I/O.

Owns an SSLObject, and no socket. Nothing is timed here: what is measured is the far end's own TLS,
inside the tunnel.
"""

from __future__ import annotations

import ssl
from typing import Final

_READ_BYTES: Final = 16_384


class ProxyTls:
    """Has a connection's plain bytes on one side, and what the proxy sees on the other."""

    def __init__(self, context: ssl.SSLContext, server_name: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)

    def shake_hands(self) -> bool:
        """Do one step of the handshake. True if it was the last one. Raises ssl.SSLError."""
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def to_send(self) -> bytes:
        """Return the bytes to send to the proxy."""
        return self._outgoing.read()

    def feed(self, data: bytes) -> None:
        """Take bytes that came from the proxy. No bytes mean that it closed."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def encrypt(self, data: bytes) -> bytes:
        if data:
            self._ssl.write(data)
        return self._outgoing.read()

    def decrypt(self) -> bytes | None:
        """Return some plain bytes, b"" at the end, None if more must come. Raises ssl.SSLError."""
        try:
            return self._ssl.read(_READ_BYTES)
        except ssl.SSLWantReadError:
            return None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""
