"""Send queries to one server over one UDP socket and read the answers, timed by the kernel.

The socket is not connected, so an answer from another address is seen and counted. Owns what counts
as an answer to us. Does not know names, tries or time-outs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kubenurse_otel.probe import addresses, kernel
from kubenurse_otel.probe.dns import message
from kubenurse_otel.probe.dns.reply import NOTHING_IGNORED, Ignored
from kubenurse_otel.probe.waiting import readable

if TYPE_CHECKING:
    from kubenurse_otel.probe.dns.message import Head, Question
    from kubenurse_otel.probe.dns.reply import Server

MOST_IGNORED: Final = 64
"""A server is given up if it sends more datagrams than this that are no answer to us."""
PLAUSIBLE_NS: Final = 100_000
"""A stamp that is further outside of our own marks does not count: the clock was set."""
MOST_KNOWN: Final = 64
"""The most servers whose parsed addresses are cached."""
_DATAGRAM_BYTES: Final = 65_535
_TYPE: Final = int(socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)


class Sent(NamedTuple):
    """One query that left at ``started_ns`` (CLOCK_MONOTONIC). ``key`` is its number on the socket,
    as in Stamp.key.
    """

    question: Question
    wire: bytes
    """Its question_bytes in lower case."""
    key: int
    started_ns: int


class Answered(NamedTuple):
    """The answer to ``sent``. Times as in Reply."""

    sent: Sent
    head: Head
    addresses: tuple[str, ...] | None
    """None if its records cannot be read."""
    size: int
    started_ns: int
    ended_ns: int
    is_kernel_timed: bool


class Conversation:
    """Queries to one server and their answers. Raises OSError if there is no socket to be had."""

    def __init__(self, server: Server, *, edns: bool = False, trust_ad: bool = False) -> None:
        self._edns, self._trust_ad = edns, trust_ad
        family, self._to, self._from = _place(server)
        self._sock = socket.socket(family, _TYPE)
        kernel.prepare_datagrams(self._sock, family)
        self._offset_ns = kernel.read_clocks().offset_ns
        self._sent: dict[int, Sent | None] = {}
        """Each query by its identifier. None once it is answered."""
        self._sends = 0
        self._left_ns: dict[int, int] = {}
        self._ignored: dict[str, int] = {}

    @property
    def ignored(self) -> Ignored:
        return Ignored(**self._ignored) if self._ignored else NOTHING_IGNORED

    def send(self, question: Question) -> Sent:
        """Send a query. Raises OSError (no route, or an ICMP error of an earlier query), or
        BadNameError.
        """
        ident = int.from_bytes(os.urandom(2), "big")
        while ident in self._sent:
            ident = (ident + 1) % 0x10000
        wire = message.question_bytes(question)
        query = message.query(ident, wire, edns=self._edns, trust_ad=self._trust_ad)
        started_ns = time.monotonic_ns()
        self._sock.sendto(query, self._to)
        sent = self._sent[ident] = Sent(question, wire.lower(), self._sends, started_ns)
        self._sends += 1
        return sent

    async def answer(self, deadline: float) -> Answered | None:
        """Return the next answer to any query. None at ``deadline`` (loop time).

        Raises OSError if ICMP says that nobody is there, and MalformedMessageError after more than
        MOST_IGNORED datagrams that are no answer.
        """
        while True:
            try:
                data, at_ns, sender = kernel.receive_datagram(self._sock, _DATAGRAM_BYTES)
            except BlockingIOError:
                self._drain()
                if not await readable(self._sock, deadline):
                    return None
                continue
            found = self._answered_by(data, sender[:2])
            if not isinstance(found, str):
                return self._answer(*found, data, at_ns)
            self._ignored[found] = self._ignored.get(found, 0) + 1
            if sum(self._ignored.values()) > MOST_IGNORED:
                raise message.MalformedMessageError("no end of what is no answer")
            await asyncio.sleep(0)  # give others a turn
            if asyncio.get_running_loop().time() >= deadline:
                return None

    def close(self) -> None:
        self._sock.close()

    def _answered_by(self, data: bytes, sender: tuple[str, int]) -> tuple[Sent, Head] | str:
        """Return the query that ``data`` answers and its head, or a field of Ignored to count."""
        if sender != self._from:
            return "other_address"
        try:
            head = message.read_head(data)
        except message.MalformedMessageError:
            return "malformed"
        sent = self._sent.get(head.ident)
        if sent is None:
            return "repeated" if head.ident in self._sent else "other_id"
        if head.question != sent.wire:
            return "other_question"
        self._sent[head.ident] = None
        return sent, head

    def _answer(self, sent: Sent, head: Head, data: bytes, at_ns: int | None) -> Answered:
        user_ns = time.monotonic_ns()
        found: tuple[str, ...] | None
        try:
            found = message.read_addresses(data, head)
        except message.MalformedMessageError:
            found = None
        started_ns, ended_ns, stamped = self._times(sent, at_ns, user_ns)
        return Answered(sent, head, found, len(data), started_ns, ended_ns, stamped)

    def _times(self, sent: Sent, at_ns: int | None, user_ns: int) -> tuple[int, int, bool]:
        """Return (when it left, when its answer came, whether both are the kernel's stamps), in
        CLOCK_MONOTONIC ns.
        """
        if sent.key not in self._left_ns:
            with contextlib.suppress(OSError):  # the next read raises it as well
                self._drain(self._sends - len(self._left_ns))
        left_ns = self._left_ns.get(sent.key)
        if at_ns is not None and left_ns is not None:
            left_ns, at_ns = left_ns - self._offset_ns, at_ns - self._offset_ns
            if sent.started_ns - PLAUSIBLE_NS <= left_ns <= at_ns <= user_ns + PLAUSIBLE_NS:
                return left_ns, at_ns, True
        return sent.started_ns, user_ns, False

    def _drain(self, most: int = kernel.DRAIN_LIMIT) -> None:
        stamps, number = kernel.drain_datagram_errors(self._sock, most)
        for stamp in stamps:
            if stamp.what == kernel.STAMP_SENT:
                self._left_ns.setdefault(stamp.key, stamp.realtime_ns)
        if number:
            raise OSError(number, os.strerror(number))


@lru_cache(maxsize=MOST_KNOWN)
def _place(server: Server) -> tuple[socket.AddressFamily, Any, tuple[str, int]]:
    """Return the server's family, where to send to, and (address, port) of its answers as the
    kernel writes it.
    """
    family = addresses.family(server.address)
    to = addresses.socket_address(server.address, server.port)
    return family, to, (socket.inet_ntop(family, socket.inet_pton(family, to[0])), server.port)
