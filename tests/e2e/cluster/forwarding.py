"""A port of the cluster's network on this machine's loopback, for a browser."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from e2e.cluster.machine import network_of


async def forward(port: int, host: str, pid: int) -> None:
    """Listen at 127.0.0.1:``port``; connect to ``host:port`` in the network of process ``pid``."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with network_of(pid):  # A socket stays in the network that it was made in.
            far_end = socket.socket()
        far_end.setblocking(False)
        with suppress(OSError):
            await asyncio.get_running_loop().sock_connect(far_end, (host, port))
            far_reader, far_writer = await asyncio.open_connection(sock=far_end)
            await asyncio.gather(_pass_on(reader, far_writer), _pass_on(far_reader, writer))
        far_end.close()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    print(f"http://127.0.0.1:{port}/ (Ctrl-C ends it)")
    async with server:
        await server.serve_forever()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.write_eof()
