"""What a ClientHello of ours offers, read from the bytes that OpenSSL made.

OpenSSL offers finite-field Diffie-Hellman to every server, and Python before 3.15 cannot choose
groups. A server that asks for a large one (HelloRetryRequest, RFC 8446 section 4.1.4) makes us
compute: 88 ms for ffdhe8192, in one call that nothing interrupts. OpenSSL's answer to it, the
second ClientHello, costs 5 ms and tells.
"""

from __future__ import annotations

import struct
from typing import Final

from kubenurse_otel.errors import TooCostlyError

_LARGE_GROUPS: Final = {258: "ffdhe4096", 259: "ffdhe6144", 260: "ffdhe8192"}
"""RFC 7919 appendix A; ffdhe3072 and ffdhe2048 take up to 6 ms."""
_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_KEY_SHARE: Final = 51
_SHORT: Final = struct.Struct(">H")


def refuse_large_groups(flight: bytes) -> None:
    """Raises TooCostlyError where ``flight`` (records of ours) has a key of a large group."""
    for group in key_share_groups(flight):
        if group in _LARGE_GROUPS:
            raise TooCostlyError(f"it asks for {_LARGE_GROUPS[group]} as the only key exchange")


def key_share_groups(flight: bytes) -> list[int]:
    """The groups (RFC 8446 section 4.2.7) of which ``flight`` holds a key, [] without a hello."""
    at = 0
    while at + 5 <= len(flight):
        end = at + 5 + _short(flight, at + 3)
        if flight[at] == _HANDSHAKE and flight[at + 5] == _CLIENT_HELLO:
            return _shares(flight[at + 9 : end])
        at = end
    return []


def _shares(hello: bytes) -> list[int]:
    at = 2 + 32  # legacy_version, random
    at += 1 + hello[at]  # legacy_session_id
    at += 2 + _short(hello, at)  # cipher_suites
    at += 1 + hello[at]  # legacy_compression_methods
    at += 2  # the extensions' length
    while at + 4 <= len(hello):
        kind, size = _short(hello, at), _short(hello, at + 2)
        at += 4
        if kind == _KEY_SHARE:
            return _groups(hello[at + 2 : at + size])
        at += size
    return []


def _groups(shares: bytes) -> list[int]:
    groups, at = [], 0
    while at + 4 <= len(shares):
        groups.append(_short(shares, at))
        at += 4 + _short(shares, at + 2)
    return groups


def _short(data: bytes, at: int) -> int:
    return int(_SHORT.unpack_from(data, at)[0])
