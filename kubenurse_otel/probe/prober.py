"""The transport: one check's request, from its name to its answer's last byte.

Owns the order of the steps, the deadline over all of them, idle connections and what is sent
beside the caller's headers (the token). Leaves a Measurement and a Failure in the Probe, and the
story on the current span. Raises httpx's exceptions only.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import httpx
from opentelemetry import trace

from kubenurse_otel import __version__, errors, semconv
from kubenurse_otel.model import PROBE, Failure, Phase, Probe, Proxy, Target
from kubenurse_otel.probe import egress, kernel, phases, sockets, spans
from kubenurse_otel.probe.certificate import not_after
from kubenurse_otel.probe.exchange import Exchange, Reply
from kubenurse_otel.probe.findings import measurement
from kubenurse_otel.probe.idle import IdleConnections
from kubenurse_otel.probe.marks import Marks, Stage
from kubenurse_otel.probe.resolve import (
    DeadlineExceededError,
    LookUpError,
    Resolve,
    ThreadResolver,
)
from kubenurse_otel.probe.sockets import Connection
from kubenurse_otel.text import host_port, is_address
from kubenurse_otel.tls.authorities import AuthoritiesError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kubenurse_otel.probe.fields import Headers
    from kubenurse_otel.probe.trust import TrustStore

_log = logging.getLogger(__name__)

_NOT_PROPAGATED: Final = frozenset({b"traceparent", b"tracestate", b"baggage"})
_NEVER: Final = frozenset({b"baggage"})
_NOT_PASSED_UP: Final = frozenset(
    {b"content-encoding", b"content-length", b"transfer-encoding", b"set-cookie"}
)
"""The body is read and dropped here, so what describes it would mislead."""
_OWN_SHARE: Final = 0.5
"""A check whose time ran out is our own fault when we used up this share of it."""


class KernelTimedTransport(httpx.AsyncBaseTransport):
    """HTTP/1.1 on sockets of its own, timed by the kernel.

    Every request carries a Probe in ``extensions[PROBE]``. The response comes back when its body
    is read (and dropped): ``handle_async_request`` spans the whole exchange, and all of it, from
    look-up to last byte, meets ``Target.timeout_seconds``. The steps of a connection's setup become
    spans of ``tracer_provider``; with None they do not (what is measured stands on the current
    span all the same).
    """

    def __init__(
        self,
        *,
        trust: TrustStore,
        tracer_provider: trace.TracerProvider | None,
        resolve: Resolve | None = None,
        clocks: Callable[[], kernel.ClockPair] = kernel.read_clocks,
    ) -> None:
        self._tracer = (
            tracer_provider.get_tracer(
                "kubenurse_otel.transport", __version__, schema_url=semconv.SCHEMA_URL
            )
            if tracer_provider is not None
            else None
        )
        self._means = _Means(trust, resolve or ThreadResolver(), clocks)
        self._stamping = kernel.keep_receive_timestamps_on()
        if self._stamping is None:
            _log.warning(
                "this kernel stamps no packets, as gVisor's does not: checks are timed by this "
                "process, and its own delay cannot be told from the network's"
            )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        probe = request.extensions[PROBE]
        assert isinstance(probe, Probe)
        span = trace.get_current_span()
        course = _Course(self._means, request, probe.target)
        error: BaseException | None = None
        reply: Reply | None = None
        try:
            reply = await course.run()
        except (OSError, UnicodeError, errors.CheckError) as raised:
            error = errors.without_frames(raised)
        course.marks.ended = self._means.clocks()
        course.marks.failed = error is not None
        course.finish(reply)
        marks = course.marks
        timeline = phases.measure(marks)
        probe.failure = None if error is None else course.failure(error)
        probe.measurement = measurement(probe.target, marks, timeline, reply)
        story = spans.Story(
            course.host,
            course.port,
            probe,
            marks,
            timeline,
            host_rewritten=b"%" in request.url.raw_host,
        )
        spans.describe(span, self._tracer, story)
        if probe.failure is not None:
            raise _httpx_error(probe.failure, request)
        assert reply is not None
        return httpx.Response(
            reply.status_code,
            headers=[(n, v) for n, v in reply.headers if n not in _NOT_PASSED_UP],
            extensions={"http_version": reply.http_version},
        )

    def retain(self, targets: Iterable[Target]) -> None:
        """Close the idle connections of all but these, and of those that are elsewhere now."""
        self._means.idle.retain(targets)

    async def aclose(self) -> None:
        self.retain(())
        if self._stamping is not None:
            self._stamping.close()
            self._stamping = None


@dataclass(frozen=True, slots=True)
class _Means:
    """What every request of a transport shares."""

    trust: TrustStore
    resolve: Resolve
    clocks: Callable[[], kernel.ClockPair]
    idle: IdleConnections = field(default_factory=IdleConnections)


class _Course:
    """One request's way through its phases; ``phase`` says where it is."""

    def __init__(self, means: _Means, request: httpx.Request, target: Target) -> None:
        self.host = unquote(request.url.raw_host.decode("ascii"))  # see check.request_url
        self.port = request.url.port or (443 if request.url.scheme == "https" else 80)
        self.phase = Phase.REQUEST
        self._means = means
        self._request = request
        self._target = target
        self._connection: Connection | None = None
        self._exchange: Exchange | None = None
        self._at_proxy = target.proxy is not None
        """Still on the way to it: what fails is the proxy's."""
        self._looked_up_ns: int | None = None
        """How long a look-up took that failed."""
        self._begin()
        self._set_deadline()

    def _begin(self) -> None:
        """Start the clock: here, and again when a kept connection turned out to be dead."""
        self.marks = Marks(started=self._means.clocks())

    def _set_deadline(self) -> None:
        self._deadline = asyncio.get_running_loop().time() + self._target.timeout_seconds

    async def run(self) -> Reply:
        try:
            headers = self._headers()
            idle = self._idle_connection()
            if idle is not None:
                idle.reuse(self.marks)
                try:
                    return await self._send(idle, headers)
                except (ConnectionError, ssl.SSLError, errors.ClosedEarlyError):
                    if self.marks.answered:
                        raise
                # The far end closed it as we wrote: that says nothing (RFC 9112 section 9.3.1).
                idle.close()
                self._begin()
            connection = await self._connect()
            return await self._send(connection, headers)
        except BaseException:
            if self._connection is not None:
                self._note_end(self._connection)
                self._connection.close()
            raise

    def finish(self, reply: Reply | None) -> None:
        """Read what the kernel still knows of the connection, then keep it or close it."""
        connection = self._connection
        if connection is None or reply is None:
            return
        self._note_end(connection)
        if self._target.reuse_connection and reply.reusable:
            self._means.idle.keep(self._target, connection)
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
            else:
                error = _unsent(marks) or error
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
        """What a failure in this phase is about: the proxy, until there is a tunnel."""
        proxy = self._target.proxy
        if proxy is not None and self._at_proxy:
            return host_port(proxy.host, proxy.port)
        return host_port(self.host, self.port)

    def _note_end(self, connection: Connection) -> None:
        connection.drain_stamps()
        self.marks.info_at_end = connection.info()

    def _idle_connection(self) -> Connection | None:
        try:
            context = self._context() if self._uses_tls() else None
        except errors.CredentialsMissingError:  # which a new connection will report
            self._means.idle.drop(self._target)
            return None
        return self._means.idle.take(self._target, context)

    def _uses_tls(self) -> bool:
        """With the far end, or with a proxy on the way to it."""
        proxy = self._target.proxy
        return self._request.url.scheme == "https" or (
            proxy is not None and proxy.scheme == "https"
        )

    def _context(self) -> ssl.SSLContext:
        """What the far end, and an ``https://`` proxy on the way to it, is verified by."""
        try:
            return self._means.trust.context(self._target.trust)
        except AuthoritiesError as error:
            raise errors.CredentialsMissingError(str(error)) from None
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise errors.CredentialsMissingError(f"{reason}: {error.filename}") from None

    async def _connect(self) -> Connection:
        proxy = self._target.proxy
        host, port = (self.host, self.port) if proxy is None else (proxy.host, proxy.port)
        self.phase = Phase.DNS
        addresses = await self._addresses(host)
        self.phase = Phase.CONNECT
        sock = await sockets.connect(addresses, port, deadline=self._deadline, marks=self.marks)
        connection = self._connection = Connection(sock, self.marks)
        connection.deadline = self._deadline
        self.marks.peer = connection.peer
        if proxy is not None:
            connection.stage = Stage.PROXY
            await self._pass(proxy, connection)
            connection.stage = Stage.REQUEST
            self.marks.first_byte = self.marks.last_byte = None
            self.marks.interim.clear()
        self._at_proxy = False
        if self._request.url.scheme == "https":
            self.phase = Phase.TLS
            await self._shake_hands(connection)
        return connection

    async def _pass(self, proxy: Proxy, connection: Connection) -> None:
        """TLS to the proxy where it wants that, and a tunnel where TLS goes through it."""
        if proxy.scheme == "https":
            self.phase = Phase.TLS
            await connection.start_proxy_tls(self._context(), proxy.host.rstrip("."))
        if self._request.url.scheme == "https":
            self.phase = Phase.CONNECT
            authority = host_port(self.host, self.port).encode("ascii")
            await Exchange(connection).open_tunnel(authority, _proxy_headers(proxy))

    async def _addresses(self, host: str) -> tuple[str, ...]:
        if is_address(host):
            return (host,)
        self.marks.dns_started_ns = self.marks.started.monotonic_ns
        try:
            answer = await self._means.resolve(host, deadline=self._deadline)
        except LookUpError as failed:
            self.marks.dns_started_ns = max(failed.started_ns, self.marks.started.monotonic_ns)
            self._looked_up_ns = failed.ended_ns - failed.started_ns
            raise failed.error from None
        self.marks.dns_started_ns = answer.started_ns
        self.marks.dns_ended_ns = answer.ended_ns
        return answer.addresses

    async def _shake_hands(self, connection: Connection) -> None:
        context = self._context()
        # Neither the root's dot (RFC 6066 section 3) nor a zone (RFC 4007 section 11) is in any
        # certificate, and both are nobody's business but ours.
        name = (self._target.server_name or self.host).partition("%")[0].rstrip(".")
        await connection.start_tls(context, name)
        assert connection.ssl_object is not None
        cipher = connection.ssl_object.cipher()
        self.marks.tls_version = connection.ssl_object.version() or ""
        self.marks.tls_cipher = cipher[0] if cipher else ""
        certificate = connection.ssl_object.getpeercert(binary_form=True)
        self.marks.certificate_expiry = not_after(certificate or b"")

    async def _send(self, connection: Connection, headers: Headers) -> Reply:
        self._connection = connection
        connection.deadline = self._deadline
        self.marks.peer = connection.peer
        self.marks.local_port = connection.local_port
        self.marks.got_connection_ns = self._means.clocks().monotonic_ns
        self.phase = Phase.REQUEST
        exchange = self._exchange = Exchange(connection)
        try:
            return await exchange.run(
                self._request.method.encode("ascii"), self._request_target(), headers
            )
        finally:
            if self.marks.first_byte is not None:
                self.phase = Phase.RECEIVE

    def _headers(self) -> Headers:
        target = self._target
        headers = [
            (name, value)
            for name, value in self._request.headers.raw
            if name.lower() not in (_NEVER if target.propagate else _NOT_PROPAGATED)
        ]
        # No "Connection: close", though we do close: the far end's FIN would follow its answer at
        # once, and the kernel merges both into one read with the FIN's later time stamp.
        # The token: below the instrumentation, so that no span and no log can ever hold it.
        asked = f"{self._request.url.scheme}://{host_port(self.host, self.port)}"
        authorization = self._means.trust.authorization(target, asked)
        if authorization is not None:
            headers.append((b"Authorization", authorization.encode("ascii")))
        if target.proxy is not None and self._request.url.scheme == "http":
            headers += _proxy_headers(target.proxy)
        return headers

    def _request_target(self) -> bytes:
        """Origin form; absolute form to a proxy that is to forward (RFC 9112 section 3.2)."""
        url = self._request.url
        if self._target.proxy is not None and url.scheme == "http":
            authority = host_port(self.host, self.port).encode("ascii")
            return b"http://" + authority + url.raw_path
        return url.raw_path


