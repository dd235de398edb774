"""One exchange as spans: attributes and events on the CLIENT span, sub-spans of its setup.

They are made from the marks when the exchange is over, so that making them costs no measured time.
Start times are real. A sub-span lasts as long as its network figure, and the gaps are own delay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from kubenurse_otel import errors, semconv
from kubenurse_otel.model import Failure, Phase
from kubenurse_otel.probe.dns.reply import Ending
from kubenurse_otel.text import bracketed

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.util.types import AttributeValue

    from kubenurse_otel.model import Measurement
    from kubenurse_otel.probe.dns.reply import Reply
    from kubenurse_otel.probe.marks import Attempt, Marks
    from kubenurse_otel.probe.phases import Step
    from kubenurse_otel.probe.prober import Probed

Attributes = dict[str, "AttributeValue"]


def describe(span: trace.Span, tracer: trace.Tracer | None, probed: Probed) -> None:
    """Put everything on ``span`` (the CLIENT span) and make its sub-spans (with a tracer)."""
    if not span.is_recording():
        return
    target, marks, timeline = probed.target, probed.marks, probed.timeline
    span.set_attributes(attributes(target.type, probed.measurement))
    if marks.dns_queries:
        span.set_attributes(dns_attributes(marks.dns_queries))
    if target.url.host.startswith("xn--"):  # see httpx_adapter.request_url
        span.set_attributes(
            {
                semconv.SERVER_ADDRESS: target.url.host,
                semconv.URL_FULL: target.url.text.partition("?")[0],
            }
        )
    if probed.failure is not None:
        span.set_attributes(failure_attributes(probed.failure))
    since_ns = marks.started.offset_ns
    for (event, offset), at_ns in zip(timeline.offsets, timeline.event_times_ns, strict=True):
        span.add_event(event, {semconv.OFFSET: offset}, at_ns + since_ns)
    if tracer is not None and (marks.attempts or marks.dns_started_ns is not None):
        _Setup(span, tracer, probed).tell()


def attributes(type_: str, measured: Measurement) -> Attributes:
    """Return the CLIENT span's attributes. What was not measured is left out."""
    split = measured.split
    found: dict[str, AttributeValue | None] = {
        semconv.TYPE: type_,
        semconv.DURATION: split.duration if measured.word else None,
        semconv.PHASE_DNS: split.dns,
        semconv.PHASE_CONNECT: split.connect,
        semconv.PHASE_TLS: split.tls,
        semconv.PHASE_REQUEST: split.request,
        semconv.PHASE_RECEIVE: split.receive,
        semconv.EGRESS: split.egress,
        semconv.EGRESS_QUEUE: split.egress_queue,
        semconv.LOSS: split.loss,
        semconv.LOSS_DIRECTION: None
        if split.loss_direction is None
        else split.loss_direction.value,
        semconv.LOSS_OUT: split.loss_out or None,
        semconv.LOSS_IN: split.loss_in or None,
        semconv.NETWORK_ROUND_TRIP: split.network_round_trip,
        semconv.NETWORK_ROUND_TRIP_SOURCE: measured.round_trip_source or None,
        semconv.FAR_END: split.far_end,
        semconv.FAR_END_WAIT: split.far_end_wait,
        semconv.FAR_END_APP: split.far_end_app,
        semconv.OWN_DELAY: split.own_delay,
        semconv.TIMING_SOURCE: str(measured.timing_source) if measured.is_timed else None,
        semconv.TIMING_FALLBACK_REASON: str(measured.fallback_reason) or None,
        semconv.NETWORK_PEER_ADDRESS: measured.peer_address or None,
        semconv.NETWORK_PEER_PORT: measured.peer_port or None,
        semconv.CONNECTION_REUSED: measured.connection_reused,
        semconv.DNS_RCODE: measured.answer if measured.dns_tries else None,
        semconv.DNS_TRIES: measured.dns_tries or None,
        semconv.DNS_ANSWERS: measured.addresses or None,
        semconv.ADDRESS_FAILURES: measured.address_failures or None,
        semconv.TCP_RETRANSMITS: measured.retransmits,
        semconv.TCP_DSACKS: measured.dsacks or None,
        semconv.TCP_LOST: measured.lost or None,
        semconv.TCP_RTT: measured.rtt,
        semconv.TCP_MIN_RTT: measured.min_rtt,
        semconv.TCP_PMTU: measured.pmtu,
        semconv.TCP_SEND_MSS: measured.send_mss,
        semconv.PADDING: measured.padding,
        semconv.ANSWERED_PADDING: None if measured.padding is None else measured.answered_padding,
        semconv.TCP_SYNACK_RETRANSMITS: measured.synack_retransmits,
        semconv.CERTIFICATE_EXPIRY: measured.certificate_expiry,
        semconv.ANSWERING_NODE: measured.answering_node or None,
        semconv.INTERCEPTED: measured.intercepted or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def dns_attributes(queries: tuple[Reply, ...]) -> Attributes:
    """Return queries to name servers: three lists of one length, from which metrics are made."""
    found: Attributes = {
        semconv.DNS_SERVERS: [one.server.text for one in queries],
        semconv.DNS_OUTCOMES: [one.outcome for one in queries],
        semconv.DNS_SECONDS: [one.seconds for one in queries],
    }
    detours = queries[-1].place
    return found | {semconv.DNS_DETOURS: detours} if detours else found


def failure_attributes(failure: Failure) -> Attributes:
    """Return our own attributes beside error.type, because the instrumentation overwrites
    error.type with a class name.
    """
    return {
        semconv.FAILURE_ERROR_TYPE: str(failure.error_type),
        semconv.FAILURE_PHASE: failure.phase.value,
        semconv.FAILURE_EVENT: failure.event,
        semconv.FAILURE_MESSAGE: failure.message,
    }


def tell_query(tracer: trace.Tracer, query: Reply, context: Context, offset_ns: int) -> None:
    """Make the span of one query to a name server. ``offset_ns``: monotonic to Unix time."""
    attributes: dict[str, AttributeValue] = {
        semconv.DNS_QUESTION_NAME: query.question.name,
        semconv.DNS_QUESTION_TYPE: query.question.type.name,
        semconv.DNS_PLACE: query.place,
        semconv.DNS_OUTCOME: query.outcome,
        semconv.DNS_TRIES: query.tries,
        semconv.SERVER_ADDRESS: query.server.address,
        semconv.SERVER_PORT: query.server.port,
        semconv.NETWORK_TRANSPORT: query.transport.value,
    }
    if query.addresses:
        attributes[semconv.DNS_ANSWERS] = query.addresses
    if query.received_bytes:
        attributes[semconv.DNS_BYTES] = query.received_bytes
    if query.ignored.total:
        attributes[semconv.DNS_IGNORED] = query.ignored.total
    span = tracer.start_span(
        semconv.SPAN_DNS_QUERY,
        context=context,
        kind=SpanKind.INTERNAL,
        attributes=attributes,
        start_time=query.started_ns + offset_ns,
    )
    if query.ending is not Ending.ANSWERED:
        _fail(span, query.outcome, f"{query.server.text}: {query.outcome}")
    span.end(query.ended_ns + offset_ns)


class _Setup:
    """The connection_setup span (only with HTTP) and its children."""

    def __init__(self, span: trace.Span, tracer: trace.Tracer, probed: Probed) -> None:
        self._parent = trace.set_span_in_context(span)
        self._tracer = tracer
        self._url = probed.target.url
        self._host, self._port = self._url.host, self._url.port
        self._marks = probed.marks
        self._timeline = probed.timeline
        self._failure = probed.failure
        assert probed.marks.ended is not None
        self._ended_ns = probed.marks.ended.monotonic_ns

    def tell(self) -> None:
        marks = self._marks
        if not self._url.speaks_http:  # the CLIENT span is the setup
            self._steps()
            return
        started_ns = marks.dns_started_ns or marks.attempts[0].started_ns
        ended_ns = marks.got_connection_ns or self._ended_ns
        setup = self._start(
            semconv.SPAN_CONNECTION_SETUP,
            started_ns,
            {semconv.SERVER_ADDRESS: self._host, semconv.SERVER_PORT: self._port},
        )
        self._parent = trace.set_span_in_context(setup)
        self._steps()
        if marks.got_connection_ns is None and self._failure is not None:
            _fail(setup, self._failure.error_type, self._failure.message)
        setup.end(_unix_ns(marks, ended_ns))

    def _steps(self) -> None:
        self._dns()
        for attempt in self._marks.attempts:
            self._attempt(attempt)
        self._tls()

    def _dns(self) -> None:
        if self._marks.dns_started_ns is None:
            return
        span = self._start(
            semconv.SPAN_DNS_LOOKUP,
            self._marks.dns_started_ns,
            {semconv.DNS_QUESTION_NAME: self._host},
        )
        if self._marks.dns_ended_ns is not None and self._marks.attempts:
            span.set_attribute(semconv.DNS_ANSWERS, [a.address for a in self._marks.attempts])
        context = trace.set_span_in_context(span)
        for query in self._marks.dns_queries:
            tell_query(self._tracer, query, context, self._marks.started.offset_ns)
        self._end(span, self._marks.dns_started_ns, self._timeline.dns, Phase.DNS)

    def _attempt(self, attempt: Attempt) -> None:
        span = self._start(
            semconv.SPAN_SOCKET_CONNECT,
            attempt.started_ns,
            {
                semconv.NETWORK_PEER_ADDRESS: attempt.address,
                semconv.NETWORK_PEER_PORT: self._port,
                semconv.NETWORK_TYPE: attempt.family,
                semconv.NETWORK_TRANSPORT: "tcp",
            },
        )
        if attempt is self._marks.used:
            self._end(span, attempt.started_ns, self._timeline.connect, Phase.CONNECT)
            return
        if attempt.abandoned:
            span.set_attribute(semconv.ABANDONED, True)
        elif attempt.error is not None:
            failed = errors.failure(attempt.error, Phase.CONNECT, target=bracketed(attempt.address))
            _fail(span, failed.error_type, failed.message)
        span.end(_unix_ns(self._marks, attempt.ended_ns or self._ended_ns))

    def _tls(self) -> None:
        marks = self._marks
        if marks.tls_started_ns is None:
            return
        span = self._start(
            semconv.SPAN_TLS_HANDSHAKE, marks.tls_started_ns, {semconv.SERVER_ADDRESS: self._host}
        )
        if marks.tls_version:
            name, _, version = marks.tls_version.partition("v")
            span.set_attributes(
                {
                    semconv.TLS_PROTOCOL_NAME: name.lower(),
                    semconv.TLS_PROTOCOL_VERSION: version,
                    semconv.TLS_CIPHER: marks.tls_cipher,
                }
            )
        self._end(span, marks.tls_started_ns, self._timeline.tls, Phase.TLS)

    def _start(self, name: str, started_ns: int, attributes: Attributes) -> trace.Span:
        return self._tracer.start_span(
            name,
            context=self._parent,
            kind=SpanKind.INTERNAL,
            attributes=attributes,
            start_time=_unix_ns(self._marks, started_ns),
        )

    def _end(self, span: trace.Span, started_ns: int, step: Step | None, phase: Phase) -> None:
        """End a step after its network time; a step without one is the one that failed."""
        ended_ns = self._ended_ns if step is None else started_ns + step.duration_ns
        if step is None and self._failure is not None and self._failure.phase is phase:
            _fail(span, self._failure.error_type, self._failure.message)
        span.end(_unix_ns(self._marks, ended_ns))


def _fail(span: trace.Span, error_type: str, message: str) -> None:
    span.set_attribute(semconv.ERROR_TYPE, str(error_type))
    span.set_status(Status(StatusCode.ERROR, message))


def _unix_ns(marks: Marks, monotonic_ns: int) -> int:
    return monotonic_ns + marks.started.offset_ns
