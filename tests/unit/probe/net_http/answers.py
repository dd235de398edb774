"""Answers of far ends, sound and not, as (method, bytes); answers.txt holds Go's verdict on each.

    go build -o /tmp/oracle tests/unit/probe/net_http/main.go
    PYTHONPATH=tests/unit/probe python -m net_http.answers /tmp/oracle

writes answers.txt anew (Go 1.26.8).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

RECORD: Final = Path(__file__).with_name("answers.txt")
OK: Final = b"HTTP/1.1 200 OK\r\n"
CHUNKED: Final = OK + b"Transfer-Encoding: chunked\r\n\r\n"

STATUS_LINES: Final = [
    b"HTTP/1.1 200 OK",
    b"HTTP/1.1 200",
    b"HTTP/1.1 200 ",
    b"HTTP/1.1  200 OK",
    b"HTTP/1.1   200  OK",
    b"HTTP/1.1 200\tOK",
    b"HTTP/1.1\t200 OK",
    b" HTTP/1.1 200 OK",
    b"\r\nHTTP/1.1 200 OK",
    b"\nHTTP/1.1 200 OK",
    b"HTTP/1.1 200OK",
    b"HTTP/1.1 200 \x00\x1b\xff",
    b"HTTP/1.1 200 O\rK",
    b"HTTP/1.1 200\r",
    b"HTTP/1.1 200 \r",
    b"HTTP/1.1 20 OK",
    b"HTTP/1.1 2000 OK",
    b"HTTP/1.1 -20 OK",
    b"HTTP/1.1 2e2 OK",
    b"HTTP/1.1 2_0 OK",
    b"HTTP/1.1 \xb2\xb2\xb2 OK",
    b"HTTP/1.1 abc OK",
    b"HTTP/1.1 OK",
    b"HTTP/1.1",
    b"HTTP/1.1 ",
    b"HTTP/1.1 000 OK",
    b"HTTP/1.1 099 OK",
    b"HTTP/1.1 600 OK",
    b"HTTP/1.1 999 OK",
    b"HTTP/1.0 200 OK",
    b"HTTP/0.0 200 OK",
    b"HTTP/0.9 200 OK",
    b"HTTP/1.2 200 OK",
    b"HTTP/1.9 200 OK",
    b"HTTP/2.0 200 OK",
    b"HTTP/9.9 200 OK",
    b"HTTP/2 200 OK",
    b"HTTP/1.10 200 OK",
    b"HTTP/11.1 200 OK",
    b"HTTP/1,1 200 OK",
    b"HTTP/1. 200 OK",
    b"HTTP/a.b 200 OK",
    b"HTTP/ 200 OK",
    b"http/1.1 200 OK",
    b"HTTPS/1.1 200 OK",
    b"ICY 200 OK",
    b"SSH-2.0-OpenSSH_9.2p1",
    b"GET / HTTP/1.1",
    b"",
]

HEADERS: Final = [
    b"X: y",
    b"X:y",
    b"X:",
    b"X: ",
    b"X :y",
    b"X : y",
    b"X  : y",
    b"X\t: y",
    b"X Y: z",
    b" X: y",
    b"\tX: y",
    b"A: b\r\n X: y",
    b"A: b\r\n\tX",
    b"A: b\r\n \r\n\t \r\nX: y",
    b"A:\r\n b",
    b"A: b\r\n \x00",
    b": y",
    b" : y",
    b"no colon",
    b"A: b\r\nno colon",
    b"A: b\r\n no colon",
    b"X: \x00",
    b"X: a\x01b",
    b"X: a\x1bb",
    b"X: a\x7fb",
    b"X: a\xffb",
    b"X: \xe2\x82\xac",
    b"X: a\rb",
    b"X: a\r",
    b"X: y\nY: z",
    b"X\x00: y",
    b"X\xff: y",
    b"X(: y",
    b"X@: y",
    b"X/: y",
    b'X": y',
    b"X!#$%&'*+-.^_`|~9: y",
    b"A: b\r\nA: c",
    b"a" * 5000 + b": y",
    b"X: " + b"y" * 30000,
    b"\r",
    b"X: y\n\r",
]

LENGTHS: Final = [
    b"Content-Length: 3",
    b"content-length: 3",
    b"CONTENT-LENGTH:3",
    b"Content-Length:  3 ",
    b"Content-Length: 003",
    b"Content-Length: +3",
    b"Content-Length: -3",
    b"Content-Length: 3.0",
    b"Content-Length: 0x3",
    b"Content-Length: 3_0",
    b"Content-Length: 3,3",
    b"Content-Length: 3, 3",
    b"Content-Length: 3 3",
    b"Content-Length: three",
    b"Content-Length: ",
    b"Content-Length:",
    b"Content-Length: \xb2",
    b"Content-Length:\r\n 3",
    b"Content-Length: 3\r\n ",
    b"Content-Length: 3\r\nContent-Length: 3",
    b"Content-Length: 3\r\ncontent-length:  3",
    b"Content-Length: 3\r\nContent-Length: 03",
    b"Content-Length: 3\r\nContent-Length: 4",
    b"Content-Length: 3\r\nContent-Length: ",
    b"Content-Length: 4",
    b"Content-Length: 2",
    b"Content-Length: 0",
    b"Content-Length: 9223372036854775807",
    b"Content-Length: 9223372036854775808",
    b"Content-Length: 99999999999999999999999",
    b"Content-Length : 3",
    b"Content-Length : 30",
    b"Content Length: 30",
    b"Connection: close",
    b"Connection: close\r\nContent-Length: 3",
    b"Connection: CLOSE\r\nContent-Length: 3",
    b"Connection: x,\tclose , y\r\nContent-Length: 3",
    b"Connection: x\r\nConnection: close\r\nContent-Length: 3",
    b"Connection: closed\r\nContent-Length: 3",
    b"Connection : close\r\nContent-Length: 3",
    b"Connection: keep-alive\r\nContent-Length: 3",
]

CODINGS: Final = [
    b"Transfer-Encoding: chunked",
    b"transfer-encoding:CHUNKED",
    b"Transfer-Encoding:  chunked ",
    b"Transfer-Encoding: chunked\r\n ",
    b"Transfer-Encoding:\r\n chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: gzip",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: chunked;q=1",
    b'Transfer-Encoding: "chunked"',
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunked,",
    b"Transfer-Encoding:",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding: chunked\r\nContent-Length: 3",
    b"Content-Length: 1000\r\nTransfer-Encoding: chunked",
    b"Content-Length: x\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nTrailer: X, Y",
    b"Transfer-Encoding: chunked\r\nTrailer: Content-Length",
    b"Transfer-Encoding: chunked\r\nTrailer: x , transfer-encoding",
    b"Transfer-Encoding: chunked\r\nTrailer: x\r\nTrailer: trailer",
    b"Trailer: Content-Length\r\nContent-Length: 3",
    b"Transfer-Encoding: chunked\r\nConnection: close",
]

CHUNKS: Final = [
    b"0\r\n\r\n",
    b"3\r\nabc\r\n0\r\n\r\n",
    b"003\r\nabc\r\n000\r\n\r\n",
    b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
    b"3 \t\r\nabc\r\n0\r\n\r\n",
    b" 3\r\nabc\r\n0\r\n\r\n",
    b"3;a=b\r\nabc\r\n0;c\r\n\r\n",
    b"3 ;a=b\r\nabc\r\n0\r\n\r\n",
    b'3;a="\r\n"\r\nabc\r\n0\r\n\r\n',
    b"3;\x00\xff\r\nabc\r\n0\r\n\r\n",
    b";a\r\n0\r\n\r\n",
    b"\r\n0\r\n\r\n",
    b"3\nabc\r\n0\r\n\r\n",
    b"3\r\nabc\n0\r\n\r\n",
    b"3\r\nabc\r\n0\n\r\n",
    b"3\r\nabc\r\n0\r\n\n",
    b"3\r\r\nabc\r\n0\r\n\r\n",
    b"3;\r \r\nabc\r\n0\r\n\r\n",
    b"0x3\r\nabc\r\n0\r\n\r\n",
    b"+3\r\nabc\r\n0\r\n\r\n",
    b"-3\r\nabc\r\n0\r\n\r\n",
    b"3_\r\nabc\r\n0\r\n\r\n",
    b"g\r\nabc\r\n0\r\n\r\n",
    b"2\r\nabc\r\n0\r\n\r\n",
    b"4\r\nabc\r\n0\r\n\r\n",
    b"3\r\nabc0\r\n\r\n",
    b"3\r\nabc\r\n",
    b"3\r\nabc\r\n0\r\n",
    b"3\r\nabc\r\n0\r\n\r",
    b"3\r\nab",
    b"3",
    b"",
    b"ffffffffffffffff\r\nabc",
    b"10000000000000000\r\nabc",
    b"00000000000000003\r\nabc\r\n0\r\n\r\n",
    b"0000000000000003\r\nabc\r\n0\r\n\r\n",
    b"3;" + b"x" * 4092 + b"\r\nabc\r\n0\r\n\r\n",
    b"3;" + b"x" * 4093 + b"\r\nabc\r\n0\r\n\r\n",
    (b"1;" + b"x" * 1000 + b"\r\nx\r\n") * 16 + b"0\r\n\r\n",
    (b"1;" + b"x" * 1000 + b"\r\nx\r\n") * 17 + b"0\r\n\r\n",
    (b"1;" + b"x" * 1000 + b"\r\nx\r\n") * 16 + b"0;" + b"x" * 4000 + b"\r\n\r\n",
    b"1\r\nx\r\n" * 5000 + b"0\r\n\r\n",
    b"0\r\nX: y\r\n\r\n",
    b"0\r\nX: y\r\n z\r\nY : z\r\n\r\n",
    b"0\r\n X: y\r\n\r\n",
    b"0\r\nno colon\r\n\r\n",
    b"0\r\nX: \x00\r\n\r\n",
    b"0\r\nX: y\n\n",
    b"0\r\nX: y\n\nHTTP/1.1 200 OK\r\n\r\n",
    b"0\r\n\nX\r\n\r\n",
    b"0\r\nX: y\r\n",
    b"0\r\nX: " + b"y" * 4089 + b"\r\n\r\n",
    b"0\r\nX: " + b"y" * 4090 + b"\r\n\r\n",
    b"0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
]

INTERIM: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
WHOLE: Final = [
    ("GET", b""),
    ("GET", b"H"),
    ("GET", b"HTTP/1.1 200 OK"),
    ("GET", OK),
    ("GET", OK + b"\r"),
    ("GET", OK + b"\r\n"),
    ("GET", b"HTTP/1.1 200 OK\n\n"),
    ("GET", b"HTTP/1.1 200 OK\nContent-Length: 3\r\n\nabc"),
    ("GET", OK + b"Content-Length: 3\r\n\r\nab"),
    ("GET", OK + b"Content-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n\r\n"),
    ("GET", OK + b"\r\nabc"),
    ("GET", INTERIM),
    ("GET", INTERIM + OK + b"Content-Length: 3\r\n\r\nabc"),
    ("GET", INTERIM * 10 + OK + b"Content-Length: 3\r\n\r\nabc"),
    ("GET", b"HTTP/1.1 102 X\r\nContent-Length: 3\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n"),
    ("GET", b"HTTP/1.1 103 X\r\nContent-Length: x\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n"),
    ("GET", b"HTTP/1.1 103 X\r\nTransfer-Encoding: chunked\r\n\r\n" + OK + b"\r\n"),
    ("GET", b"HTTP/1.1 103 X\r\nTransfer-Encoding: gzip\r\n\r\n" + OK + b"\r\n"),
    ("GET", b"HTTP/1.1 199 X\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n"),
    ("GET", b"HTTP/1.1 103 X\r\nno colon\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n"),
    ("GET", b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"),
    ("GET", b"HTTP/1.1 101 X\r\n\r\n"),
    ("GET", b"HTTP/1.1 204 X\r\n\r\n"),
    ("GET", b"HTTP/1.1 204 X\r\nContent-Length: 3\r\n\r\n"),
    ("GET", b"HTTP/1.1 204 X\r\nContent-Length: x\r\n\r\n"),
    ("GET", b"HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("GET", b"HTTP/1.1 304 X\r\nContent-Length: 3\r\n\r\n"),
    ("GET", b"HTTP/1.1 304 X\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("GET", b"HTTP/1.1 205 X\r\nContent-Length: 3\r\n\r\nabc"),
    ("HEAD", OK + b"Content-Length: 3\r\n\r\n"),
    ("HEAD", OK + b"Content-Length: x\r\n\r\n"),
    ("HEAD", OK + b"Transfer-Encoding: chunked\r\n\r\n"),
    ("HEAD", OK + b"\r\n"),
    ("GET", b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc"),
    ("GET", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc"),
    ("GET", b"HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 3\r\n\r\nabc"),
    ("GET", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ("GET", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"),
    ("GET", b"HTTP/0.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ("GET", b"HTTP/0.9 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc"),
    ("GET", b"HTTP/2.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
]

ANSWERS: Final[list[tuple[str, bytes]]] = [
    *(("GET", line + b"\r\nContent-Length: 3\r\n\r\nabc") for line in STATUS_LINES),
    *(("GET", OK + line + b"\r\nContent-Length: 3\r\n\r\nabc") for line in HEADERS),
    *(("GET", OK + line + b"\r\n\r\nabc") for line in LENGTHS),
    *(("GET", OK + line + b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n") for line in CODINGS),
    *(("GET", CHUNKED + body) for body in CHUNKS),
    *WHOLE,
]


def ask(oracle: str, answers: list[tuple[str, bytes]]) -> list[str]:
    """Go's verdict on each."""
    lines = "".join(f"{method} {answer.hex()}\n" for method, answer in answers)
    done = subprocess.run([oracle], input=lines, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def recorded() -> list[tuple[str, bytes, str]]:
    """(method, answer, Go's verdict): "refused", or status, bytes of body and perhaps "closed"."""
    lines = RECORD.read_text(encoding="ascii").splitlines()
    return [
        (method, answer, verdict_on(line, method, answer))
        for (method, answer), line in zip(ANSWERS, lines, strict=True)
    ]


def verdict_on(line: str, method: str, answer: bytes) -> str:
    verdict, *rest = line.split("\t")
    assert rest == [method, shown(answer)], "answers.txt is not of these answers: make it anew"
    return verdict


def shown(answer: bytes) -> str:
    """Enough of it to find it in the record, without what most of them begin with."""
    text = repr(answer.removeprefix(OK))[2:-1]
    return text if len(text) <= 80 else f"{text[:40]}...{text[-20:]}"


if __name__ == "__main__":
    RECORD.write_text(
        "".join(
            f"{verdict}\t{method}\t{shown(answer)}\n"
            for (method, answer), verdict in zip(ANSWERS, ask(sys.argv[1], ANSWERS), strict=True)
        ),
        encoding="ascii",
    )
