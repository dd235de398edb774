"""Collectors that want to end, fill or hold the agent: bounded in bytes and time, counted, said."""

from __future__ import annotations

import socket
import ssl
import threading
import time
import zlib
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import grpc
import otlp_receiver
import pytest
from memory import MEBIBYTE, peak
from otlp_telemetry import a_trace, exports, otlp, running
from waiting import wait_until

from kubenurse_otel.config import OtlpProtocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers import Certificates

HTTP, GRPC = OtlpProtocol.HTTP_PROTOBUF, OtlpProtocol.GRPC
MOST_SENT = 96 * MEBIBYTE
"""Where an attack ends by itself, should nobody end it."""
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n"


class Attacker:
    """``sent`` is how many bytes of one answer were taken from it, at most."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.sent = 0
        self.ended = threading.Event()


@contextmanager
def attacker(
    attack: Callable[[Callable[[bytes], None]], None], *, tls: ssl.SSLContext | None = None
) -> Iterator[Attacker]:
    """A server that reads a request and lets ``attack`` send, for as long as somebody takes it."""
    found = Attacker()
    listener = socket.create_server(("127.0.0.1", 0))
    found.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
    closing = threading.Event()

    def serve(connection: socket.socket) -> None:
        sent = 0

        def send(data: bytes) -> None:
            nonlocal sent
            if closing.is_set() or sent > MOST_SENT:
                raise ConnectionError
            connection.sendall(data)
            sent += len(data)
            found.sent = max(found.sent, sent)

        with suppress(OSError):
            connection.settimeout(10)
            if tls is not None:
                connection = tls.wrap_socket(connection, server_side=True)
            connection.recv(65536)
            attack(send)
        connection.close()
        found.ended.set()

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _address = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        closing.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def endless(start: bytes, piece: bytes) -> Callable[[Callable[[bytes], None]], None]:
    def attack(send: Callable[[bytes], None]) -> None:
        send(start)
        while True:
            send(piece)

    return attack


def bomb(unpacked_mebibytes: int) -> Callable[[Callable[[bytes], None]], None]:
    """A thousandth of that, packed; without gzip's trailer, so that it is made in no time."""
    packing = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    first, more = (
        packing.compress(bytes(MEBIBYTE)) + packing.flush(zlib.Z_FULL_FLUSH) for _ in range(2)
    )
    body = first + more * (unpacked_mebibytes - 1)

    def attack(send: Callable[[bytes], None]) -> None:
        send(OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    return attack


LONG = b"x" * 65536
ATTACKS: dict[str, tuple[Any, str]] = {
    "a body": (endless(OK + b"Content-Length: 99999999999\r\n\r\n", LONG), "more came than"),
    "a body until the end": (endless(OK + b"\r\n", LONG), "more came than"),
    "chunks": (
        endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        "more came than",
    ),
    "a chunk's extension": (
        endless(OK + b"Transfer-Encoding: chunked\r\n\r\n1;", LONG),
        "is it a collector?",
    ),
    "trailers": (
        endless(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n" * 1000),
        "is it a collector?",
    ),
    "headers": (endless(OK, b"a: b\r\n" * 1000), "is it a collector?"),
    "one header": (endless(OK + b"a: ", LONG), "is it a collector?"),
    "a status line": (endless(b"HTTP/1.1 200 ", LONG), "is it a collector?"),
    "interim answers": (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100), "more came than"),
    "a refusal": (
        endless(b"HTTP/1.1 503 No\r\nContent-Length: 99999999999\r\n\r\n", LONG),
        "more came than",
    ),
    "packed": (bomb(400), "more came than"),
    "packed in little": (bomb(60), "unpacks to more than 65536 bytes"),
}


@pytest.mark.parametrize("kind", ATTACKS)
def test_an_answer_without_end_is_dropped(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """64 KiB of it are read, then the connection is closed and the export has failed."""
    attack, said = ATTACKS[kind]
    with (
        attacker(attack) as collector,
        running(otlp_traces=otlp(collector.endpoint, HTTP, "traces")) as telemetry,
    ):
        trace = a_trace(telemetry)
        with peak() as memory:
            telemetry.offer(trace)
            wait_until(lambda: exports(telemetry) == {("traces", "failure"): 1})
            assert collector.ended.wait(20)
        assert collector.sent < 16 * MEBIBYTE  # what the kernel's buffers took, and not its all
        assert memory.grown_bytes < 16 * MEBIBYTE
        assert f"cannot export traces to {collector.endpoint}/v1/traces: " in caplog.text
        assert said in caplog.text


def slowly(start: bytes, piece: bytes) -> Callable[[Callable[[bytes], None]], None]:
    def attack(send: Callable[[bytes], None]) -> None:
        send(start)
        while True:
            send(piece)
            time.sleep(0.05)

    return attack


@pytest.mark.parametrize(
    "attack",
    [
        slowly(OK, b"a"),
        slowly(OK + b"Content-Length: 60000\r\n\r\n", b"x"),
        slowly(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        slowly(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["head", "body", "chunks", "interim"],
)
def test_an_answer_that_trickles_does_not_hold_an_export(
    attack: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A byte now and then is no progress: the timeout is that of the whole export."""
    with (
        attacker(attack) as collector,
        running(
            otlp_traces=otlp(collector.endpoint, HTTP, "traces", timeout_seconds=0.5)
        ) as telemetry,
    ):
        telemetry.offer(a_trace(telemetry))
        wait_until(lambda: ("traces", "failure") in exports(telemetry), seconds=30)
        assert "the request and its answer took longer than 0.5 s" in caplog.text


def records(piece: bytes) -> Callable[[Callable[[bytes], None]], None]:
    """As many TLS records as writes."""
    return endless(OK + b"Content-Length: 99999999999\r\n\r\n", piece)


@pytest.mark.parametrize("kind", ["tickets", "one-byte records", "records"])
def test_tls_does_not_hide_what_comes(
    kind: str, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    """Session tickets and record headers count as well as what is in the records."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificates.leaf().configure_cert(tls)
    if kind == "tickets":
        tls.num_tickets = 200_000
    attack = records(b"x" if kind == "one-byte records" else LONG)
    with (
        attacker(attack, tls=tls) as collector,
        running(
            otlp_traces=otlp(
                collector.endpoint,
                HTTP,
                "traces",
                certificate=certificates.ca_file,
                timeout_seconds=20.0,
            )
        ) as telemetry,
    ):
        telemetry.offer(a_trace(telemetry))
        wait_until(lambda: exports(telemetry) == {("traces", "failure"): 1}, seconds=40)
        assert "more came than" in caplog.text
        assert collector.ended.wait(20)
        assert collector.sent < 16 * MEBIBYTE


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_an_answer_of_grpc_is_bounded(
    compression: grpc.Compression, caplog: pytest.LogCaptureFixture
) -> None:
    """A message beyond 64 KiB, packed or unpacked, is a failure with grpc's reason."""
    with (
        otlp_receiver.grpc_receiver(compression=compression) as received,
        running(otlp_traces=otlp(received.endpoint, GRPC, "traces")) as telemetry,
    ):
        received.message = "x" * 30 * MEBIBYTE
        trace = a_trace(telemetry)
        telemetry.offer(trace)
        wait_until(lambda: exports(telemetry) == {("traces", "failure"): 1})
        assert "gRPC RESOURCE_EXHAUSTED: " in caplog.text
        assert "larger than max" in caplog.text
