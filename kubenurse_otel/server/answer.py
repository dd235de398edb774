"""What is sent as the answer to one request, or as the refusal of it.

Owns the words of refusals, and whether the connection may go on (RFC 9112, 9.3); the handlers are
routes.py's, the bytes message.py's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from kubenurse_otel import unhandled
from kubenurse_otel.server.message import ALLOW, Request, Response, encode, text
from kubenurse_otel.server.reader import MAX_HEAD_BYTES, MAX_HEADERS
from kubenurse_otel.unhandled import Part

if TYPE_CHECKING:
    from collections.abc import Callable

_REFUSALS: Final = {
    400: "not a valid HTTP/1.1 request",
    405: "only GET, HEAD and OPTIONS",
    413: "requests have no body here",
    431: f"the request's head has more than {MAX_HEAD_BYTES} bytes or {MAX_HEADERS} headers",
    501: "no method that is known here",
    505: "only HTTP/1.1",
}


class Answer(NamedTuple):
    """``closes``: the answer says that the connection ends. ``rests``: the connection's next
    request is read later (Stage.RESTING).
    """

    pieces: tuple[bytes, ...]
    closes: bool
    rests: bool
    sent: Callable[[], None] | None
    """To be called once, right after the write."""


def answer(request: Request, handler: Callable[[Request], Response], *, closing: bool) -> Answer:
    """Ask ``handler``. ``closing``: this is the last answer whatever the request wants."""
    closes = closing or not request.keep_alive
    try:
        response = handler(request)
    except Exception as error:  # noqa: BLE001 - the edge: a bug in one answer must not end the others
        unhandled.caught(Part.ANSWER, error, about=request.path.decode("latin-1"))
        response = text(500, "internal error, see the agent's log")
    # HTTP/1.0 closes unless it is told that it need not (RFC 9112, 9.3 and C.2.2).
    granted = b"keep-alive" if request.http_version == "1.0" else b""
    pieces = encode(
        response,
        with_body=request.method != b"HEAD",
        connection=b"close" if closes else granted,
    )
    return Answer(pieces, closes, response.status == 429, response.sent)


def refusal(status: int) -> Answer:
    """Say ``status`` and end."""
    response = text(status, _REFUSALS[status], *((ALLOW,) if status == 405 else ()))
    return Answer(encode(response, connection=b"close"), closes=True, rests=False, sent=None)
