"""Many clients at once, each a coroutine on a raw socket, that come again when refused."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hostile import network
from hostile.agent import PORT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostile.attack import Target

_CONNECT_SECONDS: Final = 5.0
_SMALL_BUFFER: Final = 4_096
_ESTABLISHED: Final = 1
"""tcpi_state (include/net/tcp_states.h)."""


class Connection:
    """One open connection of an attacker. Whatever the agent does to it is an OSError or EOF."""

    def __init__(self, sock: socket.socket, target: Target) -> None:
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self.target = target

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._socket, data)

    async def read(self, size: int = 65_536) -> bytes:
        """What there is. Raises ConnectionError at the end."""
        data = await self._loop.sock_recv(self._socket, size)
        if not data:
            raise ConnectionResetError
        return data

    async def read_all(self) -> None:
        """Until the agent ends the connection, which is a ConnectionError."""
        while True:
            await self.read()

    async def stay(self) -> None:
        """Read nothing, until the agent has ended the connection or the attack is over."""
        while True:
            await asyncio.sleep(1.0)
            state = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
            if state != _ESTABLISHED:
                raise ConnectionResetError


Client = Callable[[Connection], Awaitable[None]]


def crowd(
    *clients: Client, port: int = PORT, small_buffers: bool = True
) -> Callable[[Target], None]:
    """Return a program: so many connections as the target says, shared by the kinds of client.

    With small buffers what is not read stays with the agent. With the kernel's own it may be more:
    an agent's send buffer grows with what the client's side has acknowledged.
    """

    def run(target: Target) -> None:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        kinds = [clients[number % len(clients)] for number in range(target.connections)]
        asyncio.run(_all(target, kinds, _Way(port, small_buffers)))

    return run


@dataclass(frozen=True, slots=True)
class _Way:
    """How the clients of a crowd connect."""

    port: int
    small_buffers: bool

    def socket(self, source: str) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        if self.small_buffers:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # So that a port may be used towards the agent again while an old one still is closing.
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((source, 0))
        return sock


async def _all(target: Target, kinds: Iterable[Client], way: _Way) -> None:
    tasks = [
        asyncio.create_task(
            _again_and_again(target, client, network.attacker(number % target.addresses), way)
        )
        for number, client in enumerate(kinds)
    ]
    await asyncio.wait(tasks, timeout=target.seconds_left())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _again_and_again(target: Target, client: Client, source: str, way: _Way) -> None:
    loop = asyncio.get_running_loop()
    while not target.over():
        # Refused, reset or closed: that is for the agent to choose.
        with contextlib.suppress(OSError, TimeoutError), way.socket(source) as sock:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await loop.sock_connect(sock, (target.address, way.port))
            target.count()
            await client(Connection(sock, target))
        await asyncio.sleep(target.pause_seconds)
