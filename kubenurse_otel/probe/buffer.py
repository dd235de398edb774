"""A buffer of bytes that came and were not taken yet."""

from __future__ import annotations


class Buffer:
    """Grows at its end, and is taken from its start. No byte is searched twice for a line's end."""

    __slots__ = ("_at", "_data", "_scanned")

    def __init__(self) -> None:
        self._data = bytearray()
        self._at = self._scanned = 0

    def __len__(self) -> int:
        return len(self._data) - self._at

    def add(self, data: bytes) -> None:
        del self._data[: self._at]
        self._scanned -= self._at
        self._at = 0
        self._data += data

    def peek(self, size: int) -> bytes:
        """Return at most ``size`` bytes without taking them."""
        return bytes(self._data[self._at : self._at + size])

    def has_line(self, *, within: int) -> bool:
        """Whether a line ends in the next ``within`` bytes."""
        return self._data.find(b"\n", self._at, self._at + within) >= 0

    def skip(self, size: int) -> None:
        self._at += size
        self._scanned = max(self._scanned, self._at)

    def line(self) -> bytes | None:
        """Take a line with its end. None until there is a complete one."""
        end = self._data.find(b"\n", self._scanned)
        if end < 0:
            self._scanned = len(self._data)
            return None
        line = bytes(self._data[self._at : end + 1])
        self._at = self._scanned = end + 1
        return line


def without_end(line: bytes) -> bytes:
    """Return the line without its end, CRLF or LF (RFC 9112 section 2.2)."""
    return line[:-2] if line.endswith(b"\r\n") else line[:-1]
