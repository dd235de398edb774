"""Read from a certificate's DER (X.690) when it ends. Python parses only those that it verified.

Walks over six elements of a TBSCertificate (RFC 5280 section 4.1). The bytes are the far end's, so
nothing is copied, and no length is believed beyond the bytes that came.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

_SEQUENCE: Final = 0x30
_INTEGER: Final = 0x02
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_MAX_LENGTH_BYTES: Final = 3
"""16 MiB: more than a handshake message holds (RFC 8446 section 4)."""
_TIME: Final = re.compile(rb"(\d\d|\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z", re.ASCII)


_USUAL_BYTES: Final = 4096
"""Certificates up to this size are cached, because a server shows the same one again and again."""


def not_after(der: bytes) -> float | None:
    """Return notAfter in Unix seconds. None if these bytes are no certificate that has it."""
    return _kept(der) if len(der) <= _USUAL_BYTES else _read(der)


def _read(der: bytes) -> float | None:
    try:
        return _not_after(der)
    except (IndexError, ValueError):
        return None


_kept = lru_cache(maxsize=32)(_read)


def _not_after(der: bytes) -> float:
    """Return notAfter. Raises IndexError if bytes are missing, ValueError if they are wrong."""
    at, end = _enter(der, 0, len(der), _SEQUENCE)  # Certificate
    at, end = _enter(der, at, end, _SEQUENCE)  # TBSCertificate
    if der[at] == _VERSION:
        at = _enter(der, at, end, _VERSION)[1]
    for tag in (_INTEGER, _SEQUENCE, _SEQUENCE):  # serialNumber, signature, issuer
        at = _enter(der, at, end, tag)[1]
    at, end = _enter(der, at, end, _SEQUENCE)  # Validity
    at = _enter(der, at, end, der[at])[1]  # notBefore
    tag = der[at]
    at, end = _enter(der, at, end, tag)
    return _unix_seconds(tag, der[at:end])


def _enter(der: bytes, at: int, end: int, tag: int) -> tuple[int, int]:
    """Return where the content of the element at ``at`` begins and ends, within ``end``."""
    if der[at] != tag:
        raise ValueError
    length, at = der[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        if not 1 <= size <= _MAX_LENGTH_BYTES:
            raise ValueError
        length, at = int.from_bytes(der[at : at + size], "big"), at + size
    if at + length > end:
        raise ValueError
    return at, at + length


def _unix_seconds(tag: int, text: bytes) -> float:
    """Read a Time as RFC 5280 section 4.1.2.5 has it: in UTC, with seconds, without fractions."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError
    year, *rest = (int(number) for number in match.groups())
    if len(match[1]) != {_UTC_TIME: 2, _GENERALIZED_TIME: 4}.get(tag):
        raise ValueError
    if tag == _UTC_TIME:
        year += 1900 if year >= 50 else 2000
    month, day, hour, minute, second = rest
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
