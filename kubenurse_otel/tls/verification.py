"""Make the TLS contexts of a client, which verify the far end's certificate. Nobody else makes any.

They are the same on every Python, and for checks, discovery and collectors. Does not decide whom to
trust.
"""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from typing import Final

from kubenurse_otel import files
from kubenurse_otel.tls.authorities import load_authorities

_HASHED: Final = re.compile(r"[0-9a-f]{8}\.r?[0-9]+")
"""Names of certificates and revocation lists in a folder (openssl-rehash(1))."""


def client_context(*trusted: Path, system: bool = False) -> ssl.SSLContext:
    """Trust the certificates in ``trusted``, and with ``system`` those of the system.

    The rules are those of Go, curl and kubectl:
    - a chain may end at any certificate of a file, also at an intermediate or a pinned leaf
      (VERIFY_X509_PARTIAL_CHAIN);
    - CAs need neither key identifiers nor key usage (no VERIFY_X509_STRICT, which is Python's
      default from 3.13 on);
    - a common name is no host name (RFC 9110 section 4.3.4).
    Raises OSError, or AuthoritiesError if a file is broken. Both name the file.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.hostname_checks_common_name = False
    if system:
        _trust_system(context)
    for file in trusted:
        load_authorities(context, file)
    return context


def _trust_system(context: ssl.SSLContext) -> None:
    """Trust what OpenSSL trusts by default: SSL_CERT_FILE and SSL_CERT_DIR, or its built-in places.

    Only regular files, because OpenSSL would open a pipe and wait for its writer. If SSL_CERT_FILE
    names anything else, it is ignored as a missing file is. In a folder OpenSSL reads, during
    handshakes, the files whose names are a subject's hash. Raises OSError, with the name, if one of
    these is no file.
    """
    paths = ssl.get_default_verify_paths()  # None for what is not a file, or not a folder
    if paths.capath:
        with os.scandir(paths.capath) as entries:
            files.require(Path(entry) for entry in entries if _HASHED.fullmatch(entry.name))
    if paths.cafile:
        files.require([Path(paths.cafile)])
    if paths.cafile or paths.capath:
        context.load_verify_locations(paths.cafile, paths.capath)
