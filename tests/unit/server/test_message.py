"""Requests read and responses written, as bytes."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from kubenurse_otel.server import message
from kubenurse_otel.server.message import Peer, Request, Response, encode, text

PEER = Peer("127.0.0.1", 1, lambda: ("127.0.0.1", 8080), secure=False)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/alive", b"/alive"),
        (b"/alive?pretty=/x", b"/alive"),
        (b"/", b"/"),
        (b"http://agent:8080/alive?x", b"/alive"),
        (b"http://agent", b"/"),
        (b"*", b"/"),
    ],
)
def test_the_path_of_a_target(target: bytes, path: bytes) -> None:
    """Origin form and absolute form name the same path, without query."""
    assert Request(PEER, target=target).path == path


def test_headers_of_one_name_are_joined() -> None:
    """Several fields of one name are one list (RFC 9110, 5.3); an absent one is None."""
    request = Request(PEER, headers=[(b"accept", b"a"), (b"host", b"h"), (b"accept", b"b")])
    assert request.header(b"accept") == "a, b"
    assert request.header(b"cookie") is None
    assert Request(PEER).header(b"accept") is None


def test_a_response_in_bytes() -> None:
    """The head names length and date; HEAD gets the same head without the body."""
    response = Response(status=503, headers=((b"X", b"y"),), body=b"no\n")
    (whole,) = encode(response, connection=b"close")
    head, _, body = whole.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 503 Service Unavailable"
    assert lines[1].startswith(b"Date: ")
    assert lines[1].endswith(b" GMT")
    assert lines[2:] == [
        b"X: y",
        b"Cache-Control: no-store",
        b"Content-Length: 3",
        b"Connection: close",
    ]
    assert body == b"no\n"
    assert encode(response, with_body=False, connection=b"close") == (head + b"\r\n\r\n",)


def test_a_large_body_is_not_copied() -> None:
    """Its bytes are the ones that were given, however many are sent them."""
    body, tail = b"x" * 9_000, b"y" * 90_000
    pieces = encode(Response(body=body, tail=tail))
    assert pieces[0].endswith(b"Content-Length: 99000\r\n\r\n")
    assert [pieces[1] is body, pieces[2] is tail] == [True, True]
    assert len(encode(Response(body=body, tail=tail), with_body=False)) == 1


def test_a_line_of_text() -> None:
    """A short answer is plain text of one line."""
    response = text(404, "not found", (b"A", b"b"))
    assert (response.status, response.body) == (404, b"not found\n")
    assert (b"A", b"b") in response.headers


@pytest.mark.parametrize("days", [0, 58, 59, 789, 11_016, 19_782, 20_786])
def test_the_date_is_as_mail_and_http_write_it(days: int) -> None:
    """RFC 9110 section 5.6.7, without the standard library's mail, which is megabytes."""
    unix_seconds = days * 86_400 + 3_723

    expected = f"\r\nDate: {formatdate(unix_seconds, usegmt=True)}".encode()
    assert message._date(unix_seconds) == expected
