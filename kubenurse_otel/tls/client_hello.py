"""Read from a ClientHello's bytes which groups it offers and has keys of (RFC 8446 section 4.1.2).

No I/O, and no verdict: probe/hello.py judges our own, server/hello.py that of a client. This is
needed because Python before 3.15 cannot choose groups, and one finite-field key exchange may take
170 ms in a single call.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

HANDSHAKE: Final = 22
"""The content type of its records (RFC 8446 section 5.1)."""
CLIENT_HELLO: Final = 1
MAX_BYTES: Final = 16_384
"""The most bytes of a record, and here of a whole hello. With a post-quantum key it has 1,600."""
_MAX_RECORDS: Final = 8
_RECORD_HEADER: Final = 5
_MESSAGE_HEADER: Final = 4
"""Bytes of type and length (RFC 8446 section 4)."""
_SUPPORTED_GROUPS: Final = 10
_KEY_SHARE: Final = 51
_SHORT: Final = struct.Struct(">H")


class Offer(NamedTuple):
    """Groups by their numbers (IANA, TLS Supported Groups), in the client's order."""

    groups: tuple[int, ...] | None
    """None if the extension is missing. Then it is TLS 1.2 at most."""
    key_shares: tuple[int, ...]


class NoHelloError(ValueError):
    """The bytes are not a ClientHello with extensions, and OpenSSL does not read them as one."""


def message(records: bytes) -> bytes | None:
    """Return the first handshake message of ``records``, with its type and length.

    None while it is not complete. Raises NoHelloError, and ValueError if it has over MAX_BYTES or
    over 8 records.
    """
    at = 0
    found = b""
    for _ in range(_MAX_RECORDS):
        if at < len(records) and records[at] != HANDSHAKE:
            raise NoHelloError("no handshake record")
        if at + _RECORD_HEADER > len(records):
            return None
        size = _short(records, at + 3)
        if not 0 < size <= MAX_BYTES:
            raise NoHelloError("no record")
        at += _RECORD_HEADER
        found += records[at : at + size]
        at += size
        if found and found[0] != CLIENT_HELLO:
            raise NoHelloError("another message")
        if len(found) >= _MESSAGE_HEADER:
            whole = _MESSAGE_HEADER + int.from_bytes(found[1:_MESSAGE_HEADER], "big")
            if whole > MAX_BYTES:
                raise ValueError("a ClientHello that is too long")
            if len(found) >= whole:
                return found[:whole]
    raise ValueError("a ClientHello in too many records")


def offer(hello: bytes) -> Offer:
    """Read a ClientHello (with type and length). Raises ValueError if it is malformed."""
    try:
        return _offer(hello)
    except (IndexError, struct.error):
        raise ValueError("a malformed ClientHello") from None


def _offer(hello: bytes) -> Offer:
    at = _MESSAGE_HEADER + 2 + 32  # legacy_version, random
    at += 1 + hello[at]  # legacy_session_id
    at += 2 + _short(hello, at)  # cipher_suites
    at += 1 + hello[at]  # legacy_compression_methods
    at += 2  # the extensions' length
    groups: tuple[int, ...] | None = None
    shares: list[int] = []
    while at + 4 <= len(hello):
        kind, size = _short(hello, at), _short(hello, at + 2)
        at += 4
        if kind == _SUPPORTED_GROUPS:
            groups = tuple(_short(hello, one) for one in range(at + 2, at + size, 2))
        elif kind == _KEY_SHARE:
            share = at + 2
            while share + 4 <= at + size:
                shares.append(_short(hello, share))
                share += 4 + _short(hello, share + 2)
        at += size
    return Offer(groups, tuple(shares))


def _short(data: bytes, at: int) -> int:
    return int(_SHORT.unpack_from(data, at)[0])
