"""The agent's HTTP server: kubenurse's endpoints on up to three listeners.

Owns which port serves what, start and stop; the parts are this package's modules.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kubenurse_otel.rate import Rate
from kubenurse_otel.server import routes, verdicts
from kubenurse_otel.server.alive import Alive
from kubenurse_otel.server.alwayshappy import AlwaysHappy
from kubenurse_otel.server.browsers import for_browsers, not_by_ingress
from kubenurse_otel.server.connection import Connection
from kubenurse_otel.server.connections import Connections
from kubenurse_otel.server.first_look import FirstLook
from kubenurse_otel.server.listener import Listener, ServerError, bind
from kubenurse_otel.server.message import Peer
from kubenurse_otel.server.target import OneTarget
from kubenurse_otel.server.tls import Certificate
from kubenurse_otel.server.wire import Wire
from kubenurse_otel.state.history import History

if TYPE_CHECKING:
    import socket
    from collections import Counter
    from collections.abc import Callable, Iterable, Sequence

    from opentelemetry.trace import Tracer

    from kubenurse_otel.config import Config, Setting
    from kubenurse_otel.model import Neighbourhood
    from kubenurse_otel.semconv import Metric, Refusal
    from kubenurse_otel.server.pages import Pages
    from kubenurse_otel.state.incoming import Incoming
    from kubenurse_otel.state.judging import Judging
    from kubenurse_otel.state.known_agents import KnownAgents
    from kubenurse_otel.state.results import Results

    Figures = Callable[[Metric], Iterable[tuple[float, tuple[str, ...]]]]

__all__ = ["Ports", "Server", "ServerError"]

STOP_SECONDS: Final = 1.0
"""Seconds that answers under way get when the server stops."""
LARGE_PER_SECOND: Final = 20.0
"""Requests per second that one client may make for /metrics, and for each other large document."""
LARGE_BURST: Final = 40.0


class Ports(NamedTuple):
    """The ports that are really bound; None where there is no such listener."""

    port: int
    tls_port: int | None = None
    admin_port: int | None = None

    @property
    def checked(self) -> int:
        """The one that other agents check."""
        return self.tls_port or self.port


class Server:
    """Serves from ``start`` to ``stop``. Responses are computed on request.

    ``ready`` returns None, or the reason why not. ``render`` gets the Accept header's value.
    ``judging`` is None where there is no diagnosis; what it sees is sent only to ``agents``.
    ``history``, ``settings`` (for people) and ``figures`` (a metric's values) are the page's.
    ``on_crowd`` is called (often) while there are more clients than checks explain.
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
        agents: KnownAgents,
        judging: Judging | None,
        history: History | None = None,
        settings: Sequence[Setting] = (),
        figures: Figures = lambda _: (),
        connection_limit: int | None = None,
        on_crowd: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config.server
        self._refusals = refusals
        self._on_crowd = on_crowd
        self._connection_limit = connection_limit

        def limited(
            handler: routes.Handler, refused: routes.Handler = routes.too_often
        ) -> routes.Handler:
            rate = Rate(per_second=LARGE_PER_SECOND, burst=LARGE_BURST)
            return routes.limited(handler, rate, refusals, refused)

        def node_name() -> str:
            return config.identity.node_name or neighbourhood().own_node_name

        not_found = routes.not_found(node_name)
        probes: dict[bytes, routes.Handler] = {
            routes.ALWAYSHAPPY: AlwaysHappy(
                node_name=node_name,
                incoming=incoming,
                tracer=tracer,
                refusals=refusals,
                agents=agents,
                view=judging.encoded_view if judging is not None else bytes,
            ),
            routes.READY: routes.ready(ready),
        }
        alive = Alive(
            results=results,
            neighbourhood=neighbourhood,
            node_name=node_name,
            bad_status=self._config.alive_status or 500,
        )
        admin: dict[bytes, routes.Handler] = {
            routes.METRICS: (
                limited(routes.metrics(render))
                if config.telemetry.prometheus
                else routes.no_metrics
            ),
            routes.ALIVE: limited(alive),
            routes.VERDICTS: verdicts.off,
            routes.VIEW: verdicts.off,
            routes.ROOT: routes.redirect,
        }
        history = history or History()
        documents: verdicts.Documents | None = None
        if judging is not None:
            documents = verdicts.Documents(
                judging,
                results=results,
                history=history,
                neighbourhood=neighbourhood,
                node_name=node_name,
                has_admin_port=bool(config.server.admin_port),
            )
            admin |= {
                routes.VERDICTS: limited(documents.verdicts),
                routes.VIEW: limited(documents.view),
                routes.REPORT: limited(documents.report),
            }
        self._page: FirstLook | None = None
        if config.page.enabled:
            target = OneTarget(results, history, node_name)

            def make_pages() -> Pages:
                from kubenurse_otel.server.pages import Facts, Pages  # noqa: PLC0415 - see first_look.py

                facts = Facts(
                    results=results,
                    target=target,
                    documents=documents,
                    neighbourhood=neighbourhood,
                    node_name=node_name,
                    settings=settings,
                    figures=figures,
                )
                return Pages(config, facts, refusals=refusals)

            page = self._page = FirstLook(make_pages)
            ingress = config.checks.ingress_url
            host = ingress.host if ingress is not None else ""
            views = {
                path: limited(page, page.too_often)
                for path in (routes.PAGE_OF_TARGET, routes.PAGE_OF_PAIR, routes.PAGE_OF_AGENT)
            }
            views[routes.TARGET] = limited(target)
            views[routes.ROOT] = for_browsers(limited(page, page.too_often), routes.redirect)
            for path, view in views.items():
                instead = routes.redirect if path == routes.ROOT else not_found
                admin[path] = not_by_ingress(view, instead, host)
        apart = self._config.admin_port is not None
        self._probe_routes = routes.Routes(probes if apart else {**probes, **admin}, not_found)
        self._admin_routes = routes.Routes(admin, not_found)
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
        connections = Connections(
            loop,
            refusals=self._refusals,
            limit=self._connection_limit,
            on_crowd=self._on_crowd,
        )
        self._connections = connections
        certificate = self._load_certificate() if config.use_tls else None

        def listen(
            port: int, variable: str, handler: routes.Routes, certificate: Certificate | None = None
        ) -> int:
            def welcome(accepted: socket.socket, far_end: tuple[Any, ...]) -> None:
                client = connections.clients.admit(far_end[0], loop.time)
                if client is None:
                    connections.refuse(accepted)
                    return
                context = certificate.context() if certificate is not None else None
                Connection(
                    Wire(accepted, context=context, clients=connections.clients),
                    Peer(far_end[0], far_end[1], accepted.getsockname, secure=context is not None),
                    client=client,
                    handler=handler,
                    connections=connections,
                    loop=loop,
                ).begin()

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

    def quiet(self) -> bool:
        """In a quiet moment, rebuild one page that somebody watches. True if another one is due."""
        return self._page is not None and self._page.quiet()

    async def stop(self) -> None:
        """Accept no more, end the answers under way (at most a second), close everything."""
        if self._page is not None:
            self._page.close()
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        if self._connections is not None:
            await self._connections.close(STOP_SECONDS)
