"""TLS of one accepted connection, in memory, and the certificate that it shows.

Owns SSLObject and MemoryBIO (asyncio's own TLS keeps 256 KiB a connection); no socket.
Certificate and key are loaded again when the files change; a half-written pair changes nothing.
"""

from __future__ import annotations

import logging
import ssl
import time
from typing import TYPE_CHECKING, Final

from kubenurse_otel import files
from kubenurse_otel.server.hello import Hello

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_log = logging.getLogger(__name__)

CIPHERS: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
)
"""The TLS 1.2 ciphers of Mozilla's intermediate configuration 6.0
(ssl-config.mozilla.org/guidelines), which are those of 5.8 without finite-field Diffie-Hellman. TLS
1.3 has OpenSSL's defaults.
"""
_REFUSED: Final = b"\x15\x03\x03\x00\x02\x02\x28"
"""A fatal alert, handshake_failure (RFC 8446, 6)."""
_READ_SIZE: Final = 16_384
_NO_PASSWORD: Final = b""


class Certificate:
    """A context made of ``cert_file`` and ``key_file``, remade when they change.

    The files are looked at when a connection comes, at most once a second. Raises OSError,
    ssl.SSLError or ValueError when they are no pair at the start.
    """

    def __init__(
        self, cert_file: Path, key_file: Path, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._files = (cert_file, key_file)
        self._pair = files.Reread(self._files, self._load, report=self._complain, clock=clock)
        self._pair.get()

    def context(self) -> ssl.SSLContext:
        """Return the context for a new connection: of the newest whole pair."""
        return self._pair.get()

    def _complain(self, problem: OSError | ValueError) -> None:
        _log.warning(
            "The certificate in %s and the key in %s changed and are no usable pair (%s);"
            " the previous ones stay in use",
            *self._files,
            problem,
        )

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        # All of the list are good: the client knows which its processor has instructions for.
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_ciphers(":".join(CIPHERS))
        context.set_alpn_protocols(["http/1.1"])
        # Without a password OpenSSL would ask the terminal for that of an encrypted key.
        context.load_cert_chain(*self._files, password=_NO_PASSWORD)
        if self._pair.value is not None:
            _log.info("The certificate in %s was loaded again", self._files[0])
        return context


class Channel:
    """One connection's TLS. Bytes to send gather in ``outgoing`` after every call."""

    __slots__ = ("_hello", "_incoming", "_tls", "established", "outgoing")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self.outgoing, server_side=True)
        self._hello: Hello | None = Hello()
        self.established = False

    def decrypt(self, data: memoryview) -> tuple[bytes, bool]:
        """Take in what came; return its plain bytes and whether the peer ended the connection.

        Raises ssl.SSLError for what is no TLS, or a handshake that fails.
        """
        taken: bytes | memoryview = data
        if self._hello is not None:
            held = self._take_hello(self._hello, data)
            if held is None:
                return b"", False
            taken, self._hello = held, None
        self._incoming.write(taken)
        plain: list[bytes] = []
        try:
            if not self.established:
                self._tls.do_handshake()
                self.established = True
            while True:
                some = self._tls.read(_READ_SIZE)
                if not some:
                    return b"".join(plain), True
                plain.append(some)
        except ssl.SSLWantReadError:
            return b"".join(plain), False

    def _take_hello(self, hello: Hello, data: memoryview) -> bytes | None:
        try:
            return hello.take(data)
        except ValueError as refusal:
            self.outgoing.write(_REFUSED)
            raise ssl.SSLError(str(refusal)) from None

    def encrypt(self, data: memoryview) -> None:
        self._tls.write(data)

    def close_notify(self) -> None:
        """Say that no more comes; the peer's own goodbye is not waited for."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            return
