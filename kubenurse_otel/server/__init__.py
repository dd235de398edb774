"""The agent's HTTP server: kubenurse's endpoints on up to three listeners.

Owns which port serves what, start and stop; the parts are this package's modules.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Final, NamedTuple

from kubenurse_otel.server import routes
from kubenurse_otel.server.alive import Alive
from kubenurse_otel.server.alwayshappy import AlwaysHappy
from kubenurse_otel.server.connection import Connection
from kubenurse_otel.server.connections import Connections
from kubenurse_otel.server.listener import Listener, ServerError, bind
from kubenurse_otel.server.message import Peer
from kubenurse_otel.server.tls import Certificate

if TYPE_CHECKING:
    import socket
    from collections import Counter
    from collections.abc import Callable

    from opentelemetry.trace import Tracer

    from kubenurse_otel.config import Config
    from kubenurse_otel.incoming import Incoming
    from kubenurse_otel.model import Neighbourhood
    from kubenurse_otel.results import Results
    from kubenurse_otel.semconv import Refusal

__all__ = ["Ports", "Server", "ServerError"]

STOP_SECONDS: Final = 1.0
"""For the answers that are under way when the server stops."""


class Ports(NamedTuple):
    """The ports that are really bound; None where there is no such listener."""

    port: int
    tls_port: int | None = None
    admin_port: int | None = None


class Server:
    """Serves from ``start`` to ``stop``. Everything it shows is asked for when it is asked.

    ``ready`` returns None, or the reason why not. ``render`` gets the Accept header's value.
    """

    def __init__(
        self,
        config: Config,
        *,
        results: Results,
        incoming: Incoming,
        refusals: Counter[Refusal],
        neighbourhood: Callable[[], Neighbourhood],
        render: routes.Render,
        tracer: Tracer,
        ready: Callable[[], str | None],
        connection_limit: int | None = None,
    ) -> None:
        self._config = config.server
        self._connection_limit = connection_limit

        def node_name() -> str:
            return config.identity.node_name or neighbourhood().own_node_name

        probes: dict[bytes, routes.Handler] = {
            routes.ALWAYSHAPPY: AlwaysHappy(
                node_name=node_name, incoming=incoming, tracer=tracer, refusals=refusals
            ),
            routes.READY: routes.Ready(ready),
        }
        alive = Alive(
            results=results,
            neighbourhood=neighbourhood,
            node_name=node_name,
            bad_status=self._config.alive_status or 500,
        )
        admin: dict[bytes, routes.Handler] = {
            routes.METRICS: (
                routes.Metrics(render) if config.telemetry.prometheus else routes.no_metrics
            ),
            routes.ALIVE: alive,
            routes.ROOT: routes.redirect,
        }
        apart = self._config.admin_port is not None
        self._probe_routes = routes.Routes(probes if apart else {**probes, **admin})
        self._admin_routes = routes.Routes(admin)
        self._listeners: list[Listener] = []
        self._connections: Connections | None = None
        self._certificate: Certificate | None = None
        self.ports = Ports(0)

    async def start(self) -> None:
        """Bind and serve. Raises ServerError; nothing stays open then."""
        try:
            self._start(asyncio.get_running_loop())
        except BaseException:
            await self.stop()
            raise

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        config = self._config
        connections = Connections(loop, limit=self._connection_limit)
        self._connections = connections
        certificate = self._load_certificate() if config.use_tls else None

        def listen(
            port: int, variable: str, handler: routes.Routes, certificate: Certificate | None = None
        ) -> int:
            def welcome(accepted: socket.socket) -> None:
                peer = _peer(accepted, secure=certificate is not None)
                if peer is not None:
                    Connection(
                        accepted,
                        peer,
                        handler=handler,
                        connections=connections,
                        loop=loop,
                        context=certificate.context() if certificate is not None else None,
                    )

            for bound in bind(config.listen_address, port, variable=variable):
                listener = Listener(
                    bound, loop=loop, welcome=welcome, make_room=connections.make_room
                )
                self._listeners.append(listener)
            return self._listeners[-1].port

        port = listen(config.port, "KUBENURSE_PORT", self._probe_routes)
        tls_port = admin_port = None
        if certificate is not None:
            tls_port = listen(
                config.tls_port, "KUBENURSE_TLS_PORT", self._probe_routes, certificate
            )
        if config.admin_port is not None:
            admin_port = listen(config.admin_port, "KUBENURSE_ADMIN_PORT", self._admin_routes)
        self.ports = Ports(port, tls_port, admin_port)

    def _load_certificate(self) -> Certificate:
        config = self._config
        if config.cert_file is None or config.cert_key is None:
            raise ServerError(
                "KUBENURSE_USE_TLS=true needs KUBENURSE_CERT_FILE and KUBENURSE_CERT_KEY"
            )
        try:
            return Certificate(config.cert_file, config.cert_key)
        except (OSError, ssl.SSLError, ValueError) as problem:
            raise ServerError(
                f"KUBENURSE_CERT_FILE {config.cert_file} and KUBENURSE_CERT_KEY {config.cert_key}"
                f" are no usable pair of certificate and key: {problem}"
            ) from problem

    async def stop(self) -> None:
        """Accept no more, end the answers under way (at most a second), close everything."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        if self._connections is not None:
            await self._connections.close(STOP_SECONDS)


def _peer(accepted: socket.socket, *, secure: bool) -> Peer | None:
    """Return both ends of the connection; None when it is already gone (and closed here)."""
    try:
        address, port = accepted.getpeername()[:2]
        local_address, local_port = accepted.getsockname()[:2]
    except OSError:
        accepted.close()
        return None
    return Peer(
        address=address,
        port=port,
        local_address=local_address,
        local_port=local_port,
        secure=secure,
    )