def _unsent(marks: Marks) -> TimeoutError | None:
    """What to say where the far end cannot have answered: not all that we sent has left."""
    keeper = egress.unsent(marks)
    if keeper is None:
        return None
    which = "no byte" if egress.whole_is_unsent(marks) else "not every byte"
    if keeper is egress.Unsent.FAR_END:
        return errors.WindowClosedError(f"{which} of what was to be sent has left")
    return errors.NotLeftError()


def _proxy_headers(proxy: Proxy) -> Headers:
    if not proxy.authorization:
        return []
    return [(b"Proxy-Authorization", proxy.authorization.encode("ascii"))]


_TIMEOUTS: Final = frozenset(
    {
        errors.ErrorType.DNS_TIMEOUT,
        errors.ErrorType.CONNECT_TIMEOUT,
        errors.ErrorType.TLS_HANDSHAKE_TIMEOUT,
        errors.ErrorType.RESPONSE_TIMEOUT,
        errors.ErrorType.OWN_TIMEOUT,
    }
)
_PROTOCOL: Final = frozenset(
    {
        errors.ErrorType.CONNECTION_CLOSED_EARLY,
        errors.ErrorType.MALFORMED_RESPONSE,
        errors.ErrorType.RESPONSE_HEAD_TOO_LARGE,
        errors.ErrorType.RESPONSE_TOO_COSTLY,
    }
)


def _httpx_error(failure: Failure, request: httpx.Request) -> httpx.TransportError:
    """What a user of httpx expects for this failure; its text is our sentence."""
    connecting = failure.phase in {Phase.DNS, Phase.CONNECT, Phase.TLS}
    kind: type[httpx.TransportError]
    if failure.error_type in _TIMEOUTS:
        kind = httpx.ConnectTimeout if connecting else httpx.ReadTimeout
    elif failure.error_type == errors.ErrorType.PROXY_ERROR:
        kind = httpx.ProxyError
    elif failure.error_type == errors.ErrorType.CREDENTIALS_MISSING:
        kind = httpx.LocalProtocolError
    elif connecting:
        kind = httpx.ConnectError
    elif failure.error_type in _PROTOCOL:
        kind = httpx.RemoteProtocolError
    else:
        kind = httpx.ReadError
    return kind(failure.message, request=request)
