"""Bytes to requests: however they are cut, the same requests and the same refusals."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel.server.arrival import Arrival
from kubenurse_otel.server.message import Peer, Request
from kubenurse_otel.server.reader import MAX_HEAD_BYTES, MAX_HEADERS, Reader

PEER = Peer("127.0.0.1", 1, lambda: ("127.0.0.1", 2), secure=False)
ARRIVAL = Arrival(0.0, 0, 0.0, 0)
GOOD = b"GET /a?b HTTP/1.1\r\nHost: x\r\nX-Y: z\r\n\r\n"

Read = tuple[bytes, bytes, list[tuple[bytes, bytes]], bool] | int


def requests(reader: Reader) -> Iterator[Request | int]:
    while (item := reader.next()) is not None:
        yield item


def read(*chunks: bytes) -> list[Read]:
    """Return what a Reader makes of the chunks."""
    reader = Reader(PEER)
    items: list[Request | int] = []
    for chunk in chunks:
        reader.feed(chunk, ARRIVAL, 0)
        items += requests(reader)
    return [
        (item.method, item.target, item.headers, item.keep_alive)
        if isinstance(item, Request)
        else item
        for item in items
    ]


def with_lines(*lines: str, version: str = "1.1", method: str = "GET") -> bytes:
    return "\r\n".join((f"{method} / HTTP/{version}", *lines, "", "")).encode("latin-1")


def status_of(data: bytes) -> int:
    """200, or that of the refusal; the same however the bytes are cut."""
    (whole,) = read(data)
    (in_pieces,) = read(*(data[i : i + 1] for i in range(len(data))))
    assert in_pieces == whole
    return whole if isinstance(whole, int) else 200


REQUEST: Read = (b"GET", b"/a?b", [(b"host", b"x"), (b"x-y", b"z")], True)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (GOOD, [REQUEST]),
        (b"\r\n\r\n" + GOOD * 3, [REQUEST] * 3),
        (GOOD + b"garbage\r\n\r\n", [REQUEST, 400]),
        (GOOD + b"POST / HTTP/1.1\r\nHost: x\r\n\r\n" + GOOD, [REQUEST, 405]),
        (GOOD + b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx" + GOOD, [REQUEST, 413]),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * MAX_HEAD_BYTES, [431]),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * MAX_HEAD_BYTES + b"\r\n\r\n", [431]),
        (GOOD + b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", [REQUEST, 400]),
        (b"GET / HTTP/1.1 \r\nHost: x\r\n\r\n", [400]),
        (b"GET / HTTP/1.1\nHost: x\r\n\r\n", [400]),
        (b"HEAD http://\nx:81/ HTTP/1.0\r\n\r\n", [400]),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", [505]),
        (b"OPTIONS rtsp://x/ RTSP/1.0\r\nHost: x\r\n\r\n", [400]),
        (b"GET /", []),
    ],
)
def test_a_stream_of_requests(data: bytes, expected: list[Read]) -> None:
    """Requests come in order; a refusal is the last and ends the reading."""
    assert read(data) == expected


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (("Host: a",), 200),
        (("Host:",), 200),
        (("Host: a.b-c_d:8080",), 200),
        (("Host: [fd00::1]:8080",), 200),
        (("Host: [fe80::1%25eth0]",), 200),
        (("Host: %61:",), 200),
        ((), 400),
        (("Host: a", "Host: b"), 400),
        (("Host: a", "host: a"), 400),
        (("Host: a, b",), 400),
        (("Host: a b",), 400),
        (("Host: user@a",), 400),
        (("Host: a:http",), 400),
        (("Host: http://a/",), 400),
        (("Host: [fd00::1",), 400),
        (("Host: %zz",), 400),
        (("Host: b\xfccher",), 400),
    ],
)
def test_there_is_one_host_and_it_is_one(lines: tuple[str, ...], status: int) -> None:
    """RFC 9112, 3.2: no Host, two of them or one that is none get 400."""
    assert status_of(with_lines(*lines)) == status


@pytest.mark.parametrize("lines", [("Host: a", "Host: b"), ("Host: a/b",)])
def test_a_bad_host_is_bad_in_http_1_0(lines: tuple[str, ...]) -> None:
    """HTTP/1.0 may leave Host out, and may not say it twice or wrongly either."""
    assert status_of(with_lines(version="1.0")) == 200
    assert status_of(with_lines(*lines, version="1.0")) == 400


@pytest.mark.parametrize(
    ("method", "status"),
    [
        *((method, 200) for method in ("GET", "HEAD", "OPTIONS")),
        *((method, 405) for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE")),
        *((method, 501) for method in ("PURGE", "PROPFIND", "FOO", "get", "G", "X-Y")),
        *((method, 400) for method in ("G(T", "x" * 33, "\x16\x03\x01")),
    ],
)
def test_methods(method: str, status: int) -> None:
    """RFC 9110, 9.1: what is known and means nothing here is 405, what is unknown 501."""
    assert status_of(with_lines("Host: a", method=method)) == status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("0\r\n\r\n", 200),
        ("000;x=y\r\n\r\n", 200),
        ("0\r\nHost: b\r\nX: y\r\n\r\n", 200),
        ("1\r\na\r\n0\r\n\r\n", 413),
        ("0" * 20_000, 413),
        ("0 1\r\n\r\n", 400),
    ],
)
def test_a_chunked_body_may_be_empty(body: str, status: int) -> None:
    """A GET with an empty chunked body is a GET; a trailer is no header."""
    data = with_lines("Host: a", "Transfer-Encoding: chunked") + body.encode()
    (found,) = read(data)
    assert (found if isinstance(found, int) else 200) == status
    if status == 200:
        assert isinstance(found, tuple)
        assert found[2] == [(b"host", b"a"), (b"transfer-encoding", b"chunked")]
        assert read(data + GOOD, GOOD) == [found, REQUEST, REQUEST]
        assert read(data[:-3], data[-3:] + GOOD) == [found, REQUEST]


@pytest.mark.parametrize(
    ("version", "lines", "kept"),
    [
        ("1.1", (), True),
        ("1.1", ("Connection: foo, Close",), False),
        ("1.0", (), False),
        ("1.0", ("Connection: Keep-Alive",), True),
        ("1.0", ("Connection: keep-alive, close",), False),
        ("1.1", ("Connection: upgrade", "Upgrade: h2c"), False),
        ("1.1", ("Connection: upgrade", "Upgrade: h", "Transfer-Encoding: chunked"), False),
    ],
)
def test_who_may_send_a_further_request(version: str, lines: tuple[str, ...], kept: bool) -> None:
    """HTTP/1.1 unless it says close, HTTP/1.0 only where it asks to (RFC 9112, 9.3)."""
    (found,) = read(with_lines("Host: a", *lines, version=version))
    assert isinstance(found, tuple)
    assert found[3] is kept


@pytest.mark.parametrize(("count", "status"), [(MAX_HEADERS, 200), (MAX_HEADERS + 1, 431)])
def test_headers_are_counted(count: int, status: int) -> None:
    """More headers than anybody needs are refused before they are kept."""
    assert status_of(with_lines(*["Host: a"], *["a:"] * (count - 1))) == status


def test_what_is_kept_of_an_unfinished_head_is_its_bytes() -> None:
    """Nothing is made of a head before it is whole: 3,200 headers cost what they weigh."""
    reader = Reader(PEER)
    data = b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * 3_200
    reader.feed(data, ARRIVAL, 0)
    assert reader.next() is None
    assert reader.held_bytes == len(data)


@given(cuts=st.lists(st.integers(0, len(GOOD) * 3), max_size=8))
def test_cuts_change_nothing(cuts: list[int]) -> None:
    """However the network cuts three requests, three requests are read."""
    data = GOOD * 3
    edges = [0, *sorted(cuts), len(data)]
    chunks = [data[a:b] for a, b in itertools.pairwise(edges)]
    assert read(*(chunk for chunk in chunks if chunk)) == [REQUEST] * 3


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=10))
def test_no_bytes_raise(chunks: list[bytes]) -> None:
    """Whatever comes, there are requests, and at most one refusal, at the end."""
    refusals = [item for item in read(*chunks) if isinstance(item, int)]
    assert len(refusals) <= 1
    assert set(refusals) <= {400, 405, 413, 431, 501, 505}


def test_the_first_request_knows_of_the_handshake() -> None:
    """The SYN-ACK's count belongs to the connection's first request alone."""
    reader = Reader(PEER)
    assert reader.half_way
    reader.feed(GOOD + GOOD + b"GET", ARRIVAL, 2)
    counts = [item.synack_retransmits for item in requests(reader) if isinstance(item, Request)]
    assert counts == [2, None]
    assert reader.half_way


def test_after_the_end_nothing_is_kept() -> None:
    """A refusing reader takes no bytes, a closed one has none."""
    reader = Reader(PEER)
    reader.feed(GOOD[:9], ARRIVAL, 0)
    reader.close()
    assert reader.held_bytes == 0
    reader.feed(b"garbage\r\n", ARRIVAL, 0)
    assert list(requests(reader)) == [400]
    reader.feed(GOOD, ARRIVAL, 0)
    assert reader.held_bytes == 0
    assert reader.next() is None
