"""answer.py: bytes of a far end -> an answer, as Go's net/http reads it, within bounds."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from net_http.answers import ANSWERS, CHUNKED, INTERIM, OK, recorded

from kubenurse_otel.errors import (
    CheckError,
    ClosedEarlyError,
    MalformedResponseError,
    ResponseHeadTooLargeError,
)
from kubenurse_otel.probe.answer import MAX_HEAD_BYTES, Answer
from kubenurse_otel.probe.body import MAX_CONTENT_BYTES, MAX_WIRE_BYTES

Verdict = tuple[object, ...]


def read(data: bytes, *, method: str = "GET", cuts: tuple[int, ...] = ()) -> Answer:
    """Feed ``data`` in pieces, then end it."""
    answer = Answer(method.encode())
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        if start < end and not answer.finished:
            answer.feed(data[start:end])
    answer.end()
    return answer


def verdict(data: bytes, *, method: str = "GET", cuts: tuple[int, ...] = ()) -> Verdict:
    try:
        answer = read(data, method=method, cuts=cuts)
    except CheckError as error:
        return (type(error),)
    return answer.status_code, answer.version, tuple(answer.headers), answer.whole


def as_go(data: bytes, method: str) -> str:
    """Our verdict in the words of the record."""
    try:
        answer = read(data, method=method)
    except CheckError:
        return "refused"
    goes_on = answer.keep_alive or answer.status_code == 101
    return f"{answer.status_code} {answer.content_bytes}" + ("" if goes_on else " closed")


@pytest.mark.parametrize(
    ("method", "data", "go"), recorded(), ids=[str(number) for number in range(len(ANSWERS))]
)
def test_an_answer_is_taken_or_refused_as_by_go(method: str, data: bytes, go: str) -> None:
    """Status, bytes of body, whether the connection goes on, and every refusal are net/http's."""
    assert as_go(data, method) == go


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n",
        INTERIM * 11 + OK + b"Content-Length: 0\r\n\r\n",
    ],
)
def test_what_go_takes_and_we_do_not(data: bytes) -> None:
    """A sign before the status, and more interim answers than anybody needs."""
    with pytest.raises(MalformedResponseError):
        read(data)


# --- bounds --------------------------------------------------------------------------------------


def head(size: int) -> bytes:
    """A sound head of ``size`` bytes."""
    start = OK + b"Content-Length: 0\r\nX: "
    return start + b"x" * (size - len(start) - 4) + b"\r\n\r\n"


@pytest.mark.parametrize("piece", [1, 1448, 16_384, 200_000])
def test_a_head_is_bounded_at_64_kib(piece: int) -> None:
    """The last byte that fits is good, the next one too many, whatever the pieces."""
    cuts = tuple(range(piece, MAX_HEAD_BYTES + piece, piece))

    assert read(head(MAX_HEAD_BYTES), cuts=cuts).whole
    with pytest.raises(ResponseHeadTooLargeError, match="over 64 KiB"):
        read(head(MAX_HEAD_BYTES + 1), cuts=cuts)


@pytest.mark.parametrize("piece", [1448, 16_384, 200_000])
def test_interim_heads_count_too(piece: int) -> None:
    """Ten interim answers cannot be ten times as long."""
    data = head(20_000).replace(b"200", b"103") * 4
    cuts = tuple(range(piece, len(data), piece))

    with pytest.raises(ResponseHeadTooLargeError):
        read(data, cuts=cuts)


