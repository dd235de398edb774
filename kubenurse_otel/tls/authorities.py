"""Load files of certificate authorities (PEM, RFC 7468). OpenSSL has to read all that is in a file.

Names what is broken by block and line. OpenSSL only says that something is broken, and skips a
block silently if its BEGIN is not at the start of a line.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import errno
import re
import ssl
from typing import TYPE_CHECKING, Final

from kubenurse_otel import files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CERTIFICATES: Final = frozenset({b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE"})
"""Labels that OpenSSL reads as certificates. A TRUSTED one has OpenSSL's own data at its end."""
_BEGIN: Final = re.compile(rb"-----BEGIN ([^-]+)-----\s*")


class AuthoritiesError(ValueError):
    """The file cannot be used for authorities. ``str()`` is a sentence that names the file.

    ``reason`` is the same without the file: "block 2 in line 23 is not base64".
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.reason = reason


def check_authorities(path: Path) -> None:
    """Raise what ``load_authorities`` would raise for this file."""
    load_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), path)


def load_authorities(context: ssl.SSLContext, path: Path) -> None:
    """Also trust the certificates in ``path``. Raises OSError or AuthoritiesError; both name it."""
    _check_blocks(path)
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:  # also a key or a CRL beside the certificates
        raise AuthoritiesError(path, f"OpenSSL finds {error.reason or 'a fault'}") from None


def _check_blocks(path: Path) -> None:
    """Raise AuthoritiesError if a block is broken, or if no block is a certificate."""
    try:
        data = files.read(path)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EFBIG):
            raise
        raise AuthoritiesError(path, f"it {error.strerror}") from None
    if data.startswith(b"\x30\x82"):
        raise AuthoritiesError(path, "there is DER, not PEM")
    if b"\0" in data:  # OpenSSL stops reading there, without an error
        raise AuthoritiesError(path, "there are zero bytes: UTF-16 is no PEM")
    certificates = 0
    for number, (line, label, body) in enumerate(_blocks(data), start=1):
        reason = body if isinstance(body, str) else _fault(body) if label in _CERTIFICATES else ""
        if reason:
            raise AuthoritiesError(path, f"block {number} in line {line} {reason}")
        certificates += label in _CERTIFICATES
    if not certificates:
        raise AuthoritiesError(path, "there is no PEM certificate")


def _blocks(data: bytes) -> Iterator[tuple[int, bytes, bytes | str]]:
    """Yield each block: the number of its first line, its label, and its base64 (bytes) or what is
    wrong with it (str).
    """
    lines = data.removeprefix(codecs.BOM_UTF8).split(b"\n")
    begin: tuple[int, bytes] | None = None
    body: list[bytes] = []
    for number, line in enumerate(lines, start=1):
        starts = b"-----BEGIN " in line
        if begin is not None and (starts or line.startswith(b"-----END ")):
            first, label = begin
            ended = line.rstrip() == b"-----END " + label + b"-----"
            yield first, label, b"".join(body) if ended else "does not end with its END line"
            begin = None
        elif begin is not None:
            body.append(line.strip())
        if starts:
            match = _BEGIN.fullmatch(line)
            if match is None:
                yield number, b"", "does not have its BEGIN line for itself"
            else:
                begin, body = (number, match[1]), []
    if begin is not None:
        yield begin[0], begin[1], "does not end with its END line"


def _fault(text: bytes) -> str:
    """Say what is wrong with a certificate in base64. Empty if OpenSSL can read it."""
    try:
        der = base64.b64decode(text, validate=True)
    except binascii.Error:
        return "is not base64"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=_first_element(der))
    except (ssl.SSLError, ValueError):
        return "is no certificate"
    return ""


def _first_element(der: bytes) -> bytes:
    """Cut off what follows the certificate: in a TRUSTED one, OpenSSL's trust settings."""
    if der[:1] != b"\x30" or len(der) < 4:
        return der
    length_bytes = der[1] & 0x7F if der[1] & 0x80 else 0
    length = int.from_bytes(der[2 : 2 + length_bytes], "big") if length_bytes else der[1]
    return der[: 2 + length_bytes + length]
