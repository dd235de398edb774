"""Refused connections stay for a second, as far as there is room."""

from __future__ import annotations

import asyncio
import socket

from kubenurse_otel.server.refused import HELD_SECONDS, Refused


def pairs(count: int) -> list[tuple[socket.socket, socket.socket]]:
    return [socket.socketpair() for _ in range(count)]


async def test_a_refused_one_is_closed_a_second_later() -> None:
    """Its peer waits, then is told."""
    loop = asyncio.get_running_loop()
    refused = Refused(loop)
    (ours, theirs), (others, _) = pairs(2)
    began = loop.time()
    with theirs, _:
        refused.hold(ours)
        refused.hold(others)
        async with asyncio.timeout(20):
            while (ours.fileno(), others.fileno()) != (-1, -1):
                await asyncio.sleep(0.01)
        assert loop.time() - began >= HELD_SECONDS * 0.99
        assert theirs.recv(1) == b""


async def test_there_is_room_for_few() -> None:
    """Beyond it they are closed at once; a descriptor that is needed is had of them."""
    refused = Refused(asyncio.get_running_loop(), limit=2)
    found = pairs(3)
    for ours, _ in found:
        refused.hold(ours)
    assert [ours.fileno() == -1 for ours, _ in found] == [False, False, True]
    assert refused.release()
    assert found[0][0].fileno() == -1
    refused.close()
    assert not refused.release()
    for _, theirs in found:
        theirs.close()
