"""How a far end's certificate is verified: the one place where TLS contexts of a client are made.

The same on every Python and for all that we ask (checks, discovery, collectors). Owns no decision
about whom to trust.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from kubenurse_otel.authorities import load_authorities

if TYPE_CHECKING:
    from pathlib import Path


def client_context(*files: Path, system: bool = False) -> ssl.SSLContext:
    """Trust the certificates in ``files``, and those of the system with ``system``.

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
        context.load_default_certs()
    for file in files:
        load_authorities(context, file)
    return context
