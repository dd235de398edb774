"""The bench's far end: answers every request at once with the same bytes, in a process of its own.

``python -m bench.server --bind ADDRESS...`` prints one JSON line with its ports, and serves until
it is terminated. Answers like an agent does (node name, Server-Timing) and closes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
from pathlib import Path

from bench.wire import RESPONSE_BYTES

_BODY = b"x" * RESPONSE_BYTES
ANSWER = (
    b"HTTP/1.1 200 OK\r\nkubenurse-node-name: bench\r\nserver-timing: wait;dur=0, app;dur=0\r\n"
    b"content-type: text/plain\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
    % (len(_BODY), _BODY)
)


class _Answering(asyncio.Protocol):
    delay_seconds = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._read = b""

    def data_received(self, data: bytes) -> None:
        self._read += data
        if b"\r\n\r\n" in self._read:
            if self.delay_seconds:
                asyncio.get_running_loop().call_later(self.delay_seconds, self._answer)
            else:
                self._answer()

    def _answer(self) -> None:
        self._transport.write(ANSWER)
        self._transport.close()


async def _serve(arguments: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    _Answering.delay_seconds = arguments.delay_ms / 1000
    port, tls_port = arguments.port, arguments.tls_port
    for address in arguments.bind:
        server = await loop.create_server(_Answering, address, port, backlog=4096)
        port = server.sockets[0].getsockname()[1]
        if arguments.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(arguments.certificate)
            server = await loop.create_server(
                _Answering, address, tls_port, ssl=context, backlog=4096
            )
            tls_port = server.sockets[0].getsockname()[1]
    print(json.dumps({"port": port, "tls_port": tls_port}), flush=True)
    await loop.create_future()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bind", nargs="+", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls-port", type=int, default=0)
    parser.add_argument("--certificate", type=Path, help="PEM with key and chain")
    parser.add_argument("--delay-ms", type=float, default=0.0)
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
