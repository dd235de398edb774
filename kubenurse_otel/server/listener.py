"""The listening sockets of a server: bound, accepted from, closed.

Owns addresses, backlog and what to do when descriptors run out; what is said on an accepted
connection is connection.py's.
"""

from __future__ import annotations

import errno
import logging
import socket
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from kubenurse_otel.server.arrival import stamp_arrivals
from kubenurse_otel.server.wire import NOT_SENT_BYTES

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

BACKLOG: Final = 4096
_TCP_NOTSENT_LOWAT: Final = 25
"""linux/tcp.h; Python's socket module names it from 3.13 on."""
_BUFFERS: Final = (
    (socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384),
    (socket.SOL_SOCKET, socket.SO_SNDBUF, 32_768),
    (socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, NOT_SENT_BYTES),
)
"""Bytes that the kernel may hold per connection (it doubles the first two): a request is small, and
of an answer it holds what is under way and 4 KiB more.
"""
_ACCEPT_SECONDS: Final = 0.004
"""After this many seconds of accepting, other tasks have their turn. Refusals are quick, but the
connections that are not refused wait behind them.
"""
_OUT_OF_RESOURCES: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_PAUSE_SECONDS: Final = 0.2
_NO_SUCH_FAMILY: Final = frozenset((errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT))
_ANY_PORT_ATTEMPTS: Final = 10

_log = logging.getLogger(__name__)


class ServerError(Exception):
    """The server cannot start; the message is a sentence for the person who started it."""


def bind(address: str, port: int, *, variable: str) -> list[socket.socket]:
    """Return listening sockets for ``address`` (empty: all, one a family) and ``port``.

    Port 0 takes a free one, the same for all. A host without IPv6 (or without IPv4) is served
    on the other. Raises ServerError that names ``variable``.
    """
    for _ in range(_ANY_PORT_ATTEMPTS - 1 if port == 0 else 0):
        try:
            return _bind(address, port, variable)
        except ServerError:
            continue  # the free port of one family was taken in the other
    return _bind(address, port, variable)


def _bind(address: str, port: int, variable: str) -> list[socket.socket]:
    listeners: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, host in _addresses(address):
            try:
                listener = _listen(family, host, port)
            except OSError as problem:
                if not address and problem.errno in _NO_SUCH_FAMILY:
                    missing = problem
                    continue
                raise ServerError(_sentence(problem, host, port, variable)) from problem
            listeners.append(listener)
            port = port or listener.getsockname()[1]
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    if missing is not None and not listeners:
        raise ServerError(_sentence(missing, address, port, variable)) from missing
    return listeners


def _addresses(address: str) -> list[tuple[int, str]]:
    if not address:
        return [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")]  # noqa: S104 - the default is all, as kubenurse's
    try:
        found = socket.getaddrinfo(
            address.strip("[]"), None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as problem:
        raise ServerError(
            f"KUBENURSE_LISTEN_ADDRESS {address!r} is neither an address nor a name: {problem}"
        ) from problem
    return list(dict.fromkeys((int(family), str(where[0])) for family, _, _, _, where in found))


def _listen(family: int, host: str, port: int) -> socket.socket:
    listener = _Socket(family, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted ones inherit it
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        stamp_arrivals(listener)
        for level, option, size in _BUFFERS:  # accepted ones inherit these, too
            listener.setsockopt(level, option, size)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _sentence(problem: OSError, host: str, port: int, variable: str) -> str:
    where = f"{variable} {port} on {f'[{host}]' if ':' in host else host}"
    if problem.errno == errno.EADDRINUSE:
        return f"{where} is taken by another process"
    if problem.errno in (errno.EACCES, errno.EPERM):
        return f"{where} may not be used by this user (ports below 1024 need a privilege)"
    if problem.errno == errno.EADDRNOTAVAIL:
        return f"KUBENURSE_LISTEN_ADDRESS {host} is no address of this host"
    return f"cannot listen at {where}: {problem.strerror or problem}"


class _Socket(socket.socket):
    """``accept`` reads these two anew for each connection, and each is an enumeration's look-up."""

    @cached_property
    def family(self) -> socket.AddressFamily:
        return super().family

    @cached_property
    def type(self) -> socket.SocketKind:
        return super().type


class Listener:
    """Accepts from one listening socket and hands each connection and its far end to ``welcome``.

    ``make_room`` frees a descriptor when there is none left (False: it could not).
    """

    def __init__(
        self,
        listener: socket.socket,
        *,
        loop: asyncio.AbstractEventLoop,
        welcome: Callable[[socket.socket, tuple[Any, ...]], None],
        make_room: Callable[[], bool],
    ) -> None:
        self._listener = listener
        self._loop = loop
        self._welcome = welcome
        self._make_room = make_room
        self._pause: asyncio.TimerHandle | None = None
        self.port: int = listener.getsockname()[1]
        loop.add_reader(listener, self._accept)

    def close(self) -> None:
        """Take what already waits, then close: whoever comes later is refused."""
        self._accept()
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()

    def _accept(self) -> None:
        ends = time.monotonic() + _ACCEPT_SECONDS
        while time.monotonic() < ends:
            try:
                connection, address = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as problem:
                if problem.errno not in _OUT_OF_RESOURCES:
                    continue  # that connection was gone before we took it
                if not self._make_room():
                    self._rest(problem)
                return  # a connection that still waits wakes us again
            connection.setblocking(False)
            self._welcome(connection, address)

    def _rest(self, problem: OSError) -> None:
        """Stop accepting for a while: without a free descriptor the event loop would spin on a
        connection that nobody can accept.
        """
        _log.error("No connection can be accepted now: %s", problem)
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(
            _PAUSE_SECONDS, self._loop.add_reader, self._listener, self._accept
        )
