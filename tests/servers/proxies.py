"""What stands between: a transparent TCP proxy and an HTTP proxy, as behaviours of a FaultServer.

They pass bytes on and change none, but where a parameter says so.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from servers.fault_server import Behaviour, Connection

_CONNECT_SECONDS = 5.0


def tunnel(
    upstream: tuple[str, int],
    *,
    delay_seconds: float = 0.0,
    reset_after_bytes: int | None = None,
) -> Behaviour:
    """A transparent proxy (a mesh's sidecar, a load balancer): TCP ends here and starts anew.

    ``delay_seconds`` is added to every piece that goes up: the far end behind it is that far.
    ``reset_after_bytes`` of what came down, RST goes to the client.
    """

    def behave(connection: Connection) -> None:
        with socket.create_connection(upstream, timeout=_CONNECT_SECONDS) as onward:
            onward.settimeout(None)
            if reset_after_bytes is not None:
                onward.sendall(connection.socket.recv(65536))
                connection.send(onward.recv(reset_after_bytes, socket.MSG_WAITALL))
                connection.sleep(0.05)  # an RST overtakes what the client has not read yet
                connection.reset()
                return
            splice(connection, onward, delay_seconds=delay_seconds)

    return behave


def http_proxy(*, connect_status: int = 200) -> Behaviour:
    """Forward ``GET http://...`` and open tunnels for CONNECT (or refuse with another status)."""

    def behave(connection: Connection) -> None:
        request = connection.read_request()
        if request is None:
            return
        method, url, _ = request.line.split(" ", 2)
        if method == "CONNECT":
            connection.send(f"HTTP/1.1 {connect_status} Whatever\r\n\r\n".encode())
            if connect_status != 200:
                return
            host, _, port = url.rpartition(":")
            head = b""
        else:
            parts = urlsplit(url)
            host, port = parts.hostname or "", str(parts.port or 80)
            line = f"{method} {parts.path or '/'} HTTP/1.1\r\n".encode()
            head = line + request.raw.partition(b"\r\n")[2] + b"\r\n\r\n"
        address = (host.strip("[]"), int(port))
        with socket.create_connection(address, timeout=_CONNECT_SECONDS) as onward:
            onward.settimeout(None)
            onward.sendall(head + connection.take_buffer())
            if isinstance(connection.socket, ssl.SSLSocket):
                _splice_tls(connection.socket, onward)
            else:
                splice(connection, onward)

    return behave


def _splice_tls(client: ssl.SSLSocket, onward: socket.socket) -> None:
    """As ``splice``, in one thread: a TLS socket is not for two at a time."""
    while True:
        ready = [client] if client.pending() else select.select([client, onward], [], [])[0]
        for source in ready:
            piece = source.recv(65536)
            if not piece:
                return
            (onward if source is client else client).sendall(piece)


def splice(connection: Connection, onward: socket.socket, *, delay_seconds: float = 0.0) -> None:
    """Pass bytes both ways until both sides have ended."""

    def down() -> None:
        with contextlib.suppress(OSError):
            while piece := onward.recv(65536):
                connection.socket.sendall(piece)
        with contextlib.suppress(OSError):
            connection.socket.shutdown(socket.SHUT_WR)

    downward = threading.Thread(target=down)
    downward.start()
    try:
        while piece := connection.socket.recv(65536):
            connection.sleep(delay_seconds)
            onward.sendall(piece)
    finally:
        with contextlib.suppress(OSError):
            onward.shutdown(socket.SHUT_RDWR)
        downward.join()
