"""Connect, shake hands (TLS), send and receive on sockets of our own, and leave marks of each step.

Owns waiting on the running loop, deadlines, and the connection's byte count. Does not speak HTTP,
and computes nothing. A ``deadline`` is a time of the loop's clock, in seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import socket
import ssl
import struct
import time
from typing import TYPE_CHECKING, Any, Final

from kubenurse_otel import errors
from kubenurse_otel.probe import addresses, kernel
from kubenurse_otel.probe.effort import Effort
from kubenurse_otel.probe.hello import refuse_large_groups
from kubenurse_otel.probe.marks import Attempt, Marks, Received, Sent, Stage
from kubenurse_otel.probe.proxy_tls import ProxyTls
from kubenurse_otel.probe.resolve import DeadlineExceededError
from kubenurse_otel.probe.waiting import settle, writable

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from kubenurse_otel.probe.addresses import SocketAddress

ATTEMPT_DELAY_SECONDS: Final = 0.25
"""RFC 8305 section 5: if an address has not answered for so long, the next one is tried beside it.
"""
_STREAM: Final = int(socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
READ_BYTES: Final = 16_384
IN_PLACE_MS: Final = 1
"""ms for which a quick far end is waited for in the system call, before the loop waits for it.

This saves a tenth of a check's CPU. Meanwhile the loop stands still. The kernel rounds a receive
time-out up to whole ticks, so if a quick far end is suddenly slow, that is 8 ms at most (HZ=250).
The rest of that exchange waits on the event loop, and so does the next exchange.
"""
_IN_PLACE_TIMEVAL: Final = struct.pack("@ll", 0, IN_PLACE_MS * 1000)


async def connect(
    candidates: tuple[str, ...],
    port: int,
    *,
    deadline: float,
    marks: Marks,
    in_place: bool = False,
    most_segment_bytes: int | None = None,
) -> socket.socket:
    """Connect to the first address that answers (happy eyeballs, RFC 8305 section 5).

    With ``in_place``, a single address is first waited for in the system call, for IN_PLACE_MS.
    ``most_segment_bytes`` is the largest segment that either end may send (TCP_MAXSEG). None: TCP
    decides. ``marks.attempts`` gets every address that was tried, ``marks.used`` the one that won.
    Raises DeadlineExceededError. If all addresses failed, raises the OSError of the last one.
    """
    if len(candidates) == 1:
        return await _attempt(
            candidates[0],
            port,
            deadline=deadline,
            marks=marks,
            in_place=in_place,
            most_segment_bytes=most_segment_bytes,
        )
    race = _Race()
    try:
        for address in candidates:
            race.enter(
                _attempt(
                    address,
                    port,
                    deadline=deadline,
                    marks=marks,
                    most_segment_bytes=most_segment_bytes,
                )
            )
            # The next address is tried when one has failed, or after the delay.
            await race.wait(ATTEMPT_DELAY_SECONDS)
            if race.winner is not None:
                return race.winner
        while race.winner is None and race.running:
            await race.wait(None)
    finally:
        await race.call_off()
    if race.winner is None:
        assert race.error is not None
        raise race.error
    return race.winner


class _Race:
    """Connection attempts that run at the same time. The first that succeeds wins."""

    def __init__(self) -> None:
        self.running: set[asyncio.Task[socket.socket]] = set()
        self.winner: socket.socket | None = None
        self.error: BaseException | None = None

    def enter(self, attempt: Coroutine[Any, Any, socket.socket]) -> None:
        self.running.add(asyncio.create_task(attempt))

    async def wait(self, timeout_seconds: float | None) -> None:
        """Wait until an attempt ends, or until ``timeout_seconds`` are over."""
        done, self.running = await asyncio.wait(
            self.running, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            self._judge(task.exception() or task.result())

    async def call_off(self) -> None:
        for task in self.running:
            task.cancel()
        for outcome in await asyncio.gather(*self.running, return_exceptions=True):
            self._judge(outcome)

    def _judge(self, outcome: socket.socket | BaseException) -> None:
        if isinstance(outcome, BaseException):
            self.error = errors.without_frames(outcome)
        else:
            self.winner = outcome


async def _attempt(
    address: str,
    port: int,
    *,
    deadline: float,
    marks: Marks,
    in_place: bool = False,
    most_segment_bytes: int | None = None,
) -> socket.socket:
    """Connect to one address. Raises OSError, also if another address was faster."""
    attempt = Attempt(address, "ipv6" if ":" in address else "ipv4", time.monotonic_ns())
    marks.attempts.append(attempt)
    try:
        sock = socket.socket(addresses.family(address), _STREAM)
    except OSError as error:  # EMFILE, or a family that this host lacks
        attempt.ended_ns, attempt.error = time.monotonic_ns(), error
        raise
    try:
        if most_segment_bytes is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, most_segment_bytes)
        await _connect(
            sock,
            addresses.socket_address(address, port),
            deadline=deadline,
            attempt=attempt,
            in_place=in_place,
        )
    except OSError as raised:
        attempt.ended_ns = time.monotonic_ns()
        no_port = raised.errno == errno.EADDRNOTAVAIL and addresses.has_source(address, port)
        attempt.error = errors.NoLocalPortError(*raised.args) if no_port else raised
        sock.close()
        raise attempt.error from None
    except BaseException:  # cancelled: another address won, or we are shutting down
        attempt.ended_ns, attempt.abandoned = time.monotonic_ns(), True
        sock.close()
        raise
    if marks.used is not None:
        attempt.abandoned = True
        sock.close()
        raise ConnectionAbortedError("another address was faster")
    marks.info_at_connect = kernel.tcp_info(sock)
    marks.info_at_connect_ns = time.monotonic_ns()
    marks.used = attempt
    return sock


async def _connect(
    sock: socket.socket,
    address: SocketAddress,
    *,
    deadline: float,
    attempt: Attempt,
    in_place: bool,
) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    attempt.started_ns = time.monotonic_ns()
    try:
        sock.connect(address)
    except BlockingIOError:
        expired = not (in_place and _writable_soon(sock)) and not await writable(sock, deadline)
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            told = number in errors.TOLD_UNREACHABLE
            kind = errors.ToldUnreachableError if told else OSError
            raise kind(number, os.strerror(number)) from None
        if expired and not _is_connected(sock):
            raise DeadlineExceededError(attempt.started_ns) from None
    attempt.ended_ns = time.monotonic_ns()
    # The kernel gave our end the very address and port that we connect to: the socket is connected
    # to itself (TCP's simultaneous open, RFC 9293 section 3.5), and nobody listens there.
    if sock.getsockname()[1] == address[1] and sock.getsockname() == sock.getpeername():
        raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))


def _is_connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def _writable_soon(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    return bool(poll.poll(IN_PLACE_MS))


class Connection:
    """One TCP connection, plain or under TLS. It notes in the marks when bytes left and arrived."""

    def __init__(self, sock: socket.socket, marks: Marks, *, in_place: bool = False) -> None:
        """With ``in_place``, reads first wait in the system call, for IN_PLACE_MS."""
        self.marks = marks
        self.stage = Stage.REQUEST
        self.deadline = 0.0
        self.effort = Effort()
        self.ssl_object: ssl.SSLObject | None = None
        self.verified_by: ssl.SSLContext | None = None
        """The context that verified the far end, or else the proxy."""
        self._sock = sock
        self._sent_bytes = 0
        self._incoming: ssl.MemoryBIO | None = None
        self._outgoing: ssl.MemoryBIO | None = None
        self._waiting: asyncio.Future[bool] | None = None
        self._proxy_tls: ProxyTls | None = None
        self._watched = False
        """Whether the loop watches the socket. It does from the first wait on, because that is
        cheaper than to begin with each wait.
        """
        self._in_place = False
        if in_place:
            self._wait_in_place()
        self.timestamps_enabled = kernel.enable_timestamps(sock)
        marks.timestamps_enabled = self.timestamps_enabled

    @property
    def peer(self) -> tuple[str, int]:
        """Address and port of the far end. ("", 0) once the connection is gone."""
        try:
            name = self._sock.getpeername()
        except OSError:
            return "", 0
        return str(name[0]), int(name[1])

    @property
    def local_port(self) -> int:
        """The port at our end. 0 if the kernel does not tell."""
        try:
            return int(self._sock.getsockname()[1])
        except OSError:
            return 0

    def info(self) -> kernel.TcpInfo | None:
        return kernel.tcp_info(self._sock)

    def is_idle(self) -> bool:
        """Whether a connection that was kept is still open, with nothing to read on it."""
        kernel.drain_error_queue(self._sock)
        try:
            self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def reuse(self, marks: Marks, *, in_place: bool = False) -> None:
        """Begin another exchange on this connection, with marks of its own."""
        if in_place:
            self._wait_in_place()
        else:
            self._wait_on_the_loop()
        self.marks = marks
        self.stage = Stage.REQUEST
        self.effort = Effort()
        marks.reused = True
        marks.encrypted = self.ssl_object is not None
        marks.timestamps_enabled = self.timestamps_enabled
        info = self.info()
        if info is not None:
            marks.retransmits_before, marks.dsacks_before = info.retransmits, info.dsacks
            marks.window_closed_before_us = info.window_closed_us

    async def start_proxy_tls(self, context: ssl.SSLContext, proxy_name: str) -> None:
        """Shake hands with a proxy. Everything after that runs inside this TLS.

        The TLS of the far end is a second one inside it (``start_tls``). Only that one is TLS in
        the marks. Raises as ``start_tls`` does.
        """
        self.verified_by = context
        layer = ProxyTls(context, proxy_name)
        while True:
            try:
                done = layer.shake_hands()
            finally:  # after an error, too: this is the alert that says why
                await self._send_bytes(layer.to_send())
            if done:
                break
            layer.feed((await self._receive_bytes())[0])
        self._proxy_tls = layer

    async def start_tls(self, context: ssl.SSLContext, server_name: str) -> None:
        """Shake hands with the far end, whose certificate has to be for ``server_name``.

        Raises ssl.SSLError, OSError, TooCostlyError or DeadlineExceededError.
        """
        self.verified_by = context
        self.marks.tls_started_ns = time.monotonic_ns()
        self.marks.encrypted = True
        self.stage = Stage.TLS
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl_object = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_name
        )
        is_first = True
        while True:
            try:
                self.ssl_object.do_handshake()
            except ssl.SSLWantReadError:
                flight = self._outgoing.read()
                if not is_first:  # the far end has no part in the first hello
                    refuse_large_groups(flight)
                is_first = False
                if flight:
                    await self._send(flight)
                self.effort.handshake(await self._feed())
            except ssl.SSLError:
                with contextlib.suppress(OSError):  # the alert that says why is a courtesy
                    await self._flush()
                raise
            else:
                break
        self.marks.info_at_greeting = self.info()
        self.marks.info_at_greeting_ns = time.monotonic_ns()
        await self._flush()
        self.marks.tls_ended_ns = time.monotonic_ns()
        self.stage = Stage.REQUEST

    async def send(self, data: bytes) -> None:
        """Send all of ``data``. Raises OSError, DeadlineExceededError, or ssl.SSLError for an alert
        of the far end.
        """
        if self.ssl_object is None:
            await self._send(data)
            return
        self.ssl_object.write(data)
        try:
            await self._flush()
        except ConnectionError:
            self._read_last_words()
            raise

    def _read_last_words(self) -> None:
        """Raise the alert (ssl.SSLError) that came before a reset. The kernel still has it.

        With TLS 1.3, a far end that wants a client certificate says so only after our handshake.
        """
        if self._proxy_tls is not None or self.ssl_object is None or self._incoming is None:
            return
        with contextlib.suppress(OSError):
            self._incoming.write(self._sock.recv(READ_BYTES))
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self.ssl_object.read(READ_BYTES)

    async def receive(self) -> tuple[bytes, Received | None]:
        """Return some plain bytes, and the read that brought the last of them. b"" at the end.

        Raises OSError, ssl.SSLError, TooCostlyError or DeadlineExceededError.
        """
        if self.ssl_object is None:
            return await self._receive()
        while True:
            if self.effort.is_long:
                await self.turn()
            try:
                data = self.ssl_object.read(READ_BYTES)
            except ssl.SSLWantReadError:
                self.effort.silent(await self._feed())
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b"", None
            else:
                self.effort.add(1)
                self.effort.silent(-len(data))
                if self._outgoing is not None and self._outgoing.pending:
                    await self._flush()  # the answer to a TLS 1.3 key update
                # b"" is a close_notify: the last read brought no byte of an answer.
                return data, self._last_received() if data else None

    def drain_stamps(self) -> None:
        """Move the pending stamps from the kernel into the marks."""
        self.marks.stamps.extend(kernel.drain_error_queue(self._sock))

    def close(self) -> None:
        self._unwatch()
        self._sock.close()

    def part(self) -> socket.socket:
        """End our half of the connection (TLS's close_notify, FIN), and hand over the socket.

        The caller reads it to its end before it is closed. If anything is unread then, or comes
        later, the kernel would answer with RST.
        """
        self._unwatch()
        self._wait_on_the_loop()
        with contextlib.suppress(OSError, ssl.SSLError):
            self._say_goodbye()
            self._sock.shutdown(socket.SHUT_WR)
        return self._sock

    def _say_goodbye(self) -> None:
        if self.ssl_object is None or self._outgoing is None:
            return
        with contextlib.suppress(ssl.SSLWantReadError):
            self.ssl_object.unwrap()
        self._sock.send(self._outgoing.read(), socket.MSG_DONTWAIT)

    def _wait_in_place(self) -> None:
        """Let reads wait in the system call, until one of them has waited for too long."""
        if not self._in_place:
            self._in_place = True
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _IN_PLACE_TIMEVAL)
            self._sock.setblocking(True)

    def _wait_on_the_loop(self) -> None:
        if self._in_place:
            self._in_place = False
            self._sock.setblocking(False)

    def _last_received(self) -> Received | None:
        return next((s for s in reversed(self.marks.steps) if isinstance(s, Received)), None)

    async def _feed(self) -> int:
        """Read once, give the bytes to TLS, and return how many there were (0 at the end)."""
        assert self._incoming is not None
        data, _ = await self._receive()
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return len(data)

    async def _flush(self) -> None:
        assert self._outgoing is not None
        if self._outgoing.pending:
            await self._send(self._outgoing.read())

    async def _send(self, data: bytes) -> None:
        await self._send_bytes(data if self._proxy_tls is None else self._proxy_tls.encrypt(data))

    async def _receive(self) -> tuple[bytes, Received | None]:
        if self._proxy_tls is None:
            return await self._receive_bytes()
        while (data := self._proxy_tls.decrypt()) is None:
            self._proxy_tls.feed((await self._receive_bytes())[0])
        return data, self._last_received() if data else None

    async def _send_bytes(self, data: bytes) -> None:
        if not data:
            return
        started_ns = time.monotonic_ns()
        view = memoryview(data)
        expired = False
        while view:
            try:
                sent = self._sock.send(view, socket.MSG_DONTWAIT)
            except BlockingIOError:
                self.drain_stamps()
                if expired:
                    raise DeadlineExceededError(started_ns) from None
                expired = not await writable(self._sock, self.deadline)
            else:
                view = view[sent:]
                self._sent_bytes += sent
        key = (self._sent_bytes - 1) & 0xFFFFFFFF
        self.marks.steps.append(Sent(self.stage, started_ns, time.monotonic_ns(), key, len(data)))

    async def _readable(self) -> bool:
        """Wait until there is something to read, or a stamp to take. False past the deadline."""
        loop = asyncio.get_running_loop()
        if not self._watched:
            self._watched = True
            loop.add_reader(self._sock.fileno(), self._wake)
        self._waiting = loop.create_future()
        timer = loop.call_at(self.deadline, settle, self._waiting, False)
        try:
            return await self._waiting
        finally:
            timer.cancel()
            self._waiting = None

    def _wake(self) -> None:
        if self._waiting is not None:
            settle(self._waiting, True)
        else:  # kept for reuse, so nobody reads: unread bytes would wake the loop again and again
            self._unwatch()

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            asyncio.get_running_loop().remove_reader(self._sock.fileno())

    async def _receive_bytes(self) -> tuple[bytes, Received | None]:
        # The turn comes before a read and not after it: an answer that is complete is good, even if
        # the deadline passed meanwhile. A read that waited in place counts as one that did not have
        # to wait, so the loop gets its turn before the next one.
        if self.effort.is_hurried or self.effort.is_long:
            await self.turn()
        waiting_since_ns = time.monotonic_ns()
        waited = expired = False
        while True:
            try:
                data, kernel_ns = kernel.receive(
                    self._sock, READ_BYTES, stamped=self.timestamps_enabled
                )
            except BlockingIOError:
                self._wait_on_the_loop()
                # A pending stamp wakes readers, too (EPOLLERR). Take it, and go on waiting.
                self.drain_stamps()
                if expired:
                    raise DeadlineExceededError(waiting_since_ns) from None
                waited, expired = True, not await self._readable()
                self.effort.turned()
            else:
                break
        if not data:
            return b"", None
        received = Received(self.stage, time.monotonic_ns(), kernel_ns)
        self.marks.steps.append(received)
        self.effort.read(waited=waited)
        return data, received

    async def turn(self) -> None:
        """Give everybody else on the loop a turn. Raises DeadlineExceededError.

        The time of their turns is own delay: nobody waits for the far end meanwhile.
        """
        await asyncio.sleep(0)
        self.effort.turned()
        if asyncio.get_running_loop().time() >= self.deadline:
            raise DeadlineExceededError(time.monotonic_ns())
