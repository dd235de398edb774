"""One accepted connection: reads when it may, answers one request after the other, ends.

Owns the order of things (the next request is looked at when the answer before it is taken, and in
our client's turn); what is answered is answer.py's, how long it may take connections.py's, how much
it may hold clients.py's.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from kubenurse_otel.semconv import Refusal
from kubenurse_otel.server.answer import answer, refusal
from kubenurse_otel.server.connections import Stage
from kubenurse_otel.server.reader import Reader
from kubenurse_otel.server.wire import NotWelcomeError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from kubenurse_otel.server.clients import Client
    from kubenurse_otel.server.connections import Connections
    from kubenurse_otel.server.message import Peer, Request, Response
    from kubenurse_otel.server.wire import Wire

CONNECTION_BYTES: Final = 4_096
"""Bytes that a connection is charged for itself: our objects, and the kernel's."""
PROGRESS_BYTES: Final = 32_768
"""A client that has taken this many more bytes of its answer gets a new deadline."""
MAX_LINGER_BYTES: Final = 1_048_576
_WAITS: Final = frozenset((None, Stage.READING, Stage.IDLE, Stage.LINGERING))
"""The stages that wait for bytes (None: accepted just now). In the others nothing is read."""


_IN_PEACE: Final = (None, Refusal.REQUEST)
"""Reasons to end after which the peer may still read what we sent last."""


