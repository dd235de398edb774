"""Placeholders for modules that the agent's packages import and it never uses: they save 4 MiB.

They are in place only while a running agent is imported (cli.py). Code that imports one of these
modules later, or imports this package as a library, gets the real one.
"""

from __future__ import annotations

import importlib.util
import sys
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Names = Mapping[str, tuple[str, ...]]
    """For each module, the names that are imported from it."""

_HTTPX: Final[Names] = {
    # Its client, and what one needs: connections, redirects, cookies, proxies, decoders, a command.
    "httpx._api": (
        *("delete", "get", "head", "options", "patch", "post", "put", "request", "stream"),
    ),
    "httpx._auth": ("Auth", "BasicAuth", "DigestAuth", "NetRCAuth"),
    "httpx._client": ("AsyncClient", "Client", "USE_CLIENT_DEFAULT"),
    "httpx._config": ("Limits", "Proxy", "Timeout", "create_ssl_context"),
    "httpx._decoders": (
        *("SUPPORTED_DECODERS", "ByteChunker", "ContentDecoder", "IdentityDecoder"),
        *("LineDecoder", "MultiDecoder", "TextChunker", "TextDecoder"),
    ),
    "httpx._main": ("main",),
    "httpx._multipart": ("MultipartStream", "get_multipart_boundary_from_content_type"),
    "httpx._transports.asgi": ("ASGITransport",),
    "httpx._transports.default": ("AsyncHTTPTransport", "HTTPTransport"),
    "httpx._transports.mock": ("MockTransport",),
    "httpx._transports.wsgi": ("WSGITransport",),
    # For cookies and non-ASCII bodies and hosts.
    "email.message": ("Message",),
    "http.cookiejar": ("Cookie", "CookieJar"),
    "idna": ("IDNAError", "decode", "encode"),
    "urllib.request": ("Request", "getproxies"),
}
_OTHERS: Final[Names] = {
    # OpenTelemetry's patching of httpx, which reads which versions are installed; and databases.
    "opentelemetry.instrumentation.instrumentor": ("BaseInstrumentor",),
    "opentelemetry.semconv._incubating.attributes.db_attributes": (
        *("DB_NAME", "DB_OPERATION", "DB_REDIS_DATABASE_INDEX"),
        *("DB_STATEMENT", "DB_SYSTEM", "DB_USER"),
    ),
    "packaging": ("version",),
    "typing_extensions": ("assert_never",),
    "wrapt": ("BaseObjectProxy", "wrap_function_wrapper"),
    # protobuf without its library in C (checked below).
    "google.protobuf.internal.python_message": (),
    # Numbers that are in no JSON of ours, and schemas of types.
    "decimal": ("Decimal",),
    "msgspec._json_schema": ("schema", "schema_components"),
    "msgspec.inspect": (),
    # URLs, of which llhttp reads the requests.
    "httptools.parser.url_parser": ("parse_url",),
}


class StandIn:
    """A placeholder for a class or function. Making or calling one is a RuntimeError."""

    def __new__(cls, *_: object, **__: object) -> Any:
        raise RuntimeError(f"{cls.__module__}.{cls.__qualname__} is not imported by an agent")


@contextmanager
def in_place() -> Iterator[None]:
    """In this block, imports of these modules get stand-ins that have these names and no others.

    Any other name is an ImportError at once, so a name that a new version needs is noticed. A
    module that was imported before stays as it is. At the end the stand-ins leave ``sys.modules``,
    and so does httpx, because only a part of it was imported.
    """
    names = {**({} if "httpx" in sys.modules else _HTTPX), **_OTHERS}
    if importlib.util.find_spec("google._upb") is None:
        del names["google.protobuf.internal.python_message"]
    absent = [one for one in names if one not in sys.modules]
    parents: list[tuple[ModuleType, str]] = []
    for one in absent:
        made = sys.modules[one] = ModuleType(one)
        for name in names[one]:
            setattr(made, name, type(name, (StandIn,), {"__module__": one}))
        parent, _, child = one.rpartition(".")
        if parent in {"email", "http", "urllib"}:  # `import urllib.request` needs the parent
            parents.append((importlib.import_module(parent), child))
            setattr(*parents[-1], made)
    if "typing_extensions" in absent:
        vars(sys.modules["typing_extensions"]).update(deprecated=_not_said, final=_as_it_is)
    had_httpx = "httpx" in sys.modules
    try:
        yield
    finally:
        for parent_module, child in parents:
            delattr(parent_module, child)
        for one in absent:
            del sys.modules[one]
        if not had_httpx:
            for one in [name for name in sys.modules if name.partition(".")[0] == "httpx"]:
                del sys.modules[one]


def _not_said(*_: object, **__: object) -> Any:
    """``typing_extensions.deprecated`` without its warning."""
    return lambda decorated: decorated


def _as_it_is(decorated: Any) -> Any:
    """``typing_extensions.final``, which only type checkers need."""
    return decorated
