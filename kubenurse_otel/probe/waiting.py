"""Wait on the running loop until a socket is ready, or until a deadline (loop time, in seconds)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable


async def readable(sock: socket.socket, deadline: float) -> bool:
    """Wait until there is something to read, or an error. False past the deadline."""
    loop = asyncio.get_running_loop()
    return await _ready(sock, deadline, loop.add_reader, loop.remove_reader)


async def writable(sock: socket.socket, deadline: float) -> bool:
    """Wait until the socket takes bytes, is connected or has an error. False past the deadline."""
    loop = asyncio.get_running_loop()
    return await _ready(sock, deadline, loop.add_writer, loop.remove_writer)


async def _ready(
    sock: socket.socket,
    deadline: float,
    add: Callable[..., None],
    remove: Callable[[int], Any],
) -> bool:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[bool] = loop.create_future()
    number = sock.fileno()
    add(number, settle, future, True)
    timer = loop.call_at(deadline, settle, future, False)
    try:
        return await future
    finally:
        timer.cancel()
        remove(number)


def settle(future: asyncio.Future[bool], ready: bool) -> None:  # noqa: FBT001 - a callback's argument
    """Set the future's result, unless it is over already."""
    if not future.done():
        future.set_result(ready)
