"""A request as it was read, and a response as it will be written. The Date header is its only use
of a clock.

Owns the bytes of a response's head and the list of statuses that we use; parsing is llhttp's
(through httptools), sockets are connection.py's.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubenurse_otel.server.arrival import Arrival

METHODS: Final = frozenset((b"GET", b"HEAD", b"OPTIONS"))
ALLOW: Final = (b"Allow", b"GET, HEAD, OPTIONS")
SMALL_BYTES: Final = 4_096
"""A body up to this is sent in one piece with its head."""
MAX_FIELDS: Final = 8
_AUTHORITY: Final = re.compile(
    rb"(?P<host>\[[0-9A-Za-z:.%~_-]+\]|(?:[-A-Za-z0-9._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)"
    rb"(?::(?P<port>[0-9]*))?"
)
"""RFC 9112, 3.2: uri-host [":" port] (RFC 3986, 3.2.2); empty where the target has no host."""
_END_OF_AUTHORITY: Final = re.compile(rb"[/?#]")
_PORT_DIGITS: Final = 5
_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}".encode("ascii")
    for status in HTTPStatus
}


@lru_cache(maxsize=8)
def named_authority(text: bytes) -> tuple[str, int | None] | None:
    """Return host (an IPv6 address without brackets) and port of a Host header; None: it is not
    one. Most of them say the same.
    """
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return None
    port = int(found["port"]) if found["port"] and len(found["port"]) <= _PORT_DIGITS else None
    return found["host"].decode("ascii").strip("[]"), port


class Peer:
    """The two ends of a connection, and whether TLS is between them."""

    __slots__ = ("_local", "_local_end", "address", "port", "secure")

    def __init__(
        self, address: str, port: int, local_end: Callable[[], tuple[Any, ...]], *, secure: bool
    ) -> None:
        self.address = address
        self.port = port
        self.secure = secure
        self._local_end = local_end
        self._local: tuple[str, int] | None = None

    @property
    def local(self) -> tuple[str, int]:
        """Our address and port. Few answers need them, so the socket is asked once that one does,
        or before it is closed.
        """
        if self._local is None:
            address, port = self._local_end()[:2]
            self._local = (address, port)
        return self._local


@dataclass(slots=True)
class Request:
    """One request, whole. Header names are in lower case, in the order in which they came."""

    peer: Peer
    target: bytes = b""
    """The request target as it was sent: path and query, or a whole URL."""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    method: bytes = b""
    http_version: str = ""
    keep_alive: bool = False
    arrival: Arrival | None = None
    """Arrival of the last bytes of the request."""
    synack_retransmits: int | None = None
    """How often we sent this connection's SYN-ACK again; only on its first request."""

    def header(self, name: bytes) -> str | None:
        """Return the header's value, None where it is absent; several are joined by commas."""
        joined = None
        for key, value in self.headers:
            if key == name:
                joined = value if joined is None else b"%b, %b" % (joined, value)
        return None if joined is None else joined.decode("latin-1")

    @property
    def path(self) -> bytes:
        """The path without query; that of the URL in absolute form (RFC 9112, 3.2.2)."""
        path = self.target.partition(b"?")[0]
        if path.startswith(b"/"):
            return path
        return b"/" + path.partition(b"://")[2].partition(b"/")[2]

    @property
    def query(self) -> dict[str, str]:
        """Return the query's fields (form-encoded, UTF-8), at most 8. If a name appears twice, the
        last one counts.
        """
        text = self.target.partition(b"?")[2].decode("latin-1")
        try:
            return dict(parse_qsl(text, errors="replace", max_num_fields=MAX_FIELDS))
        except ValueError:
            return {}

    @property
    def authority(self) -> tuple[str, int | None]:
        """Host and port by which we were asked (RFC 9110, 7.2), an IPv6 address without brackets.

        Those of the request's URL, or of its Host header. A port that is not named is None: before
        an ingress with TLS it is not our scheme's. Where no host is named, our socket's.
        """
        asked = b""
        if not self.target.startswith(b"/"):
            asked = _END_OF_AUTHORITY.split(self.target.partition(b"://")[2], maxsplit=1)[0]
        found = named_authority(asked or dict(self.headers).get(b"host", b""))
        return found if found is not None and found[0] else self.peer.local


@dataclass(slots=True, kw_only=True)
class Response:
    """What is answered. ``sent`` is called once, right after the write."""

    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    tail: bytes = b""
    """The rest of the body, which others are sent as well: it is not copied."""
    sent: Callable[[], None] | None = None


def text(status: int, line: str, *headers: tuple[bytes, bytes]) -> Response:
    """Make a response of one line of plain text."""
    content_type = (b"Content-Type", b"text/plain; charset=utf-8")
    return Response(status=status, headers=(content_type, *headers), body=line.encode() + b"\n")


def json(body: bytes = b"", *, tail: bytes = b"", status: int = 200) -> Response:
    """Make a response of a JSON document, which no browser may take for anything else."""
    headers = ((b"Content-Type", b"application/json"), (b"X-Content-Type-Options", b"nosniff"))
    return Response(status=status, headers=headers, body=body, tail=tail)


def indented(document: dict[str, Any]) -> bytes:
    """Write JSON for people."""
    return msgspec.json.format(msgspec.json.encode(document), indent=1)


_DAYS: Final = "MonTueWedThuFriSatSun"
_MONTHS: Final = "JanFebMarAprMayJunJulAugSepOctNovDec"


@lru_cache(maxsize=1)
def _date(unix_seconds: int) -> bytes:
    """Return the Date header (RFC 9110, 6.6.1), in English whatever the locale. It is made once per
    second.
    """
    at = time.gmtime(unix_seconds)
    day, month = _DAYS[3 * at.tm_wday :][:3], _MONTHS[3 * at.tm_mon - 3 :][:3]
    text = f"{day}, {at.tm_mday:02} {month} {at.tm_year} {time.strftime('%H:%M:%S', at)} GMT"
    return b"\r\nDate: " + text.encode("ascii")


def encode(
    response: Response, *, with_body: bool = True, connection: bytes = b""
) -> tuple[bytes, ...]:
    """Return the response's bytes, in pieces. Without body (HEAD) the head is the same.

    ``connection`` is that header's value, left out where it is empty. Everything here is true for
    this moment alone, and no cache may keep it (RFC 9111, 5.2.2.5): Varnish's default keeps
    what says nothing about it for 120 s.
    """
    length = len(response.body) + len(response.tail)
    parts = [_STATUS_LINES[response.status], _date(int(time.time()))]
    for name, value in response.headers:
        parts += (b"\r\n", name, b": ", value)
    parts.append(b"\r\nCache-Control: no-store\r\nContent-Length: %d" % length)
    if connection:
        parts += (b"\r\nConnection: ", connection)
    parts.append(b"\r\n\r\n")
    if with_body and length <= SMALL_BYTES:
        parts += (response.body, response.tail)
        with_body = False
    head = b"".join(parts)
    return (head, *filter(None, (response.body, response.tail))) if with_body else (head,)
