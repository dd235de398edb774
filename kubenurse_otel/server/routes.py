"""Which handler answers which path, and the answers that need no module of their own.

Owns /ready, /metrics, the redirect, 404 and OPTIONS; other methods were judged before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from kubenurse_otel.model import is_dns_subdomain
from kubenurse_otel.semconv import HEADER_NODE, Refusal
from kubenurse_otel.server.message import ALLOW, Request, Response, text

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping

    from kubenurse_otel.rate import Rate
    from kubenurse_otel.telemetry.exposition import Rendered

Handler = Callable[[Request], Response]
ALWAYSHAPPY: Final = b"/alwayshappy"
READY: Final = b"/ready"
ALIVE: Final = b"/alive"
METRICS: Final = b"/metrics"
VERDICTS: Final = b"/api/v1/verdicts"
VIEW: Final = b"/api/v1/view"
REPORT: Final = b"/api/v1/report"
TARGET: Final = b"/api/v1/target"
ROOT: Final = b"/"
PAGE_OF_TARGET: Final = b"/target"
PAGE_OF_PAIR: Final = b"/pair"
PAGE_OF_AGENT: Final = b"/agent"
RETRY_AFTER: Final = (b"Retry-After", b"1")
_HEADER_NODE: Final = HEADER_NODE.encode("ascii")


class Render(Protocol):
    """Telemetry's render: the exposition that ``accept`` prefers, gzip-coded if asked."""

    def __call__(self, accept: str, *, gzip: bool) -> Rendered: ...


class Routes:
    """A handler by path; everything else is 404.

    OPTIONS is answered by the server whatever the path (RFC 9110, 9.3.7): `option httpchk`,
    HAProxy's default health check, is OPTIONS /.
    """

    def __init__(self, handlers: Mapping[bytes, Handler], not_found: Handler) -> None:
        self._handlers = handlers
        self._not_found = not_found

    def __call__(self, request: Request) -> Response:
        if request.method == b"OPTIONS":
            return Response(headers=(ALLOW,))
        handlers = self._handlers
        handler = handlers.get(request.target) or handlers.get(request.path, self._not_found)
        return handler(request)


def too_often(_: Request) -> Response:
    """429 (RFC 6585, 4); the connection is read again a second later."""
    return text(429, "asked too often: a second is soon enough", RETRY_AFTER)


def limited(
    handler: Handler, rate: Rate, refusals: Counter[Refusal], refused: Handler = too_often
) -> Handler:
    """Return a handler of large documents that limits each client's rate. Clients that ask too
    often get ``refused``.
    """

    def handle(request: Request) -> Response:
        if rate.allows(request.peer.address):
            return handler(request)
        refusals[Refusal.RATE] += 1
        return refused(request)

    return handle


def ready(why_not: Callable[[], str | None]) -> Handler:
    """/ready: 200, or 503 with the reason."""

    def handle(_: Request) -> Response:
        reason = why_not()
        return text(200, "ok") if reason is None else text(503, reason)

    return handle


def metrics(render: Render) -> Handler:
    """/metrics in the form that Accept asks for, compressed where Accept-Encoding allows it."""

    def handle(request: Request) -> Response:
        rendered = render(
            request.header(b"accept") or "",
            gzip=accepts_gzip(request.header(b"accept-encoding") or ""),
        )
        headers = [
            (b"Content-Type", rendered.content_type.encode("latin-1")),
            (b"Vary", b"Accept, Accept-Encoding"),
        ]
        if rendered.content_encoding:
            headers.append((b"Content-Encoding", rendered.content_encoding.encode("ascii")))
        return Response(headers=tuple(headers), body=rendered.body)

    return handle


def no_metrics(_: Request) -> Response:
    """/metrics where prometheus is no exporter: 404, as for any target that Prometheus lacks."""
    return text(404, "not served: OTEL_METRICS_EXPORTER is set, and prometheus is not in it")


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether the header allows gzip: named or ``*``, and not with q=0 (RFC 9110, 12.5.3)."""
    allowed: dict[str, bool] = {}
    for item in accept_encoding.lower().split(","):
        coding, _, parameters = item.partition(";")
        name, _, quality = parameters.replace(" ", "").replace("\t", "").partition("=")
        allowed[coding.strip()] = not (name == "q" and not quality.strip("0."))
    return allowed.get("gzip", allowed.get("x-gzip", allowed.get("*", False)))


def not_found(node_name: Callable[[], str]) -> Handler:
    """404 with our node's name, as /alwayshappy has it: a check whose path an ingress has changed
    tells by it that not the ingress says so.
    """

    def handle(_: Request) -> Response:
        name = node_name()
        named = ((_HEADER_NODE, name.encode("ascii")),) if is_dns_subdomain(name) else ()
        return text(404, "not found", *named)

    return handle


def redirect(_: Request) -> Response:
    """/ leads to /alive, as kubenurse's does."""
    return Response(status=301, headers=((b"Location", ALIVE),))
