"""/alwayshappy: what other agents check. It is answered first and recorded afterwards.

Owns its headers, the note of the caller and the SERVER span; the span's fate after its end is
the tracer's.
"""

from __future__ import annotations

import re
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from opentelemetry.trace import SpanKind

from kubenurse_otel import semconv
from kubenurse_otel.server.message import Response
from kubenurse_otel.server.trace_context import continued

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from opentelemetry.trace import Tracer
    from opentelemetry.util.types import AttributeValue

    from kubenurse_otel.server.arrival import Arrival
    from kubenurse_otel.server.message import Request
    from kubenurse_otel.state.incoming import Incoming
    from kubenurse_otel.state.known_agents import KnownAgents

_HEADER_NODE: Final = semconv.HEADER_NODE.encode("ascii")
_HEADER_PAD: Final = semconv.HEADER_PAD.encode("ascii")
_PAD_ASKED: Final = semconv.HEADER_PAD.lower().encode("ascii")
_HEADER_VIEW: Final = semconv.HEADER_VIEW.encode("ascii")
_HEADER_SERVER_TIMING: Final = semconv.HEADER_SERVER_TIMING.encode("ascii")
_TIMING: Final = ", ".join(
    (
        f"{semconv.SERVER_TIMING_APP};dur=%.3f",
        f"{semconv.SERVER_TIMING_PORT};dur=%d",
    )
).encode("ascii")
_WAIT: Final = f"{semconv.SERVER_TIMING_WAIT};dur=%.3f, ".encode("ascii")
_SYNACK: Final = f", {semconv.SERVER_TIMING_SYNACK};dur=%d".encode("ascii")
_HEADER_ORIGIN: Final = semconv.HEADER_ORIGIN.lower().encode("ascii")
_NODE_NAME: Final = re.compile(r"[A-Za-z0-9]([-.A-Za-z0-9]{0,251}[A-Za-z0-9])?")
_MAX_ATTRIBUTE: Final = 256


class AlwaysHappy:
    """The handler. Always 200 with an empty body, as kubenurse's."""

    def __init__(
        self,
        *,
        node_name: Callable[[], str],
        incoming: Incoming,
        tracer: Tracer,
        refusals: Counter[semconv.Refusal],
        agents: KnownAgents,
        view: Callable[[], bytes],
    ) -> None:
        self._node_name = node_name
        self._incoming = incoming
        self._tracer = tracer
        self._refusals = refusals
        self._agents = agents
        self._view = view
        self._node: tuple[str, tuple[tuple[bytes, bytes], ...]] = ("", ())

    def __call__(self, request: Request) -> Response:
        arrival = request.arrival
        assert arrival is not None
        name = self._node_name()
        if name != self._node[0]:
            self._node = (name, _node_header(name))
        for_agents = self._for_agents(request)
        app_seconds = time.perf_counter() - arrival.read_at
        timing = _TIMING % (app_seconds * 1e3, request.peer.port)
        if arrival.waited_seconds is not None:
            timing = _WAIT % (arrival.waited_seconds * 1e3) + timing
        if request.synack_retransmits is not None:
            timing += _SYNACK % request.synack_retransmits
        return Response(
            headers=(*self._node[1], (_HEADER_SERVER_TIMING, timing), *for_agents),
            sent=partial(self._account, request, arrival, app_seconds),
        )

    def _for_agents(self, request: Request) -> tuple[tuple[bytes, bytes], ...]:
        """Return what we see, and as much padding as came: for an agent, at our own address.

        Nobody can make us send more to a third party than was sent to us. Requests through a
        Service or an ingress come by a name or an address of theirs, and get nothing: nobody knows
        who is behind them, and some of them ask from a node's address.
        """
        origin, peer = request.header(_HEADER_ORIGIN), request.peer
        if (
            not origin
            or not self._agents.is_asking(peer.address, origin)
            or request.authority[0] != peer.local[0]
        ):
            return ()
        asked = len(request.header(_PAD_ASKED) or "")
        padding = b"x" * min(asked, semconv.PAD_MAX_BYTES)
        offered = ((_HEADER_VIEW, self._view()), (_HEADER_PAD, padding))
        return tuple(header for header in offered if header[1])

    def _account(self, request: Request, arrival: Arrival, app_seconds: float) -> None:
        """Record the request. Called after the write, so that no client waits for it."""
        origin = request.header(_HEADER_ORIGIN)
        if origin:
            self._incoming.seen(origin, request.peer.address)
        context = continued(
            request.header(b"traceparent"), request.header(b"tracestate"), self._refusals
        )
        if context is None:
            return
        self._tracer.start_span(
            semconv.SPAN_SERVER,
            context=context,
            kind=SpanKind.SERVER,
            attributes=_attributes(request, arrival, app_seconds),
            start_time=arrival.read_at_ns - int((arrival.waited_seconds or 0.0) * 1e9),
            # Where our write began: the caller may have the answer before we are back from it.
        ).end(arrival.read_at_ns + int(app_seconds * 1e9))


def _node_header(name: str) -> tuple[tuple[bytes, bytes], ...]:
    """Return our node's name as a header; none while it is unknown or fits in no header."""
    if _NODE_NAME.fullmatch(name) is None:
        return ()
    return ((_HEADER_NODE, name.encode("ascii")),)


def _attributes(
    request: Request, arrival: Arrival, app_seconds: float
) -> dict[str, AttributeValue]:
    """Return the stable HTTP server conventions' attributes and our two."""
    peer = request.peer
    path = request.path.decode("latin-1")
    attributes: dict[str, AttributeValue] = {
        semconv.HTTP_REQUEST_METHOD: request.method.decode("ascii"),
        semconv.HTTP_RESPONSE_STATUS_CODE: 200,
        semconv.HTTP_ROUTE: path,
        semconv.URL_PATH: path,
        semconv.URL_SCHEME: "https" if peer.secure else "http",
        semconv.NETWORK_PROTOCOL_VERSION: request.http_version,
        semconv.NETWORK_PEER_ADDRESS: peer.address,
        semconv.NETWORK_PEER_PORT: peer.port,
        semconv.CLIENT_ADDRESS: peer.address,
        semconv.SERVER_APP: app_seconds,
    }
    if arrival.waited_seconds is not None:
        attributes[semconv.SERVER_WAIT] = arrival.waited_seconds
    host, port = request.authority
    attributes[semconv.SERVER_ADDRESS] = host[:_MAX_ATTRIBUTE]
    if port is not None:
        attributes[semconv.SERVER_PORT] = port
    user_agent = request.header(b"user-agent")
    if user_agent:
        attributes[semconv.USER_AGENT_ORIGINAL] = user_agent[:_MAX_ATTRIBUTE]
    return attributes
