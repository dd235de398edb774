"""Reads what our ClientHello offers from the bytes that OpenSSL made.

OpenSSL offers finite-field Diffie-Hellman to every server, and Python before 3.15 cannot choose
groups. A server that asks for a large group (HelloRetryRequest, RFC 8446 section 4.1.4) makes us
compute: 88 ms for ffdhe8192, in one call that nothing can interrupt. But before that OpenSSL makes
a second ClientHello, which costs only 5 ms and shows the group.
"""

from __future__ import annotations

from typing import Final

from kubenurse_otel.errors import TooCostlyError
from kubenurse_otel.tls import client_hello

_LARGE_GROUPS: Final = {258: "ffdhe4096", 259: "ffdhe6144", 260: "ffdhe8192"}
"""RFC 7919 appendix A; ffdhe3072 and ffdhe2048 take up to 6 ms."""


def refuse_large_groups(flight: bytes) -> None:
    """Raise TooCostlyError if ``flight`` (TLS records of ours) has a key of a large group."""
    for group in key_share_groups(flight):
        if group in _LARGE_GROUPS:
            raise TooCostlyError(f"it asks for {_LARGE_GROUPS[group]} as the only key exchange")


def key_share_groups(flight: bytes) -> list[int]:
    """Return the groups (RFC 8446 section 4.2.7) of which ``flight`` has a key. [] if no hello."""
    at = 0
    while at + 5 <= len(flight):
        end = at + 5 + int.from_bytes(flight[at + 3 : at + 5], "big")
        if flight[at] == client_hello.HANDSHAKE and flight[at + 5] == client_hello.CLIENT_HELLO:
            return [*client_hello.offer(flight[at + 5 : end]).key_shares]
        at = end
    return []
