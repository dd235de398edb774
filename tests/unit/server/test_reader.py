"""Bytes to requests: however they are cut, the same requests and the same refusals."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel.server.arrival import Arrival
from kubenurse_otel.server.message import Peer, Request
from kubenurse_otel.server.reader import MAX_HEAD_BYTES, Reader

PEER = Peer(address="127.0.0.1", port=1, local_address="127.0.0.1", local_port=2, secure=False)
ARRIVAL = Arrival(0.0, 0, 0.0, 0)
GOOD = b"GET /a?b HTTP/1.1\r\nHost: x\r\nX-Y: z\r\n\r\n"

Read = tuple[bytes, bytes, list[tuple[bytes, bytes]], bool] | int


def read(*chunks: bytes) -> list[Read]:
    """Return what a Reader makes of the chunks."""
    reader = Reader(PEER)
    for chunk in chunks:
        reader.feed(chunk, ARRIVAL, 0)
    return [
        (item.method, item.target, item.headers, item.keep_alive)
        if isinstance(item, Request)
        else item
        for item in reader.queue
    ]


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
        (b"GET /", []),
    ],
)
def test_a_stream_of_requests(data: bytes, expected: list[Read]) -> None:
    """Requests come in order; a refusal is the last and ends the reading."""
    assert read(data) == expected


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
    assert set(refusals) <= {400, 405, 413, 431, 505}


def test_the_first_request_knows_of_the_handshake() -> None:
    """The SYN-ACK's count belongs to the connection's first request alone."""
    reader = Reader(PEER)
    assert reader.half_way
    reader.feed(GOOD + GOOD + b"GET", ARRIVAL, 2)
    counts = [item.synack_retransmits for item in reader.queue if isinstance(item, Request)]
    assert counts == [2, None]
    assert reader.half_way


def test_after_the_end_nothing_is_read() -> None:
    """A closed reader takes no bytes, a refusing one neither."""
    reader = Reader(PEER)
    reader.feed(b"garbage\r\n", ARRIVAL, 0)
    reader.feed(GOOD, ARRIVAL, 0)
    assert list(reader.queue) == [400]
    reader.close()
    reader.feed(GOOD, ARRIVAL, 0)
    assert not reader.queue
