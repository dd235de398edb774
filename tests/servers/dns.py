"""A name server that logs who asks it what, and answers as a script says, UDP and TCP.

Messages are dnspython's: what reads ours and writes what ours are to read is not ours.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Self

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


@dataclass(frozen=True)
class Asked:
    """One query that came."""

    server: str
    transport: str
    name: str
    """With the root's dot, as it was written."""
    type: str
    port: int
    """It came from."""
    ad: bool
    edns: int
    """Bytes; -1 without."""
    at: float = field(compare=False, default=0.0)
    message: dns.message.Message = field(compare=False, repr=False, kw_only=True)


@dataclass(frozen=True)
class Elsewhere:
    """Send these bytes from another address."""

    data: bytes
    address: str = "127.0.0.66"


@dataclass(frozen=True)
class Later:
    """Send these bytes after a while."""

    data: bytes
    seconds: float


Behaviour = Callable[[Asked], Iterable[bytes | Elsewhere | Later]]
"""What goes back, in this order; nothing at all is silence."""


def answer(
    asked: Asked,
    *addresses: str,
    rcode: int = 0,
    aliases: Iterable[str] = (),
    truncated: bool = False,
    ident: int | None = None,
    lame: bool = False,
) -> bytes:
    """An answer with these of its type, at the end of a chain of ``aliases``."""
    reply = dns.message.make_response(asked.message, recursion_available=not lame)
    reply.set_rcode(dns.rcode.Rcode(rcode))
    reply.use_edns(-1)
    owner = asked.message.question[0].name.to_text()
    for alias in aliases:
        reply.answer.append(dns.rrset.from_text(owner, 30, "IN", "CNAME", alias))
        owner = alias
    for one in addresses:  # a set each: dnspython shuffles what is in one
        if (":" in one) == (asked.type == "AAAA"):
            reply.answer.append(dns.rrset.from_text(owner, 30, "IN", asked.type, one))
    if truncated:
        reply.flags |= dns.flags.TC
        reply.answer.clear()
    if ident is not None:
        reply.id = ident
    return reply.to_wire(max_size=65_535)


def fits(asked: Asked, *addresses: str) -> bytes:
    """An answer as a server gives it: cut short by UDP where it is over 512 bytes."""
    whole = answer(asked, *addresses)
    limit = max(512, asked.edns)
    short = asked.transport == "udp" and len(whole) > limit
    return answer(asked, truncated=True) if short else whole


def bound(address: str, port: int) -> tuple[socket.socket, socket.socket]:
    """UDP and TCP, on one port; 0 is one that is free for both."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    host, _, zone = address.partition("%")
    more = (0, int(zone)) if zone else ()
    for left in reversed(range(50)):
        udp = socket.socket(family, socket.SOCK_DGRAM)
        tcp = socket.socket(family, socket.SOCK_STREAM)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            udp.bind((host, port, *more))
            tcp.bind((host, udp.getsockname()[1], *more))
            tcp.listen(16)
        except OSError:
            udp.close()
            tcp.close()
            if port or not left:
                raise
        else:
            return udp, tcp
    raise AssertionError


class NameServer:
    """Serves in a thread of its own from ``with`` to its end."""

    def __init__(self, behaviour: Behaviour, address: str = "127.0.0.1", port: int = 0) -> None:
        self.behaviour = behaviour
        self.asked: list[Asked] = []
        self._udp, self._tcp = bound(address, port)
        self.address, self.port = address, self._udp.getsockname()[1]
        self._wake, self._waker = socket.socketpair()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._waker.send(b"x")
        self._thread.join()
        for sock in (self._udp, self._tcp, self._wake, self._waker):
            sock.close()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:
            for sock in (self._udp, self._tcp, self._wake):
                selector.register(sock, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._wake:
                        return
                    if key.fileobj is self._udp:
                        self._datagram()
                    elif key.fileobj is self._tcp:
                        connection, _ = self._tcp.accept()
                        stack.callback(connection.close)
                        selector.register(connection, selectors.EVENT_READ)
                    elif not self._stream(key.fileobj):  # type: ignore[arg-type]
                        selector.unregister(key.fileobj)

    def _datagram(self) -> None:
        try:
            data, peer = self._udp.recvfrom(65_535)
        except OSError:
            return
        for one in self._behave(data, "udp", peer[1]):
            if isinstance(one, Later):
                timer = threading.Timer(one.seconds, self._send, (one.data, peer))
                timer.daemon = True
                timer.start()
            elif isinstance(one, Elsewhere):
                with socket.socket(self._udp.family, socket.SOCK_DGRAM) as other:
                    other.bind((one.address, 0))
                    other.sendto(one.data, peer)
            else:
                self._send(one, peer)

    def _send(self, data: bytes, peer: tuple[str, int]) -> None:
        with contextlib.suppress(OSError):
            self._udp.sendto(data, peer)

    def _stream(self, connection: socket.socket) -> bool:
        """Answer what came at once; False once the client is gone."""
        connection.setblocking(True)
        try:
            head = connection.recv(2, socket.MSG_WAITALL)
            if len(head) < 2:
                return False
            data = connection.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
            for one in self._behave(data, "tcp", connection.getpeername()[1]):
                assert isinstance(one, bytes)
                connection.sendall(len(one).to_bytes(2, "big") + one)
        except OSError:
            return False
        return True

    def _behave(
        self, data: bytes, transport: str, port: int
    ) -> Iterable[bytes | Elsewhere | Later]:
        message = dns.message.from_wire(data)
        question = message.question[0]
        asked = Asked(
            self.address,
            transport,
            question.name.to_text(),
            dns.rdatatype.to_text(question.rdtype),
            port,
            bool(message.flags & dns.flags.AD),
            message.payload if message.edns >= 0 else -1,
            time.monotonic(),
            message=message,
        )
        self.asked.append(asked)
        return self.behaviour(asked)
