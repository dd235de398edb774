"""A probe as httpx and its OpenTelemetry instrumentation see it: the CLIENT span around it.

The one home of httpx. What is asked is the target's own URL, whatever a request says; what comes of
it is told on the CLIENT span (spans.py). Goes without httpx's client: redirects, cookies, proxies
and decoding are not switched off but absent.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Final, cast

import httpx
from opentelemetry import trace
from opentelemetry.metrics import NoOpMeterProvider

from kubenurse_otel import __version__, errors, semconv
from kubenurse_otel.errors import ErrorType
from kubenurse_otel.model import Failure, Phase, Target, Url
from kubenurse_otel.tracing import spans
from kubenurse_otel.tracing.without_http import Probing, WithoutHttp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kubenurse_otel.probe.exchange import Reply
    from kubenurse_otel.probe.prober import Probed


@contextmanager
def without(names_by_module: Mapping[str, Sequence[str]]) -> Iterator[None]:
    """Import modules that import these names of these modules, and as we use them need none.

    Any other name of them is an ImportError at once: what a new version needs cannot go unseen. A
    module that is there already stays what it is.
    """
    absent = {one: names for one, names in names_by_module.items() if one not in sys.modules}
    for one, names in absent.items():
        sys.modules[one] = ModuleType(one)
        vars(sys.modules[one]).update((name, type(name, (), {})) for name in names)
    try:
        yield
    finally:
        for one in absent:
            del sys.modules[one]


# What patches httpx, and reads which versions are installed: nobody asks for it, and it is 1.4 MiB.
with without(
    {
        "wrapt": ("BaseObjectProxy", "wrap_function_wrapper"),
        "packaging": ("version",),
        "opentelemetry.instrumentation.instrumentor": ("BaseInstrumentor",),
    }
):
    from opentelemetry.instrumentation import _semconv as instrumentation_semconv
    from opentelemetry.instrumentation.httpx import AsyncOpenTelemetryTransport

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
    """Travels with a request past the instrumentation: the target down, what came of it up."""

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
        _use_stable_http_conventions()
        self._without_http = WithoutHttp(
            prober,
            tracer_provider.get_tracer(
                "kubenurse_otel.transport", __version__, schema_url=semconv.SCHEMA_URL
            ),
            sub_spans=sub_spans,
        )
        # Excluded URLs and captured headers, which it reads from the environment,
        # config.take_environment has taken out of it.
        self.transport: httpx.AsyncBaseTransport = _Instrumentation(
            _ProbingTransport(
                prober,
                tracer_provider.get_tracer(
                    "kubenurse_otel.transport", __version__, schema_url=semconv.SCHEMA_URL
                )
                if sub_spans
                else None,
            ),
            tracer_provider=tracer_provider,
            meter_provider=NoOpMeterProvider(),
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


class _SeenUrl:
    """What the instrumentation asks of an httpx.URL, which computes it each time."""

    __slots__ = ("host", "port", "scheme", "text")

    def __init__(self, url: httpx.URL) -> None:
        self.text, self.scheme, self.host, self.port = str(url), url.scheme, url.host, url.port

    def __str__(self) -> str:
        return self.text


@lru_cache(maxsize=1024)
def _seen(url: str | httpx.URL | _SeenUrl) -> _SeenUrl:
    return url if isinstance(url, _SeenUrl) else _SeenUrl(httpx.URL(url))


class _Carrier(dict[str, str]):
    """A request's headers, as far as propagators write them."""

    def get_list(self, key: str, **_: object) -> list[str]:
        return [self[key]]


class _Instrumentation(AsyncOpenTelemetryTransport):
    """OpenTelemetry's, over types of httpx that keep what it asks for: it parses and copies URL and
    headers three times in each request.
    """

    _module = cast(
        "ModuleType",
        SimpleNamespace(
            URL=_seen, Request=httpx.Request, Response=httpx.Response, Headers=_Carrier
        ),
    )


class _Request(httpx.Request):
    """A target, asked for: no headers, no body; what is sent is the probe's."""

    def __init__(self, asked: _Asked) -> None:
        self.method = asked.target.method
        self.url = request_url(asked.target.url)
        self.headers = cast("httpx.Headers", _Carrier())
        self.stream = _EMPTY
        self.extensions = {_ASKED: asked}


class _Response(httpx.Response):
    """What came of it, without a body."""

    def __init__(self, reply: Reply) -> None:
        self.status_code = reply.status_code
        # Most have none: then there is nothing to copy.
        told = [field for field in reply.headers if field[0] == _LOCATION]
        self.headers = httpx.Headers(told) if told else _NO_HEADERS
        self.stream = _EMPTY
        self.extensions = {"http_version": reply.http_version}


class _ProbingTransport(httpx.AsyncBaseTransport):
    """What httpx has for its network: raises its exceptions, for the instrumentation to see."""

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


@lru_cache(maxsize=1024)
def request_url(url: Url) -> httpx.URL:
    """``url`` for httpx, which takes a host that begins with ``xn--`` for an IDNA2008 name and
    raises when it is none: its first letter goes in percent-encoded (the same host, RFC 3986
    section 6.2.2.2), and spans.py writes it as it is.
    """
    scheme, _, rest = url.text.partition("://")
    if rest[:4].lower() == "xn--":
        rest = f"%78{rest[1:]}"
    return httpx.URL(f"{scheme}://{rest}")


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
    """What a user of httpx expects for this failure; its text is our sentence."""
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


def _use_stable_http_conventions() -> None:
    """Choose the stable HTTP conventions, whatever OTEL_SEMCONV_STABILITY_OPT_IN says.

    The instrumentation (pinned to one version) knows no parameter for it: it fills these fields
    from the environment, once in a process, and the first to ask decides.
    """
    chosen = instrumentation_semconv._OpenTelemetrySemanticConventionStability  # noqa: SLF001 - there is no public way
    signal = instrumentation_semconv._OpenTelemetryStabilitySignalType.HTTP  # noqa: SLF001 - there is no public way
    mode = instrumentation_semconv._StabilityMode.HTTP  # noqa: SLF001 - there is no public way
    chosen._OTEL_SEMCONV_STABILITY_SIGNAL_MAPPING[signal] = mode  # noqa: SLF001 - there is no public way
    chosen._initialized = True  # noqa: SLF001 - there is no public way
