"""urllib3's pools for one API server: each answer is counted, each connection has its own trust."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from kubenurse_otel.discovery.bounded import Response

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable


def pool_classes(make_context: Callable[[], ssl.SSLContext]) -> dict[str, Any]:
    """What PoolManager.pool_classes_by_scheme holds; ``make_context`` is called at each connect."""
    return {"http": _Pool, "https": partial(_SecurePool, make_context=make_context)}


class _Connection(HTTPConnection):
    response_class = Response


class _SecureConnection(HTTPSConnection):
    """Has a TLS context for itself, since CA files are replaced while we run."""

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
