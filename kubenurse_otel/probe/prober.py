"""Ask one target once, timed by the kernel, and return everything that was measured (Probed).

Owns the order of the steps, their common deadline, idle connections, and the headers of a request
(the token). Knows neither httpx nor OpenTelemetry: spans are made of the result.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from kubenurse_otel import errors
from kubenurse_otel.model import Failure, Measurement, Phase, Proxy, Target
from kubenurse_otel.probe import egress, full_size, kernel, phases, sockets
from kubenurse_otel.probe.certificate import not_after
from kubenurse_otel.probe.dns.check import ask_server
from kubenurse_otel.probe.dns.story import story
from kubenurse_otel.probe.exchange import Exchange, Reply
from kubenurse_otel.probe.findings import measurement
from kubenurse_otel.probe.idle import IdleConnections
from kubenurse_otel.probe.marks import Marks, Stage
from kubenurse_otel.probe.parting import Parting
from kubenurse_otel.probe.request import Beginnings, lines
from kubenurse_otel.probe.resolve import (
    DeadlineExceededError,
    LookUpError,
    Resolve,
    ThreadResolver,
)
from kubenurse_otel.probe.sockets import Connection
from kubenurse_otel.record import record
from kubenurse_otel.text import host_port, is_address
from kubenurse_otel.tls.authorities import AuthoritiesError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kubenurse_otel.model import DnsQuery, Split
    from kubenurse_otel.probe.fields import Field, Headers
    from kubenurse_otel.probe.phases import Timeline
    from kubenurse_otel.probe.trust import TrustStore

_log = logging.getLogger(__name__)

_is_address = lru_cache(maxsize=256)(is_address)
"""Cached. It is asked for hosts of targets and proxies, from the configuration and discovery."""
_QUICK_SECONDS: Final = 0.002
_OWN_SHARE: Final = 0.5
"""If a check times out and our own delay used up this share of its time, it is our own fault."""


@record(frozen=True, slots=True, kw_only=True)
class Probed:
    """The whole result of one probe.

    ``failure`` is what the network or the far end did. An answer with a bad status is no failure
    here (see verdict.py). ``reply`` is set for HTTP without a failure. ``marks`` are complete;
    phases.py made the figures in ``timeline`` from them.
    """

    target: Target
    measurement: Measurement
    failure: Failure | None
    reply: Reply | None
    marks: Marks
    timeline: Timeline


class Prober:
    """Asks any number of targets at the same time, each over a connection of its own."""

    def __init__(
        self,
        *,
        trust: TrustStore,
        resolve: Resolve | None = None,
        clocks: Callable[[], kernel.ClockPair] = kernel.read_clocks,
    ) -> None:
        self._shared = _Shared(trust, resolve or ThreadResolver(), clocks)
        self._stamping = kernel.keep_receive_timestamps_on()
        if self._stamping is None:
            _log.warning(
                "this kernel stamps no packets, as gVisor's does not: checks are timed by this "
                "process, and its own delay cannot be told from the network's"
            )

    async def probe(self, target: Target, *, propagation: Iterable[Field] = ()) -> Probed:
        """Ask for the target's URL, within its ``timeout_seconds`` from look-up to last byte.

        ``propagation`` are the trace context's headers, for a target that gets any. The body is
        read and dropped. Raises nothing for what the network or the far end does.
        """
        current = _Run(self._shared, target, propagation if target.propagate else ())
        error: BaseException | None = None
        reply: Reply | None = None
        try:
            reply = await current.ask()
        except (OSError, UnicodeError, errors.CheckError) as raised:
            error = errors.without_frames(raised)
        marks = current.marks
        marks.ended = self._shared.clocks()
        marks.failed = error is not None
        current.finish(reply)
        timeline = phases.measure(marks)
        self._shared.note_pace(target, timeline.split if error is None else None)
        return Probed(
            target=target,
            measurement=measurement(target, marks, timeline, reply),
            failure=None if error is None else current.failure(error),
            reply=reply,
            marks=marks,
            timeline=timeline,
        )

    def retain(self, targets: Iterable[Target]) -> None:
        """Close the idle connections of all but these, and of those that are elsewhere now."""
        wanted = tuple(targets)
        self._shared.idle.retain(wanted)
        self._shared.beginnings.retain(wanted)
        self._shared.quick.intersection_update(target.key for target in wanted)

    async def part(self) -> None:
        """Wait, for at most a second, until the far ends have closed our connections."""
        await self._shared.parting.wait()

    def close(self) -> None:
        self.retain(())
        self._shared.parting.close()
        if self._stamping is not None:
            self._stamping.close()
            self._stamping = None


@record(frozen=True, slots=True)
class _Shared:
    """What all probes of a prober share."""

    trust: TrustStore
    resolve: Resolve
    clocks: Callable[[], kernel.ClockPair]
    idle: IdleConnections = field(default_factory=IdleConnections)
    parting: Parting = field(default_factory=Parting)
    beginnings: Beginnings = field(default_factory=Beginnings)
    quick: set[str] = field(default_factory=set)
    """Keys of targets for which no step waited for two milliseconds or more last time. Only these
    are waited for in the system call (sockets.py), so a slow or silent target holds up nobody.
    """

    def note_pace(self, target: Target, split: Split | None) -> None:
        """Note whether the target was quick. ``split`` is None if the exchange failed."""
        if split is not None and (
            max(split.connect or 0.0, split.tls or 0.0, split.request or 0.0) < _QUICK_SECONDS
        ):
            self.quick.add(target.key)
        else:
            self.quick.discard(target.key)


class _Run:
    """One request, from look-up to last byte. ``phase`` is the phase in which it is."""

    def __init__(self, shared: _Shared, target: Target, propagation: Iterable[Field]) -> None:
        self.phase = Phase.REQUEST
        self._shared = shared
        self._target = target
        self._url = target.url
        self._propagation = propagation
        self._connection: Connection | None = None
        self._exchange: Exchange | None = None
        self._at_proxy = target.proxy is not None
        """True until the proxy is behind us. Until then a failure is the proxy's."""
        self._looked_up_ns: int | None = None
        """How long a failed look-up took, in ns."""
        self._is_quick = target.key in shared.quick
        self._begin()
        self._set_deadline()

    def _begin(self) -> None:
        """Start the clock. Again, if a kept connection turned out to be dead."""
        self.marks = Marks(started=self._shared.clocks())

    def _set_deadline(self) -> None:
        self._deadline = asyncio.get_running_loop().time() + self._target.timeout_seconds

    async def ask(self) -> Reply | None:
        """Return the HTTP reply. None for a check without HTTP. Raises whatever went wrong."""
        if self._target.query is not None:
            await self._ask_server(self._target.query)
            return None
        try:
            if not self._url.speaks_http:
                await self._connect()
                self.marks.got_connection_ns = self._shared.clocks().monotonic_ns
                return None
            head = self._head()
            idle = self._idle_connection()
            if idle is not None:
                idle.reuse(self.marks, in_place=self._is_quick)
                try:
                    return await self._send(idle, head)
                except (ConnectionError, ssl.SSLError, errors.ClosedEarlyError):
                    if self.marks.answered:
                        raise
                # The far end closed it while we wrote. That is no failure (RFC 9112 section 9.3.1).
                idle.close()
                self._begin()
            connection = await self._connect()
            return await self._send(connection, head)
        except BaseException:
            if self._connection is not None:
                self._note_end(self._connection)
                self._connection.close()
            raise

    def finish(self, reply: Reply | None) -> None:
        """Read what the kernel still knows of the connection. Then keep it or close it."""
        connection = self._connection
        if connection is None or self.marks.failed:
            return
        self._note_end(connection)
        if reply is None:
            self._shared.parting.take(connection.part())
        elif self._target.reuse_connection and reply.reusable:
            self._shared.idle.keep(self._target, connection)
        else:
            connection.close()

    def failure(self, error: BaseException) -> Failure:
        marks = self.marks
        assert marks.ended is not None
        if isinstance(error, DeadlineExceededError):
            own_ns = phases.own_delay_so_far_ns(
                marks, marks.ended.monotonic_ns, error.waiting_since_ns
            )
            if own_ns > _OWN_SHARE * self._target.timeout_seconds * 1e9:
                error = errors.OwnTimeoutError(f"{own_ns / 1e9:.1f} s of its time went by in us")
            elif self._target.query is not None and self.phase is Phase.REQUEST:
                cut = any(one.is_truncated for one in error.queries)
                error = errors.SilentByTcpError() if cut else errors.ServerSilentError()
            else:
                error = _unsent(marks) or _unanswered(marks, self.phase) or error
        elapsed_ns = self._looked_up_ns or marks.ended.monotonic_ns - marks.started.monotonic_ns
        return errors.failure(
            error,
            self.phase,
            target=self._where(),
            is_proxy=self._target.proxy is not None and self._at_proxy,
            retransmits=marks.retransmits,
            writing=self._exchange is not None and self._exchange.writing,
            elapsed_seconds=elapsed_ns / 1e9,
        )

    def _where(self) -> str:
        """Return whom a failure in this phase is about: the proxy until there is a tunnel."""
        proxy = self._target.proxy
        if proxy is not None and self._at_proxy:
            return host_port(proxy.host, proxy.port)
        return self._url.host_port

    def _note_end(self, connection: Connection) -> None:
        connection.drain_stamps()
        self.marks.info_at_end = connection.info()

    def _idle_connection(self) -> Connection | None:
        if self._target not in self._shared.idle:
            return None
        try:
            context = self._context() if self._uses_tls() else None
        except errors.CredentialsMissingError:  # which a new connection will report
            self._shared.idle.drop(self._target)
            return None
        return self._shared.idle.take(self._target, context)

    def _uses_tls(self) -> bool:
        """Whether there is TLS with the far end, or with a proxy on the way to it."""
        proxy = self._target.proxy
        return self._target.uses_tls or (proxy is not None and proxy.scheme == "https")

    def _context(self) -> ssl.SSLContext:
        """Return the TLS context that verifies the far end, and an ``https://`` proxy on the way to
        it.
        """
        try:
            return self._shared.trust.context(self._target.trust, speaks_http=self._url.speaks_http)
        except AuthoritiesError as error:
            raise errors.CredentialsMissingError(str(error)) from None
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise errors.CredentialsMissingError(f"{reason}: {error.filename}") from None

    async def _connect(self) -> Connection:
        proxy = self._target.proxy
        host, port = (self._url.host, self._url.port) if proxy is None else (proxy.host, proxy.port)
        self.phase = Phase.DNS
        addresses = await self._addresses(host)
        self.phase = Phase.CONNECT
        sock = await sockets.connect(
            addresses,
            port,
            deadline=self._deadline,
            marks=self.marks,
            in_place=self._is_quick,
            most_segment_bytes=self._target.most_segment_bytes,
        )
        connection = self._connection = Connection(sock, self.marks, in_place=self._is_quick)
        connection.deadline = self._deadline
        self.marks.peer = connection.peer
        if proxy is not None:
            connection.stage = Stage.PROXY
            await self._pass(proxy, connection)
            connection.stage = Stage.REQUEST
            self.marks.first_byte = self.marks.last_byte = None
            self.marks.interim.clear()
        self._at_proxy = False
        if self._target.uses_tls:
            self.phase = Phase.TLS
            await self._shake_hands(connection)
        return connection

    async def _ask_server(self, query: DnsQuery) -> None:
        self.phase = Phase.DNS
        address = (await self._addresses(self._url.host))[0]
        self.marks.peer = address, self._url.port
        self.phase = Phase.REQUEST
        try:
            self.marks.queried = await ask_server(
                address, self._url.port, query, deadline=self._deadline
            )
        except TimeoutError:
            raise
        except OSError:
            self.phase = Phase.CONNECT  # it cannot be reached
            raise

    async def _pass(self, proxy: Proxy, connection: Connection) -> None:
        """Shake hands with an ``https://`` proxy, and open a tunnel if the far end speaks TLS."""
        if proxy.scheme == "https":
            self.phase = Phase.TLS
            await connection.start_proxy_tls(self._context(), proxy.host.rstrip("."))
        if self._url.scheme == "https":
            self.phase = Phase.CONNECT
            authority = self._url.host_port.encode("ascii")
            await Exchange(connection).open_tunnel(authority, _proxy_headers(proxy))

    async def _addresses(self, host: str) -> tuple[str, ...]:
        if _is_address(host):
            return (host,)
        self.marks.dns_started_ns = self.marks.started.monotonic_ns
        try:
            answer = await self._shared.resolve(host, deadline=self._deadline)
        except LookUpError as failed:
            self.marks.dns_started_ns = max(failed.started_ns, self.marks.started.monotonic_ns)
            self._looked_up_ns = failed.ended_ns - failed.started_ns
            self.marks.dns_queries = failed.queries
            raise failed.error from None
        except DeadlineExceededError as late:
            self.marks.dns_queries = late.queries
            raise
        self.marks.dns_started_ns = answer.started_ns
        self.marks.dns_ended_ns = answer.ended_ns
        self.marks.dns_queries = answer.queries
        return answer.addresses

    async def _shake_hands(self, connection: Connection) -> None:
        context = self._context()
        # The root's dot is in no certificate and in no SNI (RFC 6066 section 3).
        name = (self._target.server_name or self._url.host).rstrip(".")
        await connection.start_tls(context, name)
        assert connection.ssl_object is not None
        cipher = connection.ssl_object.cipher()
        self.marks.tls_version = connection.ssl_object.version() or ""
        self.marks.tls_cipher = cipher[0] if cipher else ""
        certificate = connection.ssl_object.getpeercert(binary_form=True)
        self.marks.certificate_expiry = not_after(certificate or b"")

    async def _send(self, connection: Connection, head: bytes) -> Reply:
        self._connection = connection
        connection.deadline = self._deadline
        if self.marks.reused:
            self.marks.peer = connection.peer
        self.marks.local_port = connection.local_port
        self.marks.got_connection_ns = self._shared.clocks().monotonic_ns
        self.phase = Phase.REQUEST
        if self._target.full_size:
            info = connection.info()
            self.marks.padding = full_size.padding(None if info is None else info.send_mss)
            head += lines([full_size.header(self.marks.padding)])
        exchange = self._exchange = Exchange(connection)
        try:
            return await exchange.run(self._target.method.encode("ascii"), head + b"\r\n")
        finally:
            if self.marks.first_byte is not None:
                self.phase = Phase.RECEIVE

    def _head(self) -> bytes:
        """Return the request's head without its last, empty line."""
        target = self._target
        headers = list(self._propagation)
        # The token is added here, below everything that is reported, so that no span and no log
        # can ever contain it.
        authorization = self._shared.trust.authorization(target)
        if authorization is not None:
            headers.append((b"Authorization", authorization.encode("ascii")))
        if target.proxy is not None and self._url.scheme == "http":
            headers += _proxy_headers(target.proxy)
        return self._shared.beginnings.of(target) + lines(headers)


def _unsent(marks: Marks) -> TimeoutError | None:
    """Return the message for a far end that cannot have answered, because not all that we sent has
    left.
    """
    keeper = egress.unsent(marks)
    if keeper is None:
        return None
    which = "no byte" if egress.whole_is_unsent(marks) else "not every byte"
    if keeper is egress.Unsent.FAR_END:
        return errors.WindowClosedError(f"{which} of what was to be sent has left")
    return errors.NotLeftError()


def _unanswered(marks: Marks, phase: Phase) -> TimeoutError | None:
    """Return the message for a time-out in a look-up by our own resolver, or after an answer began.
    None for any other.
    """
    if phase is Phase.DNS and marks.dns_queries:
        return errors.NameServersSilentError(story(marks.dns_queries))
    if phase is Phase.REQUEST and marks.interim:
        return errors.UnfinishedError("after an interim answer, without a final one")
    return None


def _proxy_headers(proxy: Proxy) -> Headers:
    if not proxy.authorization:
        return []
    return [(b"Proxy-Authorization", proxy.authorization.encode("ascii"))]
