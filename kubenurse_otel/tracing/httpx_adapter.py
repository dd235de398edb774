"""A probe as httpx and its OpenTelemetry instrumentation see it: the CLIENT span around it.

The URL that is asked is the target's own, whatever the request says. The result is described on the
CLIENT span (spans.py). httpx's client is not used, so that redirects, cookies, proxies and decoding
do not exist here, rather than being switched off.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, cast

import httpx
from opentelemetry import trace

from kubenurse_otel import __version__, errors, semconv
from kubenurse_otel.errors import ErrorType
from kubenurse_otel.model import Failure, Phase, Target
from kubenurse_otel.tracing import spans
from kubenurse_otel.tracing.instrumentation import Instrumentation
from kubenurse_otel.tracing.without_http import Probing, WithoutHttp

if TYPE_CHECKING:
    from kubenurse_otel.probe.exchange import Reply
    from kubenurse_otel.probe.prober import Probed


_ASKED: Final = "kubenurse.asked"
_PROPAGATED: Final = frozenset({"traceparent", "tracestate"})
"""W3C Trace Context. Never baggage."""
_LOCATION: Final = b"location"
"""The one header that is passed up: where a redirect leads. The instrumentation reads none of them,
but normalizes all."""
_EMPTY: Final = httpx.ByteStream(b"")
_NO_HEADERS: Final = httpx.Headers()


@dataclass(slots=True)
class _Asked:
    """Travels with a request through the instrumentation: the target on the way down, the result on
    the way up.
    """

    target: Target
    probed: Probed | None = None


class InstrumentedProber:
    """``probe`` of the Prober below, within a CLIENT span and its sub-spans.

    The steps of a connection's setup become spans where ``sub_spans``; what is measured stands on
    the CLIENT span all the same.
    """

    def __init__(
        self, prober: Probing, tracer_provider: trace.TracerProvider, *, sub_spans: bool = True
    ) -> None:
        self._without_http = WithoutHttp(
            prober,
            tracer_provider.get_tracer(
                "kubenurse_otel.transport", __version__, schema_url=semconv.SCHEMA_URL
            ),
            sub_spans=sub_spans,
        )
        self.transport: httpx.AsyncBaseTransport = Instrumentation(
            _ProbingTransport(
                prober,
                tracer_provider.get_tracer(
                    "kubenurse_otel.transport", __version__, schema_url=semconv.SCHEMA_URL
                )
                if sub_spans
                else None,
            ),
            tracer_provider=tracer_provider,
        )

    async def probe(self, target: Target) -> Probed:
        """Raises nothing for what the network or the far end does."""
        if not target.url.speaks_http:
            return await self._without_http.probe(target)
        asked = _Asked(target)
        try:
            await self.transport.handle_async_request(_Request(asked))
        except httpx.TransportError as error:
            errors.without_frames(error)  # the instrumentation's frame keeps it, too
            if asked.probed is None or asked.probed.failure is None:
                raise
        assert asked.probed is not None
        return asked.probed


class _Request(httpx.Request):
    """A request for a target, without headers and body: the probe decides what is sent."""

    def __init__(self, asked: _Asked) -> None:
        self.method = asked.target.method
        self.url = request_url(asked.target.url.text)
        self.headers = cast("httpx.Headers", {})  # as far as propagators write them
        self.stream = _EMPTY
        self.extensions = {_ASKED: asked}


class _Response(httpx.Response):
    """The answer, without a body."""

    def __init__(self, reply: Reply) -> None:
        self.status_code = reply.status_code
        # Most have none: then there is nothing to copy.
        told = [field for field in reply.headers if field[0] == _LOCATION]
        self.headers = httpx.Headers(told) if told else _NO_HEADERS
        self.stream = _EMPTY
        self.extensions = {"http_version": reply.http_version}


class _ProbingTransport(httpx.AsyncBaseTransport):
    """httpx's transport interface. It raises httpx's exceptions, so that the instrumentation sees
    them.
    """

    def __init__(self, prober: Probing, tracer: trace.Tracer | None) -> None:
        self._prober = prober
        self._tracer = tracer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Probe the target that ``request`` carries, and describe the CLIENT span that is open.

        The instrumentation calls this within that span, after it has put traceparent into the
        request: of the request only that is sent. Returns status and headers without a body, which
        the probe has read and dropped. Raises the httpx.TransportError that fits a failure, for the
        instrumentation to record; the failure itself is in the request's extension.
        """
        asked = request.extensions[_ASKED]
        assert isinstance(asked, _Asked)
        propagation = [
            (name.encode("ascii"), value.encode("ascii"))
            for name, value in request.headers.items()
            if name.lower() in _PROPAGATED
        ]
        probed = asked.probed = await self._prober.probe(asked.target, propagation=propagation)
        spans.describe(trace.get_current_span(), self._tracer, probed)
        if probed.failure is not None:
            raise _error(probed.failure, request)
        assert probed.reply is not None
        return _Response(probed.reply)


class _Url(httpx.URL):
    """Equal to itself alone: httpx' own writes the whole URL anew to compare it."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__


@lru_cache(maxsize=1024)
def request_url(text: str) -> httpx.URL:
    """The URL ``text`` for httpx, which takes a host that begins with ``xn--`` for an IDNA2008 name
    and raises when it is none: its first letter goes in percent-encoded (the same host, RFC 3986
    section 6.2.2.2), and spans.py writes it as it is.
    """
    scheme, _, rest = text.partition("://")
    if rest[:4].lower() == "xn--":
        rest = f"%78{rest[1:]}"
    return _Url(f"{scheme}://{rest}")


_TIMEOUTS: Final = frozenset(
    {
        ErrorType.DNS_TIMEOUT,
        ErrorType.CONNECT_TIMEOUT,
        ErrorType.TLS_HANDSHAKE_TIMEOUT,
        ErrorType.RESPONSE_TIMEOUT,
        ErrorType.FULL_SIZE_LOST,
        ErrorType.OWN_TIMEOUT,
    }
)
_PROTOCOL: Final = frozenset(
    {
        ErrorType.CONNECTION_CLOSED_EARLY,
        ErrorType.MALFORMED_RESPONSE,
        ErrorType.RESPONSE_HEAD_TOO_LARGE,
        ErrorType.RESPONSE_TOO_COSTLY,
    }
)


def _error(failure: Failure, request: httpx.Request) -> httpx.TransportError:
    """Return the httpx exception that fits this failure, with our sentence as its text."""
    connecting = failure.phase in {Phase.DNS, Phase.CONNECT, Phase.TLS}
    kind: type[httpx.TransportError]
    if failure.error_type in _TIMEOUTS:
        kind = httpx.ConnectTimeout if connecting else httpx.ReadTimeout
    elif failure.error_type == ErrorType.PROXY_ERROR:
        kind = httpx.ProxyError
    elif failure.error_type == ErrorType.CREDENTIALS_MISSING:
        kind = httpx.LocalProtocolError
    elif connecting:
        kind = httpx.ConnectError
    elif failure.error_type in _PROTOCOL:
        kind = httpx.RemoteProtocolError
    else:
        kind = httpx.ReadError
    return kind(failure.message, request=request)