class Connection:
    """Serves one wire until it is closed. Every callback runs on the event loop."""

    __slots__ = (
        "_charged",
        "_close_after",
        "_connections",
        "_fd",
        "_handler",
        "_lingered",
        "_loop",
        "_more",
        "_open",
        "_paused",
        "_peer",
        "_progress",
        "_reader",
        "_resting",
        "_synack_retransmits",
        "_told_close",
        "_wire",
        "client",
        "entered_at",
        "stage",
    )

    def __init__(
        self,
        wire: Wire,
        peer: Peer,
        *,
        client: Client,
        handler: Callable[[Request], Response],
        connections: Connections,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.client = client
        self.stage: Stage | None = None
        self.entered_at = 0.0
        self._wire = wire
        self._fd = wire.socket.fileno()  # asyncio writes its socket's whole name into a KeyError
        self._handler = handler
        self._connections = connections
        self._loop = loop
        self._peer = peer
        self._reader = Reader(peer)
        self._synack_retransmits: int | None = None
        self._charged = self._lingered = self._progress = 0
        self._more = self._resting = False
        self._open = self._paused = True
        self._close_after = self._told_close = False

    def begin(self) -> None:
        """Serve at once what came together with the connection: that is most requests, and it saves
        a round of the event loop. Whose turn it is not yet, or who sent nothing yet, is awaited.

        Between the packet and our answer is only what the answer needs. So a connection enters its
        first stage afterwards: until then nothing else runs. With TLS there is work before.
        """
        connections, secure = self._connections, self._peer.secure
        served = not secure and connections.turns.serve(self)
        if self._open and self.stage is None:
            connections.enter(self, Stage.READING)
            self._charge()
            if served or secure:
                self._resume()
            elif self._open:
                connections.turns.wait(self)

    # --- the end ---------------------------------------------------------------------------------

    def abort(self, reason: Refusal | None = None) -> None:
        """Close at once; what was not sent is lost. May be called at any time, also twice."""
        if not self._open:
            return
        self._open = False
        if reason is not None:
            self._connections.refusals[reason] += 1
        if self.stage is None:  # it came and went: its client is remembered all the same
            self._connections.enter(self, Stage.READING)
        self._connections.leave(self)
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._reader.close()
        _ = self._peer.local  # while there is a socket to ask
        self._wire.close(reset=reason not in _IN_PEACE)
        self._charge()

    def finish(self) -> None:
        """The server is stopping: end after the request that is under way, if there is one."""
        self._close_after = True
        if self.stage in (Stage.IDLE, Stage.RESTING):
            self._end()

    def _end(self) -> None:
        """Close properly: everything is sent."""
        self._wire.goodbye()
        self.abort()

    def _linger(self) -> None:
        """End our side and throw away what still comes: closing now would reset the answer."""
        self._connections.enter(self, Stage.LINGERING)
        self._resume()
        try:
            self._wire.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.abort()

    def _charge(self) -> None:
        """Charge the client for what this connection holds. Close the connection if that is too
        much.
        """
        held = 0
        if self.stage is not None:
            held = CONNECTION_BYTES + self._reader.held_bytes + self._wire.held_bytes
        more, self._charged = held - self._charged, held
        if more and not self._connections.clients.hold(self, more):
            self.abort(Refusal.BYTES)

    # --- reading ---------------------------------------------------------------------------------

    def _readable(self) -> None:
        self._connections.turns.ask(self)

    def serve(self) -> bool:
        """It is our turn: answer the next of the requests that are here, or read."""
        came = True
        if self._more:
            self._more = False
            if not self._answer_next():
                self._await_request()
        elif self.stage in _WAITS:
            came = self._read()
            if self.stage in _WAITS and not self._more:
                self._resume()
        self._charge()
        return came

    def _read(self) -> bool:
        """Read once, and answer. False: there was nothing to read."""
        try:
            data, arrived = self._wire.receive(self._connections.buffer, self)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            self.abort()
            return True
        except NotWelcomeError as refused:
            self.abort(refused.reason)
            return True
        if self.stage is Stage.LINGERING:
            self._throw_away(data)
            return True
        if self._synack_retransmits is None:
            self._synack_retransmits = arrived.retransmits
        if data:
            if self.stage is Stage.IDLE:
                self._connections.enter(self, Stage.READING)
            self._reader.feed(data, arrived, self._synack_retransmits)
        if not self._answer_next():
            self._send()  # what TLS has to say
        if self._wire.peer_ended and self.stage in _WAITS and not self._more:
            self.abort()
        return True

    def _throw_away(self, data: memoryview | bytes) -> None:
        self._lingered += len(data)
        if self._wire.peer_ended or self._lingered > MAX_LINGER_BYTES:
            self.abort()

    def pause(self) -> None:
        """Read nothing until served."""
        if not self._paused:
            self._paused = True
            self._loop.remove_reader(self._fd)

    def _resume(self) -> None:
        if self._paused and self.stage is not None:
            self._paused = False
            self._loop.add_reader(self._fd, self._readable)

    # --- answering -------------------------------------------------------------------------------

    def _answer_next(self) -> bool:
        """Answer one request, if one is whole. Others that came with it wait for their turn."""
        request = self._reader.next()
        if request is None:
            return False
        if isinstance(request, int):
            self._connections.refusals[Refusal.REQUEST] += 1
            answered = refusal(request)
        else:
            answered = answer(request, self._handler, closing=self._close_after)
        self._close_after = self._told_close = answered.closes
        self._resting = answered.rests
        self._wire.put(answered.pieces)
        if self._send():
            self._answered()
        if answered.sent is not None:
            answered.sent()
        return True

    def _answered(self) -> None:
        """The kernel has the whole answer: go on, wait, or end."""
        if self._reader.refused:
            self._linger()
        elif self._told_close:
            self._end()
        elif self._resting:
            self.pause()
            self._connections.enter(self, Stage.RESTING)
        else:
            self.rested()

    def rested(self) -> None:
        """Look at what came together with the request before, in our turn, or await the next."""
        self._resting = False
        if self._reader.held_bytes:
            self._connections.enter(self, Stage.READING)
            self._more = True
            self._connections.turns.wait(self)
        else:
            self._await_request()

    def _await_request(self) -> None:
        half_way = self._reader.half_way
        self._connections.enter(self, Stage.READING if half_way else Stage.IDLE)
        self._resume()

    # --- sending ---------------------------------------------------------------------------------

    def _send(self) -> bool:
        """Send what the kernel takes now, the rest when it takes more; till then read nothing."""
        if self.stage is Stage.ANSWERING or not self._open:
            return False
        try:
            if self._wire.send():
                return True
        except OSError:
            self.abort()
            return False
        self._progress = self._wire.taken_bytes
        self._connections.enter(self, Stage.ANSWERING)
        self.pause()
        self._loop.add_writer(self._fd, self._writable)
        return False

    def _writable(self) -> None:
        try:
            sent = self._wire.send()
        except OSError:
            self.abort()
            return
        if sent:
            self._loop.remove_writer(self._fd)
            self._answered()
        elif self._wire.taken_bytes - self._progress >= PROGRESS_BYTES:
            self._progress = self._wire.taken_bytes
            self._connections.enter(self, Stage.ANSWERING)
        self._charge()
