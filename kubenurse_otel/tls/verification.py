"""How a far end's certificate is verified: the one place where TLS contexts of a client are made.

The same on every Python and for all that we ask (checks, discovery, collectors). Owns no decision
about whom to trust.
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
"""openssl-rehash(1): certificates, and lists of what is revoked."""


def client_context(*trusted: Path, system: bool = False) -> ssl.SSLContext:
    """Trust the certificates in ``trusted``, and those of the system with ``system``.

    As Go, curl and kubectl do: whatever certificate a file holds is an end of a chain, an
    intermediate or a pinned leaf too (VERIFY_X509_PARTIAL_CHAIN); CAs need neither key identifiers
    nor key usage (no VERIFY_X509_STRICT, a default of Python's from 3.13 on); and a common name is
    no host name (RFC 9110 section 4.3.4). Raises OSError, or AuthoritiesError for a file that is
    broken; both name the file.
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
    """Trust what OpenSSL does by itself: SSL_CERT_FILE and SSL_CERT_DIR, or where it looks else.

    But regular files only: OpenSSL opens a pipe, and waits for its writer. What else SSL_CERT_FILE
    names is passed over, as a missing file is. Of a folder OpenSSL reads, in a handshake, the files
    whose names are a subject's hash. Raises OSError, with its name, where one of them is no file.
    """
    paths = ssl.get_default_verify_paths()  # only what is a file, and a folder
    if paths.capath:
        with os.scandir(paths.capath) as entries:
            files.require(Path(entry) for entry in entries if _HASHED.fullmatch(entry.name))
    if paths.cafile:
        files.require([Path(paths.cafile)])
    if paths.cafile or paths.capath:
        context.load_verify_locations(paths.cafile, paths.capath)
