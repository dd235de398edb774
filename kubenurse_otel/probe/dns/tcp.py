"""Ask one server over one TCP connection (RFC 1035 section 4.2.2), for answers too long for UDP."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING, Final

from kubenurse_otel.errors import ToldUnreachableError
from kubenurse_otel.probe import addresses
from kubenurse_otel.probe.dns import message
from kubenurse_otel.probe.dns.udp import Answered, Sent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubenurse_otel.probe.dns.message import Question
    from kubenurse_otel.probe.dns.reply import Server

MOST_READS: Final = 1_024
"""The most reads of one conversation, so that an answer in single bytes is given up."""
MOST_MESSAGES: Final = 8
"""The most messages of one conversation, including those that answer no question of ours."""
_TYPE: Final = int(socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
_READ_BYTES: Final = 16_384


async def converse(
    server: Server,
    questions: Sequence[Question],
    *,
    deadline: float,
    edns: bool = False,
    trust_ad: bool = False,
) -> list[Answered]:
    """Ask all questions at once. Return the answers that came until ``deadline`` (loop time).

    Times are our own marks, and contain the connect. Raises BadNameError, MalformedMessageError, or
    OSError (also if the server closed before an answer was complete).
    """
    found: list[Answered] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(deadline):
            await _converse(server, questions, found, edns=edns, trust_ad=trust_ad)
    return found


async def _converse(
    server: Server,
    questions: Sequence[Question],
    found: list[Answered],
    *,
    edns: bool,
    trust_ad: bool,
) -> None:
    loop = asyncio.get_running_loop()
    started_ns = time.monotonic_ns()
    waiting: dict[int, Sent] = {}
    queries = b""
    for number, question in enumerate(questions):
        wire = message.question_bytes(question)
        ident = int.from_bytes(os.urandom(2), "big")
        while ident in waiting:
            ident = (ident + 1) % 0x10000
        waiting[ident] = Sent(question, wire.lower(), number, started_ns)
        query = message.query(ident, wire, edns=edns, trust_ad=trust_ad)
        queries += len(query).to_bytes(2, "big") + query
    with socket.socket(addresses.family(server.address), _TYPE) as sock:
        try:
            await loop.sock_connect(sock, addresses.socket_address(server.address, server.port))
        except TimeoutError as error:  # the kernel's own: nobody answered its SYNs
            raise ToldUnreachableError(*error.args) from None
        await loop.sock_sendall(sock, queries)
        reader = _Reader(sock)
        for _ in range(MOST_MESSAGES):
            data = await reader.message()
            head = message.read_head(data)
            sent = waiting.get(head.ident)
            if sent is None or head.question != sent.wire:
                continue
            del waiting[head.ident]
            at_ns = time.monotonic_ns()
            records = message.read_addresses(data, head)
            found.append(Answered(sent, head, records, len(data), started_ns, at_ns, False))
            if not waiting:
                return
    raise message.MalformedMessageError("no end of what is no answer")


class _Reader:
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._held = bytearray()
        self._reads = 0

    async def message(self) -> bytes:
        await self._hold(2)
        size = 2 + int.from_bytes(self._held[:2], "big")
        await self._hold(size)
        data = bytes(self._held[2:size])
        del self._held[:size]
        return data

    async def _hold(self, size: int) -> None:
        loop = asyncio.get_running_loop()
        while len(self._held) < size:
            self._reads += 1
            if self._reads > MOST_READS:
                raise message.MalformedMessageError("an answer in single bytes")
            data = await loop.sock_recv(self._sock, _READ_BYTES)
            if not data:
                raise ConnectionResetError("closed before its answer was whole")
            self._held += data
