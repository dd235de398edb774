"""What the far end of one check may cost us: counted, bounded, and spread over several rounds of
the event loop.

A bound on time alone does not suffice: a far end whose bytes are always there already never makes
us wait.
"""

from __future__ import annotations

from typing import Final

from kubenurse_otel.errors import TooCostlyError

MAX_PIECES: Final = 4096
"""Reads of the socket, TLS records with plain text, chunks: each costs up to 10 us of CPU."""
MAX_HANDSHAKE_BYTES: Final = 131_072
"""The most bytes of a TLS handshake. OpenSSL takes 100 KiB of certificates."""
MAX_SILENT_BYTES: Final = 65_536
"""TLS after its handshake, without the plain text in it: session tickets (up to 15 us for each 18
bytes), key updates, framing.
"""
PIECES_A_TURN: Final = 256
"""After this many pieces other tasks have their turn, and between two reads that did not have to
wait.
"""


class Effort:
    """The cost of one exchange so far. Everything that adds to it raises TooCostlyError."""

    __slots__ = ("_handshake_bytes", "_hurried", "_pieces", "_pieces_at_turn", "_silent_bytes")

    def __init__(self) -> None:
        self._pieces = self._pieces_at_turn = 0
        self._hurried = False
        self._handshake_bytes = self._silent_bytes = 0

    @property
    def is_hurried(self) -> bool:
        """True if the last read of the socket did not have to wait."""
        return self._hurried

    @property
    def is_long(self) -> bool:
        """True if many pieces were taken since other tasks had their turn."""
        return self._pieces - self._pieces_at_turn >= PIECES_A_TURN

    def turned(self) -> None:
        """Note that other tasks had their turn."""
        self._hurried, self._pieces_at_turn = False, self._pieces

    def read(self, *, waited: bool) -> None:
        """Note that bytes were read from the socket."""
        self._hurried = not waited
        self.add(1)

    def add(self, pieces: int) -> None:
        """Note records or chunks that were taken out of what was read."""
        self._pieces += pieces
        if self._pieces > MAX_PIECES:
            raise TooCostlyError(f"in over {MAX_PIECES} reads, TLS records and chunks")

    def handshake(self, size: int) -> None:
        """Note bytes of a TLS handshake."""
        self._handshake_bytes += size
        if self._handshake_bytes > MAX_HANDSHAKE_BYTES:
            raise TooCostlyError(f"over {MAX_HANDSHAKE_BYTES // 1024} KiB of TLS handshake")

    def silent(self, size: int) -> None:
        """Note bytes of TLS that came. A negative number says how many of them were plain text."""
        self._silent_bytes += size
        if self._silent_bytes > MAX_SILENT_BYTES:
            raise TooCostlyError(f"over {MAX_SILENT_BYTES // 1024} KiB of TLS without plain text")
