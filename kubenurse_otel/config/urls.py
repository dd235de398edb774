"""URLs of checks and collectors: http or https, a host, never a password.

Pure. Stricter than urllib on purpose: what passes here is a URL for httpx, too. ``hidden`` is how
a URL that may hold a secret is shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from kubenurse_otel.config.values import HOST, PORT, InvalidTextError, Parser


@dataclass(frozen=True, slots=True)
class Url:
    """A URL in its parts; ``host`` has no brackets, ``port`` is None where the text has none."""

    text: str
    scheme: str
    host: str
    port: int | None
    path: str
    query: str


def parse_url(text: str) -> Url:
    """Raise InvalidTextError for all that is no plain http(s) URL with a host."""
    # urlsplit drops line breaks and tabs silently, so they are refused before it.
    if not re.fullmatch(r"[\x21-\x7e]{1,2000}", text) or "\\" in text:
        raise InvalidTextError
    try:
        parts = urlsplit(text)
    except ValueError:
        raise InvalidTextError from None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InvalidTextError
    if "@" in parts.netloc:
        raise InvalidTextError("without user and password")
    if "#" in text:
        raise InvalidTextError("without a #fragment")
    authority = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]*))?", parts.netloc)
    if authority is None:
        raise InvalidTextError
    return Url(
        text=text,
        scheme=parts.scheme,
        host=HOST.parse(authority[1]),
        port=PORT.parse(authority[2]) if authority[2] else None,
        path=parts.path,
        query=parts.query,
    )


def _base_url(text: str) -> str:
    if "?" in text:
        raise InvalidTextError("without a ?query")
    return parse_url(text).text.rstrip("/")


def _proxy_url(text: str) -> str:
    """A plain HTTP proxy; http:// may be left out (as for Go and curl)."""
    text = text if "://" in text else f"http://{text}"
    url = parse_url(text)
    if url.scheme != "http" or url.path not in ("", "/") or url.query:
        raise InvalidTextError
    return url.text


BASE_URL: Final = Parser(
    _base_url, "a URL such as https://kubenurse.example.com, without user, query and fragment"
)
"""A path is appended to it; slashes at its end are dropped."""
PROXY_URL: Final = Parser(
    _proxy_url, "an http URL such as http://proxy.example.com:3128, without user and path"
)


def hidden(text: str) -> str:
    """The text with what may be a secret in a URL (user, password, query, fragment) masked."""
    if "@" in text:
        text = "***@" + text.rpartition("@")[2]
    return re.sub(r"([?#]).*", r"\1***", text, flags=re.DOTALL)
