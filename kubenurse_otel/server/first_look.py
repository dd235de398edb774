"""The page's code, imported when somebody looks for the first time.

Owns that a thread imports it, and what is answered meanwhile. The import takes 25 ms of CPU, and on
the event loop checks would wait for it. An agent at whose page nobody looks is 1 MiB smaller.
"""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING, Final

from kubenurse_otel import unhandled
from kubenurse_otel.server import routes
from kubenurse_otel.server.browsers import is_still
from kubenurse_otel.server.message import Response
from kubenurse_otel.unhandled import Part

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubenurse_otel.server.message import Request
    from kubenurse_otel.server.pages import Pages

_CODE: Final = "kubenurse_otel.server.pages"
_HEADERS: Final = (
    (b"Content-Type", b"text/html; charset=utf-8"),
    (b"Content-Security-Policy", b"default-src 'none'; img-src data:; frame-ancestors 'none'"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Vary", b"Accept"),
    routes.RETRY_AFTER,
)
_REFRESH: Final = b'<meta http-equiv="refresh" content="1">'
_LOADING: Final = b"""\
<!doctype html><html lang="en"><head><meta charset="utf-8">%s\
<meta name="viewport" content="width=device-width, initial-scale=1">\
<meta name="color-scheme" content="light dark"><title>Loading - kubenurse-otel</title>\
<link rel="icon" href="data:,"></head><body><main><h1>Loading</h1>\
<p>This agent loads its page now, because somebody looks at it for the first time. %s\
 If that fails, the agent's log says why.</p>\
</main></body></html>
"""


class FirstLook:
    """The handler of all views. ``make`` is called once the code is there, on the event loop."""

    def __init__(self, make: Callable[[], Pages]) -> None:
        self._make = make
        self._loading: asyncio.Task[None] | None = None
        self.pages: Pages | None = None
        """None until somebody has looked."""

    def __call__(self, request: Request) -> Response:
        """The view, or 503 that asks the browser to come again in a second."""
        if self.pages is not None:
            return self.pages(request)
        if self._loading is None:
            self._loading = asyncio.create_task(self._load(), name="load the page")
        words = (
            (b"", b"Ask again.") if is_still(request) else (_REFRESH, b"It asks again by itself.")
        )
        return Response(status=503, headers=_HEADERS, body=_LOADING % words)

    def too_often(self, request: Request) -> Response:
        """429."""
        return (self.pages.too_often if self.pages is not None else routes.too_often)(request)

    def quiet(self) -> bool:
        """In a quiet moment, rebuild one view that somebody watches. True if another one is due."""
        return self.pages is not None and self.pages.quiet()

    def close(self) -> None:
        if self._loading is not None:
            self._loading.cancel()
        if self.pages is not None:
            self.pages.close()

    async def _load(self) -> None:
        try:
            await asyncio.to_thread(importlib.import_module, _CODE)
            self.pages = self._make()
        except Exception as error:  # noqa: BLE001 - the edge: without its page an agent checks all the same
            unhandled.caught(Part.ANSWER, error, about="the page")
        self._loading = None
