"""Connections to one API server, by urllib3: answers are bounded, each pool has its own trust."""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from kubenurse_otel.discovery.bounded import Response
from kubenurse_otel.record import record

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable


SOCKET_OPTIONS: Final = [
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]
"""Keep-alive of tcp(7), in seconds. A watch is silent for minutes, and we must notice if a NAT has
forgotten the connection. This notices it within 25 s; client-go's defaults need 165 s.
"""


@record(frozen=True, slots=True)
class Access:
    """How an API server is reached."""

    host: str
    """Scheme, host and port, without a slash at the end."""
    pools: urllib3.PoolManager
    headers: Callable[[], dict[str, str]]
    """Our credentials, fresh. May block, and raise anything."""


def pool_classes(make_context: Callable[[], ssl.SSLContext]) -> dict[str, Any]:
    """Return the value of PoolManager.pool_classes_by_scheme. ``make_context`` is called at each
    connect.
    """
    return {"http": _Pool, "https": partial(_SecurePool, make_context=make_context)}


class _Connection(HTTPConnection):
    response_class = Response


class _SecureConnection(HTTPSConnection):
    """Makes a TLS context of its own, since CA files are replaced while we run."""

    response_class = Response

    def __init__(
        self, *arguments: Any, make_context: Callable[[], ssl.SSLContext], **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self._make_context = make_context

    def connect(self) -> None:
        self.ssl_context = self._make_context()
        super().connect()


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    """Hands ``make_context`` to its connections, as all options that it does not know."""

    ConnectionCls = _SecureConnection
