"""Who gets the page: clients that ask for HTML, and not by the ingress' name.

Owns Accept, the field that stops refreshing, and the names of a host. How the page is made is
pages.py's, which is not imported for this (first_look.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kubenurse_otel.server import routes
    from kubenurse_otel.server.message import Request, Response

STILL: Final = "still"
"""The query's field that stops refreshing (WCAG 2.2, 2.2.1)."""
_HTML: Final = ("text/html", "application/xhtml+xml")


def for_browsers(handler: routes.Handler, instead: routes.Handler) -> routes.Handler:
    """Return a handler that serves clients which ask for HTML. Others get ``instead``."""

    def handle(request: Request) -> Response:
        asks = accepts_html(request.header(b"accept") or "")
        return (handler if asks else instead)(request)

    return handle


def not_by_ingress(handler: routes.Handler, instead: routes.Handler, host: str) -> routes.Handler:
    """Return a handler that does not serve requests by the ingress' name. They get ``instead``.

    The chart's Ingress publishes /alwayshappy alone; one that publishes all, as kubenurse's may,
    must not show the page to the world.
    """
    ingress = host.rstrip(".").lower()

    def handle(request: Request) -> Response:
        said = [request.authority[0]]
        for name in (b"x-forwarded-host", b"x-original-host", b"forwarded"):
            said += _hosts(request.header(name) or "")
        is_by_ingress = any(one.rstrip(".").lower() == ingress for one in said)
        return (instead if is_by_ingress else handler)(request)

    return handle if ingress else handler


def is_still(request: Request) -> bool:
    return STILL in request.query


def accepts_html(accept: str) -> bool:
    """Whether Accept names HTML, as browsers' does, and not with q=0 (RFC 9110, 12.5.1)."""
    for item in accept.lower().split(","):
        kind, *parameters = (one.strip() for one in item.split(";"))
        if kind in _HTML:
            quality = next((one[2:] for one in parameters if one.startswith("q=")), "1")
            return bool(quality.strip("0."))
    return False


def _hosts(value: str) -> list[str]:
    """Of X-Forwarded-Host, a list of hosts with or without ports, or of Forwarded (RFC 7239)."""
    found = []
    for item in value.replace(";", ",").split(","):
        host = item.strip()
        if "=" in host:
            name, _, host = host.partition("=")
            if name.strip().lower() != "host":
                continue
        host = host.strip().strip('"')
        found.append(
            host.partition("]")[0].strip("[") if host[:1] == "[" else host.partition(":")[0]
        )
    return found