@pytest.mark.parametrize("line", [b"X: y\r\n", b" \n", b":", b"x"])
def test_a_head_without_an_end_is_not_kept(line: bytes) -> None:
    """Many headers, folded lines or one line: memory stays within the bound and a piece."""
    answer = Answer(b"GET")
    answer.feed(OK + b"A: b\r\n")
    piece = line * (4096 // len(line))

    def feed_all() -> None:
        for _ in range(17):
            answer.feed(piece)

    with pytest.raises((ResponseHeadTooLargeError, MalformedResponseError)):
        feed_all()
    assert len(answer._buffer) <= MAX_HEAD_BYTES + len(piece)


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (OK + b"Content-Length: 65536\r\n\r\n" + b"x" * 65_536, True),
        (OK + b"Content-Length: 65537\r\n\r\n" + b"x" * 65_537, False),
        (OK + b"\r\n" + b"x" * 65_536, True),
        (OK + b"\r\n" + b"x" * 65_537, False),
        (CHUNKED + b"10000\r\n" + b"x" * 65_536 + b"\r\n0\r\n\r\n", True),
        (CHUNKED + b"10001\r\n" + b"x" * 65_537 + b"!", False),
        (CHUNKED + b"1;x\r\nx\r\n" * (MAX_WIRE_BYTES // 8 + 1) + b"!", False),
    ],
)
@pytest.mark.parametrize("piece", [1, 1448, 200_000])
def test_a_body_is_read_up_to_its_bound(data: bytes, whole: bool, piece: int) -> None:
    """Beyond 64 KiB of content, or 128 KiB on the wire, an answer counts without the rest."""
    answer = read(data, cuts=tuple(range(piece, len(data), piece)))

    assert answer.status_code == 200
    assert answer.whole is whole
    assert answer.reusable is (whole and OK + b"\r\n" not in data)
    assert answer.content_bytes <= MAX_CONTENT_BYTES or not whole


def test_bytes_after_an_answer_end_its_connection() -> None:
    """What was not asked for belongs to nothing: such a connection is not used again."""
    sound = OK + b"Content-Length: 3\r\n\r\nabc"

    assert read(sound).reusable
    assert not read(sound + b"H").reusable


# --- what is said --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
            r"it begins with 'SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n', not with HTTP/",
        ),
        (
            b"\x15\x03\x01\x00\x02\x02\x50",
            "it begins with a TLS record, not with HTTP/",
        ),
        (b"\x1b[31m\x9b\n", r"it begins with '\x1b[31m\x9b\n', not with HTTP/"),
        (b"HTTP/1.1 OK\r\n", "not a status line: 'HTTP/1.1 OK'"),
        (OK + b"no colon here\r\n", "a header line without a colon: 'no colon here'"),
        (OK + b" X: y\r\n", "a space before the name of its first header"),
        (OK + b"X(: secret\r\n", "not a header's name: 'X('"),
        (OK + b"Set-Cookie: \x00secret\r\n", "a control character in the value of 'Set-Cookie'"),
        (OK + b"A: b\r\n \x00secret\r\n", "a control character in the value of 'A'"),
        (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "two different values of"),
        (OK + b"Content-Length: minus one\r\n\r\n", "not a Content-Length: 'minus one'"),
        (OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", "not a Content-Length: '99999"),
        (OK + b"Transfer-Encoding: gzip\r\n\r\n", "Transfer-Encoding 'gzip'"),
        (CHUNKED + b"zz\r\n", "not a chunk's size: 'zz'"),
        (CHUNKED + b"1\nx", "a chunk's size that does not end in CRLF: '1\\n'"),
        (CHUNKED + b"1\r\nxx\r\n", "a chunk that is not as long as it says"),
        (CHUNKED + b"1;" + b"x" * 5000, "a chunk's size and extensions over 4 KiB"),
        (CHUNKED + b"0\r\nX: " + b"x" * 5000, "trailers over 4 KiB"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, said: str) -> None:
    """The sentence names the fault, with few bytes of it, escaped, and no header's value."""
    with pytest.raises(MalformedResponseError) as caught:
        read(data)

    text = str(caught.value)
    assert said in text
    assert len(text) < 100
    assert text.isprintable()
    assert "secret" not in text


@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_an_echo_of_our_request_is_not_quoted(method: str) -> None:
    """A far end that sends the request back sends its query string and token, too."""
    with pytest.raises(MalformedResponseError, match="begins with our request, not"):
        read(f"{method} /?token=secret HTTP/1.1\r\n".encode(), method=method)


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b"", "without an answer"),
        (b"HTT", "in the middle"),
        (OK, "in the middle"),
        (INTERIM, "after an interim answer"),
        (INTERIM + b"HTTP", "in the middle"),
        (OK + b"Content-Length: 3\r\n\r\nab", "in the middle"),
        (CHUNKED + b"3\r\nabc\r\n0\r\n", "in the middle"),
    ],
)
def test_an_end_that_comes_early(data: bytes, where: str) -> None:
    """It is told apart whether there was any answer."""
    with pytest.raises(ClosedEarlyError, match=where):
        read(data)


# --- cuts ----------------------------------------------------------------------------------------

SEEDS = st.sampled_from([data for _, data in ANSWERS])
TOKENS = st.sampled_from(
    [b"\r\n", b"\n", b"\r", b" ", b":", b";", b"0", b"3", b"\x00", b"0\r\n\r\n", INTERIM, OK]
)


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """One of the answers above, with something put in, left out or put in its place."""
    data = draw(SEEDS)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(TOKENS) + data[at + draw(st.integers(0, 3)) :]
    return data


@settings(max_examples=500, deadline=None)
@given(
    data=mutants(),
    method=st.sampled_from(["GET", "HEAD", "CONNECT"]),
    cuts=st.lists(st.integers(0, 2000), max_size=12).map(tuple),
    bytewise=st.booleans(),
)
def test_cuts_change_no_verdict(
    data: bytes, method: str, cuts: tuple[int, ...], bytewise: bool
) -> None:
    """However the network cuts an answer, it is the same answer or the same kind of failure."""
    if bytewise:
        cuts = tuple(range(1, min(len(data), 20_000)))

    assert verdict(data, method=method, cuts=cuts) == verdict(data, method=method)


@given(data=st.binary(max_size=300), start=st.sampled_from([b"", OK, CHUNKED]))
def test_any_bytes_are_an_answer_or_a_known_error(data: bytes, start: bytes) -> None:
    """Nothing but our own errors comes out."""
    verdict(start + data)
