"""The API server of our own cluster: its address from the environment, our service account's token.

The token goes only there: over TLS that ca.crt (or KUBENURSE_EXTRA_CA) verifies, through no proxy
and after no redirect (api.py).
"""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import TYPE_CHECKING

import urllib3

from kubenurse_otel import files
from kubenurse_otel.discovery.pools import SOCKET_OPTIONS, Access, pool_classes
from kubenurse_otel.probe.trust import read_token
from kubenurse_otel.text import host_port
from kubenurse_otel.tls.authorities import AuthoritiesError, load_authorities
from kubenurse_otel.tls.verification import client_context

if TYPE_CHECKING:
    import ssl

    from kubenurse_otel.config import Config

_CONNECTIONS = 8
"""The most connections that are kept: two watches, our own node, and objects that are read one by
one.
"""


def in_cluster(config: Config) -> Access:
    """Raises OSError, with its name, for a file that is missing or empty."""
    trust, checks = config.trust, config.checks
    for path in (trust.token_file, trust.ca_file):
        if not files.read(path):
            raise OSError(errno.EINVAL, "is empty", str(path))

    def context() -> ssl.SSLContext:
        try:
            context = client_context(trust.ca_file)
        except OSError as error:  # urllib3 would wrap it, and the file's name be lost
            raise AuthoritiesError(trust.ca_file, str(error.strerror)) from None
        if trust.extra_ca is not None:
            with suppress(OSError, AuthoritiesError):  # which the checks of the API server report
                load_authorities(context, trust.extra_ca)
        return context

    pools = urllib3.PoolManager(
        maxsize=_CONNECTIONS, cert_reqs="CERT_REQUIRED", socket_options=SOCKET_OPTIONS
    )
    pools.pool_classes_by_scheme = pool_classes(context)
    return Access(
        host=f"https://{host_port(checks.api_server_host, checks.api_server_port)}",
        pools=pools,
        headers=lambda: {"authorization": f"Bearer {read_token(trust.token_file)}"},
    )
