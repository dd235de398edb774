"""A listening socket whose every connection is handed to a behaviour, in a thread of its own.

Owns sockets, threads and the record of what was asked; what is answered is behaviours.py's.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl

_MAX_HEAD_BYTES = 256 * 1024
_JOIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Request:
    """One request head as it came. ``read_at`` is time.monotonic()."""

    line: str
    headers: dict[str, str]
    raw: bytes
    peer: tuple[str, int]
    read_at: float


class Connection:
    """One accepted connection, and what a behaviour may do with it."""

    def __init__(self, sock: socket.socket, server: FaultServer) -> None:
        self.socket = sock
        self.server = server
        self._buffer = b""

    def start_tls(self, context: ssl.SSLContext) -> None:
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def read_request(self) -> Request | None:
        """Read up to the blank line; None when the peer closed instead. Bodies are not for us."""
        while b"\r\n\r\n" not in self._buffer:
            if len(self._buffer) > _MAX_HEAD_BYTES:
                return None
            piece = self.socket.recv(65536)
            if not piece:
                return None
            self._buffer += piece
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (entry.partition(":") for entry in fields)
        }
        peer = self.socket.getpeername()[:2]
        request = Request(line, headers, head, peer, time.monotonic())
        self.server.requests.append(request)
        return request

    def take_buffer(self) -> bytes:
        """What was read beyond the last head."""
        taken, self._buffer = self._buffer, b""
        return taken

    def send(self, data: bytes) -> None:
        self.server.writes.append(time.monotonic())
        self.socket.sendall(data)

    def wait_readable(self) -> None:
        """Wait until bytes lie in the receive queue, and leave them there."""
        socket.socket.recv(self.socket, 1, socket.MSG_PEEK)

    def sleep(self, seconds: float) -> bool:
        """Wait; False when the server is stopping."""
        return not self.server.stopping.wait(seconds)

    def hold(self) -> None:
        """Say nothing until the peer goes or the server stops."""
        while self.socket.recv(65536):
            pass

    def reset(self) -> None:
        """Close with an RST: SO_LINGER with a time of zero throws away what is unsent."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        self.socket.close()


Behaviour = Callable[[Connection], None]


@dataclass
class FaultServer:
    """``with FaultServer(behaviour) as server:`` listens, records, and stops everything at the end.

    ``requests`` are the heads it read, ``writes`` when it wrote (time.monotonic()), ``errors``
    what TLS or the peer did to its threads. With ``tls`` the handshake comes before the behaviour.
    Without ``quick_acks`` it acknowledges late, as HAProxy does (tcp-smart-accept).
    """

    behaviour: Behaviour
    host: str = "127.0.0.1"
    port: int = 0
    tls: ssl.SSLContext | None = None
    quick_acks: bool = True
    accepted: int = 0
    requests: list[Request] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, self.port), family=family, backlog=512)
        self.port = self._listener.getsockname()[1]
        if not self.quick_acks:  # accepted sockets inherit it
            self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        self._lock = threading.Lock()
        self._open: set[Connection] = set()
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept, name=f"accept :{self.port}")
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(_JOIN_SECONDS)
        self._listener.close()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)

    @property
    def origin(self) -> str:
        scheme = "http" if self.tls is None else "https"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"

    @property
    def open_connections(self) -> int:
        with self._lock:
            return len(self._open)

    def url(self, path: str = "/alwayshappy", *, host: str | None = None, scheme: str = "") -> str:
        """Its URL; ``host`` by another name, ``scheme`` where the client should misjudge it."""
        origin = self.origin if host is None else self.origin.replace(self.host, host)
        return (f"{scheme}://{origin.partition('://')[2]}" if scheme else origin) + path

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if self.stopping.is_set():
                sock.close()
                return
            self.accepted += 1
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(sock, self)
            with self._lock:
                self._open.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads = [old for old in self._threads if old.is_alive()]
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: Connection) -> None:
        try:
            if self.tls is not None:
                connection.start_tls(self.tls)
            self.behaviour(connection)
        except OSError as error:  # ssl's errors too: the peer left, which many tests are about
            self.errors.append(error)
        finally:
            connection.close()
            with self._lock:
                self._open.discard(connection)


@contextlib.contextmanager
def full_backlog(host: str = "127.0.0.1") -> Iterator[tuple[str, int]]:
    """Listen without ever accepting, with the queue full: the kernel drops every further SYN."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((host, 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0.1)
            try:
                filler.connect(address)
            except TimeoutError:
                break
        else:
            raise AssertionError("a backlog of 0 took eight connections")
        yield address
