"""The bench's far end: answers every request at once with the same bytes, in a process of its own.

``python -m bench.server --bind ADDRESS... --port N`` says "ready" and serves until terminated.
Answers like an agent does (node name, Server-Timing) and closes when it is asked to. An address may
have the name of its node beside it (ADDRESS=NODE), else it is `node_name` of the address.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import ssl
from functools import partial
from pathlib import Path

from bench.wire import RESPONSE_BYTES

_BODY = b"x" * RESPONSE_BYTES


def node_name(address: str) -> str:
    """The node that answers at an address of the bench."""
    return f"node-{address.replace('.', '-')}"


def _answer(node: str) -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\nkubenurse-node-name: %b\r\nserver-timing: wait;dur=0, app;dur=0\r\n"
        b"content-type: text/plain\r\ncontent-length: %d\r\n\r\n%b"
        % (node.encode("ascii"), len(_BODY), _BODY)
    )


_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"connection: *close", re.IGNORECASE)


class _Answering(asyncio.Protocol):
    """One answer a request (after its body, if it says how long that is)."""

    delay_seconds = 0.0

    def __init__(self, answer: bytes = b"") -> None:
        self._answer_bytes = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._read = b""

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, found, body = self._read.partition(b"\r\n\r\n")
        if not found:
            return
        length = _LENGTH.search(head)
        if length and len(body) < int(length[1]):
            return
        self._read = b""
        self._request(head, body)
        closes = _CLOSE.search(head) is not None
        if self.delay_seconds:
            asyncio.get_running_loop().call_later(self.delay_seconds, self._answer, closes)
        else:
            self._answer(closes)

    def _request(self, head: bytes, body: bytes) -> None:
        """A whole request is there."""

    def _answer(self, closes: bool) -> None:  # noqa: FBT001 - a callback's argument
        self._transport.write(self._answer_bytes)
        if closes:
            self._transport.close()


class _Sink(_Answering):
    """An OTLP receiver that looks at nothing, and may keep the traces for somebody who does."""

    directory: Path | None = None
    count = 0

    def _request(self, head: bytes, body: bytes) -> None:
        if self.directory is not None and b"/v1/traces" in head.partition(b"\r\n")[0]:
            _Sink.count += 1
            (self.directory / f"traces-{_Sink.count}").write_bytes(body)

    def _answer(self, closes: bool) -> None:  # noqa: ARG002, FBT001 - as above
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


async def _serve(arguments: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    _Answering.delay_seconds = arguments.delay_ms / 1000
    for binding in arguments.bind:
        address, _, node = binding.partition("=")
        answering = partial(_Answering, _answer(node or node_name(address)))
        await loop.create_server(answering, address, arguments.port, backlog=4096)
    if arguments.bind_tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.certificate)
        for address in arguments.bind_tls:
            answering = partial(_Answering, _answer(node_name(address)))
            await loop.create_server(
                answering, address, arguments.tls_port, ssl=context, backlog=4096
            )
    if arguments.sink:
        _Sink.directory = arguments.keep
        address, _, port = arguments.sink.rpartition(":")
        await loop.create_server(_Sink, address, int(port))
    print("ready", flush=True)
    await loop.create_future()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bind", nargs="+", default=[])
    parser.add_argument("--bind-tls", nargs="+", default=[])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tls-port", type=int, default=0)
    parser.add_argument("--certificate", type=Path, help="PEM with key and chain")
    parser.add_argument("--sink", default="", help="ADDRESS:PORT of an OTLP receiver")
    parser.add_argument("--keep", type=Path, help="where the sink puts the traces it gets")
    parser.add_argument("--delay-ms", type=float, default=0.0)
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
