"""Every span, attribute, event, header and metric name of the product, and nothing else.

The names are public surface: docs/metrics.md and docs/traces.md are generated from the tables
here. OpenTelemetry's own names are cited as its semantic conventions define them (HTTP client
spans: stable; connection spans: as .NET documents them); ours begin with ``kubenurse.``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from kubenurse_otel.record import record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentelemetry.context import Context

# --- span names: few, never a node's or a host's ------------------------------------------------

SPAN_CHECK_PREFIX: Final = "check "
"""Root span: "check path", "check me_service", "check extra" (the kind, never the type)."""
SPAN_CONNECTION_SETUP: Final = "HTTP connection_setup"
"""INTERNAL, under the CLIENT span GET, only when a connection is made: DNS, connect, TLS."""
SPAN_DNS_LOOKUP: Final = "DNS lookup"
"""INTERNAL, under the setup, only when the host is a name."""
SPAN_DNS_QUERY: Final = "DNS query"
"""INTERNAL, under the look-up, one for each question to a name server (KUBENURSE_RESOLVER=own).
CLIENT, of a dns:// check: from the first query to the answer."""
SPAN_SOCKET_CONNECT: Final = "socket connect"
"""INTERNAL, under the setup, one for each address that was tried."""
SPAN_TLS_HANDSHAKE: Final = "TLS client handshake"
"""INTERNAL, under the setup, https only."""
SPAN_TCP: Final = "TCP connect"
"""CLIENT, of a tcp:// check: look-up, connect and TLS are below it, without an HTTP setup."""
SPAN_SERVER: Final = "GET /alwayshappy"
"""SERVER: our answer to an agent that sent a traceparent, from its arrival to our write."""

# --- httptrace events, in the order in which they happen (the metrics' `event` label) ------------

EVENT_DNS_START: Final = "dns_start"
"""The host is a name, and its look-up begins."""
EVENT_DNS_DONE: Final = "dns_done"
"""The look-up gave an address."""
EVENT_CONNECT_START: Final = "connect_start"
"""The first SYN to the address that was used in the end."""
EVENT_CONNECT_DONE: Final = "connect_done"
"""The TCP connection stands."""
EVENT_TLS_START: Final = "tls_handshake_start"
"""https only: the handshake begins."""
EVENT_TLS_DONE: Final = "tls_handshake_done"
"""https only: the handshake is over and the certificate verified."""
EVENT_GOT_CONN: Final = "got_conn"
"""A connection is there, new or reused."""
EVENT_WROTE_REQUEST: Final = "wrote_request"
"""The request is with the kernel."""
EVENT_INTERIM: Final = "got_1xx_response"
"""An interim answer began (100 Continue, 103 Early Hints); on traces only."""
EVENT_FIRST_BYTE: Final = "got_first_resp_byte"
"""The first byte of the answer is here: of the final one, after any interim ones."""
EVENTS: Final = (
    EVENT_DNS_START,
    EVENT_DNS_DONE,
    EVENT_CONNECT_START,
    EVENT_CONNECT_DONE,
    EVENT_TLS_START,
    EVENT_TLS_DONE,
    EVENT_GOT_CONN,
    EVENT_WROTE_REQUEST,
    EVENT_FIRST_BYTE,
)
EVENT_ROUND_TRIP_ERROR: Final = "round_trip_error"
"""`event` of a failure that is none of httptrace's; also the `code` of a check without answer."""
EVENT_STATUS_CODE_PREFIX: Final = "status_code_"
"""`event` of a failure by status: status_code_503 and so on."""
STATUS_UNREGISTERED: Final = "unregistered"
"""`code`, and the end of `event`, of a status that is not in IANA's registry of HTTP statuses."""

# --- log records, by OTEL_LOGS_EXPORTER ---------------------------------------------------------

LOG_EVENT_VERDICT: Final = "kubenurse.verdict"
"""A verdict was raised (severity WARN) or cleared (INFO): the sentence, with kubenurse.verdict.*;
trace_id is that of the first evidence."""

# --- headers ------------------------------------------------------------------------------------

HEADER_ORIGIN: Final = "KUBENURSE-NEIGHBOUR-ORIGIN"
"""Request: the asking agent's pod name (kubenurse's own header)."""
HEADER_NODE: Final = "KUBENURSE-NODE-NAME"
"""Response: the answering agent's node name."""
HEADER_VIEW: Final = "KUBENURSE-VIEW"
"""Response, to agents alone: what the answering agent sees (docs/diagnosis.md)."""
VIEW_MAX_BYTES: Final = 512
HEADER_PAD: Final = "KUBENURSE-PAD"
"""Request of a full_size check: padding, so that its first segment is full. Response, to agents
alone: as much, and no more."""
PAD_MAX_BYTES: Final = 9_100
"""A jumbo frame's segment (MTU 9,000) and some; more is neither sent nor answered."""
HEADER_SERVER_TIMING: Final = "Server-Timing"
"""Response: what the answering agent says of its own time, in the entries below."""
SERVER_TIMING_WAIT: Final = "wait"
"""Milliseconds from the request's arrival in the far kernel to the far agent's read; absent where
that kernel does not tell."""
SERVER_TIMING_APP: Final = "app"
"""Milliseconds from the far agent's read to its write."""
SERVER_TIMING_SYNACK: Final = "synack"
"""`dur` is a count here: how often this connection's SYN-ACK was sent again."""
SERVER_TIMING_PORT: Final = "port"
"""`dur` is a TCP port here: the asker's, as the answering agent sees it."""
SERVER_TIMING_MAX_BYTES: Final = 256

# --- attributes ---------------------------------------------------------------------------------

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
"""OpenTelemetry's semantic conventions in which its names below stand: the schema of the resource
and of our scopes. The CLIENT span GET has the scope and the schema of instrumentation-httpx."""

ERROR_TYPE: Final = "error.type"
"""Why it failed: a word of errors.ErrorType; absent when it did not."""
HTTP_REQUEST_METHOD: Final = "http.request.method"
"""CLIENT, SERVER: GET, or HEAD."""
HTTP_RESPONSE_STATUS_CODE: Final = "http.response.status_code"
"""CLIENT, SERVER: the status, absent without an answer."""
HTTP_ROUTE: Final = "http.route"
"""SERVER: /alwayshappy."""
NETWORK_PEER_ADDRESS: Final = "network.peer.address"
"""CLIENT, socket connect, SERVER: the IP address at the other end of the TCP connection."""
NETWORK_PEER_PORT: Final = "network.peer.port"
"""CLIENT, socket connect, SERVER: the port there."""
NETWORK_TYPE: Final = "network.type"
"""socket connect: ipv4 or ipv6."""
NETWORK_TRANSPORT: Final = "network.transport"
"""socket connect, TCP connect: tcp. DNS query: udp, or tcp where the answer was cut short."""
NETWORK_PROTOCOL_VERSION: Final = "network.protocol.version"
"""CLIENT, SERVER: 1.1 or 1.0."""
SERVER_ADDRESS: Final = "server.address"
"""CLIENT, setup, TLS: the URL's host. SERVER: the Host header's, cut; our address without one.
DNS query: the name server's."""
SERVER_PORT: Final = "server.port"
"""CLIENT, setup: the URL's port. SERVER: the Host header's, absent where that names none.
DNS query: the name server's."""
URL_SCHEME: Final = "url.scheme"
"""SERVER: http or https."""
URL_FULL: Final = "url.full"
"""CLIENT: the URL without user, password and query."""
URL_PATH: Final = "url.path"
"""SERVER: the path."""
CLIENT_ADDRESS: Final = "client.address"
"""SERVER: who asked, as TCP has it."""
USER_AGENT_ORIGINAL: Final = "user_agent.original"
"""SERVER: the User-Agent header, cut."""
DNS_QUESTION_NAME: Final = "dns.question.name"
"""DNS lookup, DNS query: the name."""
DNS_ANSWERS: Final = "dns.answers"
"""DNS lookup: the addresses in the order in which they were tried. DNS query: those that came."""
TLS_PROTOCOL_NAME: Final = "tls.protocol.name"
"""TLS client handshake: tls."""
TLS_PROTOCOL_VERSION: Final = "tls.protocol.version"
"""TLS client handshake: 1.2 or 1.3."""
TLS_CIPHER: Final = "tls.cipher"
"""TLS client handshake: the cipher suite."""

SERVICE_NAME: Final = "service.name"
"""Resource: OTEL_SERVICE_NAME, else kubenurse-otel."""
SERVICE_VERSION: Final = "service.version"
"""Resource: our version."""
SERVICE_INSTANCE_ID: Final = "service.instance.id"
"""Resource: the pod's UID, else namespace.pod.container."""
K8S_NODE_NAME: Final = "k8s.node.name"
"""Resource: KUBENURSE_NODE_NAME."""
K8S_POD_NAME: Final = "k8s.pod.name"
"""Resource: KUBENURSE_POD_NAME, else the host name."""
K8S_POD_UID: Final = "k8s.pod.uid"
"""Resource: KUBENURSE_POD_UID."""
K8S_NAMESPACE_NAME: Final = "k8s.namespace.name"
"""Resource: KUBENURSE_NAMESPACE, else the service account's."""
K8S_CLUSTER_NAME: Final = "k8s.cluster.name"
"""Resource: KUBENURSE_CLUSTER_NAME."""
TELEMETRY_SDK_NAME: Final = "telemetry.sdk.name"
"""Resource: opentelemetry."""
TELEMETRY_SDK_LANGUAGE: Final = "telemetry.sdk.language"
"""Resource: python."""
TELEMETRY_SDK_VERSION: Final = "telemetry.sdk.version"
"""Resource: the SDK's version."""
OVERFLOW: Final = "otel.metric.overflow"
"""On the one point that holds what a metric's limit of attribute sets left out."""

TYPE: Final = "kubenurse.type"
"""Root, CLIENT: the metrics' `type` (me_service, path_<node>, an extra check's name, ...)."""
OUTCOME: Final = "kubenurse.outcome"
"""Root: ok or failed; absent where a shutdown cut the check off."""
CODE: Final = "kubenurse.code"
"""Root: the status (or unregistered); of tcp connected, of dns the answer's code (NOERROR); or
round_trip_error without an answer."""
METHOD: Final = "kubenurse.method"
"""Root: GET or HEAD; tcp, dns of checks that speak no HTTP."""
DNS_RCODE: Final = "kubenurse.dns.rcode"
"""DNS query: the answer's code, such as NOERROR; absent without an answer."""
FAILURE_ERROR_TYPE: Final = "kubenurse.error.type"
"""Root, CLIENT: error.type in our own words, which nothing overwrites."""
FAILURE_PHASE: Final = "kubenurse.error.phase"
"""Root, CLIENT: the step that failed: dns, connect, tls, request, receive or status."""
FAILURE_EVENT: Final = "kubenurse.error.event"
"""Root, CLIENT: the `event` under which kubenurse_errors_total counts it."""
FAILURE_MESSAGE: Final = "kubenurse.error.message"
"""Root, CLIENT: a sentence for people, without secrets."""
TARGET_NODE: Final = "kubenurse.target.node"
"""Root of path checks: the neighbour's node."""
TARGET_POD: Final = "kubenurse.target.pod"
"""Root of path checks: the neighbour's pod."""
TARGET_KEY: Final = "kubenurse.target.key"
"""Root: unique among targets, where a type has several addresses."""
ANSWERING_NODE: Final = "kubenurse.answering_node"
"""CLIENT: the node of the agent that answered, by its own word."""
INTERCEPTED: Final = "kubenurse.intercepted"
"""CLIENT of path checks: a mesh or a proxy answered, or passed on and opened a port of its own."""
KEPT: Final = "kubenurse.kept"
"""Root, SERVER: why this trace is exported."""
FORCE_SAMPLE: Final = "kubenurse.force_sample"
"""On a root span at its start: the trace is sampled whatever its id says; the value says why."""
ABANDONED: Final = "kubenurse.abandoned"
"""socket connect: true where another address was faster; no error."""
OFFSET: Final = "kubenurse.offset"
"""On an event: seconds since the request's start where our process takes no time."""
VERDICT_KIND: Final = "kubenurse.verdict.kind"
"""Root of a failed check that a verdict explains: what is at fault (node, pair, dns, ...)."""
VERDICT_CULPRIT: Final = "kubenurse.verdict.culprit"
"""Root, likewise: which one, the verdict's `culprit`."""
VERDICT_DIRECTION: Final = "kubenurse.verdict.direction"
"""Root, likewise: in or out, seen from the culprit; empty where it is both or does not matter."""
VERDICT_CAUSE: Final = "kubenurse.verdict.cause"
"""Event kubenurse.verdict: what is wrong with the culprit, in one word."""
VERDICT_STATE: Final = "kubenurse.verdict.state"
"""Event kubenurse.verdict: raised, flapping or cleared."""
VERDICT_CONFIDENCE: Final = "kubenurse.verdict.confidence"
"""Event kubenurse.verdict: how sure the verdict is, 0 to 1."""
DURATION: Final = "kubenurse.duration"
"""CLIENT, seconds: dns + connect + tls + request; absent without a whole answer."""
PHASE_DNS: Final = "kubenurse.phase.dns"
"""CLIENT, seconds: the look-up."""
DNS_SERVERS: Final = "kubenurse.dns.servers"
"""CLIENT: the name server of each query of the look-up; absent where our resolver did not ask."""
DNS_OUTCOMES: Final = "kubenurse.dns.outcomes"
"""CLIENT: of each of these queries what came of it, in the words of kubenurse.dns.outcome."""
DNS_SECONDS: Final = "kubenurse.dns.seconds"
"""CLIENT, seconds: of each of these queries, from when it left to its answer or its end."""
DNS_PORTS: Final = "kubenurse.dns.ports"
"""Root of the check dns: of each source port sound, half (the second try was answered) or silent.
Its queries stand in kubenurse.dns.servers, .outcomes and .seconds, as on CLIENT."""
DNS_ENDPOINTS: Final = "kubenurse.dns.endpoints"
"""Root of the check dns: the endpoints of the cluster's DNS that were asked by their own addresses,
each by UDP and by TCP; absent where they are not known."""
DNS_ENDPOINT_TRANSPORTS: Final = "kubenurse.dns.endpoint.transports"
"""Root of the check dns: of each of these, udp or tcp."""
DNS_ENDPOINT_OUTCOMES: Final = "kubenurse.dns.endpoint.outcomes"
"""Root of the check dns: of each of these, what came of it (words of kubenurse.dns.outcome)."""
DNS_DETOURS: Final = "kubenurse.dns.detours"
"""CLIENT: names of the search path that were asked for before the last one; absent where 0."""
DNS_OUTCOME: Final = "kubenurse.dns.outcome"
"""DNS query: noerror, nodata, nxdomain, servfail, refused or other; truncated, where the whole is
to be had by TCP; silent, unreachable or malformed without an answer."""
DNS_QUESTION_TYPE: Final = "kubenurse.dns.question.type"
"""DNS query: A or AAAA."""
DNS_PLACE: Final = "kubenurse.dns.place"
"""DNS query: the name's place among those that the search path has asked for, from 0."""
DNS_TRIES: Final = "kubenurse.dns.tries"
"""DNS query: how often it was sent."""
DNS_BYTES: Final = "kubenurse.dns.response.size"
"""DNS query, bytes: of the answer; absent without one."""
DNS_IGNORED: Final = "kubenurse.dns.ignored"
"""DNS query: datagrams that came meanwhile and were no answer to us; absent where 0."""
PHASE_CONNECT: Final = "kubenurse.phase.connect"
"""CLIENT, seconds: TCP's handshake."""
PHASE_TLS: Final = "kubenurse.phase.tls"
"""CLIENT, seconds: what we waited for the far end in TLS's handshake."""
PHASE_REQUEST: Final = "kubenurse.phase.request"
"""CLIENT, seconds: sent to first byte: egress + loss + network round trip + far end."""
PHASE_RECEIVE: Final = "kubenurse.phase.receive"
"""CLIENT, seconds: first to last byte of the answer."""
EGRESS: Final = "kubenurse.egress.duration"
"""CLIENT, seconds: this node's network kept what we sent, in connect, tls and request."""
EGRESS_QUEUE: Final = "kubenurse.egress.queue"
"""CLIENT, seconds: of the egress, in a device's queue; the rest was a rule's drop, mostly."""
LOSS: Final = "kubenurse.loss"
"""CLIENT, seconds: lost to retransmissions in connect, tls and request; absent where unknown."""
LOSS_DIRECTION: Final = "kubenurse.loss_direction"
"""CLIENT: out (what we sent was lost), in (what came), both or unknown; absent without loss."""
LOSS_OUT: Final = "kubenurse.loss_out"
"""CLIENT, seconds: of the loss, what we sent and had to send again; absent where it is 0."""
LOSS_IN: Final = "kubenurse.loss_in"
"""CLIENT, seconds: of the loss, SYN-ACKs and answers that came again; absent where it is 0."""
NETWORK_ROUND_TRIP: Final = "kubenurse.network.round_trip"
"""CLIENT, seconds: to the first TCP end and back; no application is in it."""
NETWORK_ROUND_TRIP_SOURCE: Final = "kubenurse.network.round_trip_source"
"""CLIENT: request_ack, hello_ack (acknowledged at once), else min_rtt (the least so far)."""
FAR_END: Final = "kubenurse.far_end.duration"
"""CLIENT, seconds: the request's without egress, loss and round trip; absent where unknown."""
FAR_END_WAIT: Final = "kubenurse.far_end.wait"
"""CLIENT, seconds: of the far end, how long the request waited to be read."""
FAR_END_APP: Final = "kubenurse.far_end.app"
"""CLIENT, seconds: of the far end, from its read to its write."""
OWN_DELAY: Final = "kubenurse.own_delay"
"""CLIENT, seconds: the kernel waited for this agent; part of no other figure."""
TIMING_SOURCE: Final = "kubenurse.timing.source"
"""CLIENT: who held the stopwatch, kernel or user."""
TIMING_FALLBACK_REASON: Final = "kubenurse.timing.fallback_reason"
"""CLIENT: why not the kernel; absent when it was."""
CONNECTION_REUSED: Final = "kubenurse.connection.reused"
"""CLIENT: whether the connection was made by an earlier check."""
ADDRESS_FAILURES: Final = "kubenurse.address_failures"
"""CLIENT: ipv4 or ipv6 for each address that failed, or was silent until a later one was used."""
TCP_RETRANSMITS: Final = "kubenurse.tcp.retransmits"
"""CLIENT: segments that our kernel sent again."""
TCP_DSACKS: Final = "kubenurse.tcp.dsacks"
"""CLIENT: retransmissions that the peer had already: it acknowledged late, or that was lost."""
TCP_LOST: Final = "kubenurse.tcp.lost"
"""CLIENT: segments that our kernel holds for lost."""
TCP_RTT: Final = "kubenurse.tcp.rtt"
"""CLIENT, seconds: tcpi_rtt at the end."""
TCP_MIN_RTT: Final = "kubenurse.tcp.min_rtt"
"""CLIENT, seconds: tcpi_min_rtt."""
TCP_PMTU: Final = "kubenurse.tcp.pmtu"
"""CLIENT, bytes: the path's MTU."""
TCP_SEND_MSS: Final = "kubenurse.tcp.snd_mss"
"""CLIENT, bytes: a full segment that we send."""
PADDING: Final = "kubenurse.padding"
"""CLIENT of full_size checks, bytes: padding of the request."""
ANSWERED_PADDING: Final = "kubenurse.padding.answered"
"""CLIENT of full_size checks, bytes: padding of the answer; 0 where the agent gives none."""
TCP_SYNACK_RETRANSMITS: Final = "kubenurse.tcp.synack_retransmits"
"""CLIENT: how often the far end sent its SYN-ACK again, by its own word."""
CERTIFICATE_EXPIRY: Final = "kubenurse.tls.certificate_expiry"
"""CLIENT: notAfter of the far end's certificate, Unix seconds."""
SERVER_WAIT: Final = "kubenurse.server.wait"
"""SERVER, seconds: from the request's arrival in our kernel to our reading it."""
SERVER_APP: Final = "kubenurse.server.app"
"""SERVER, seconds: from our read to our write."""


class Kept(StrEnum):
    """The values of ``kubenurse.kept``; of several that fit, the first."""

    RATIO = "ratio"
    """By the trace id alone (KUBENURSE_TRACE_RATIO): these are an unbiased sample."""
    FAILED = "failed"
    SLOW = "slow"
    LOSS = "loss"
    OWN_DELAY = "own_delay"
    CHANGED = "changed"
    """The first good check of a target, or the first after bad ones."""
    FOLLOW_UP = "follow_up"
    """One of the three checks after a target went bad."""
    CALLER = "caller"
    """SERVER spans: whoever asked sampled the trace."""


# --- metrics ------------------------------------------------------------------------------------


class MetricKind(StrEnum):
    """The OpenTelemetry instrument that makes it."""

    COUNTER = "counter"
    HISTOGRAM = "histogram"
    GAUGE = "gauge"
    """An observable gauge: read when metrics are collected."""
    OBSERVABLE_COUNTER = "observable_counter"


class MetricFamily(StrEnum):
    """KUBENURSE_METRICS chooses among these."""

    KUBENURSE = "kubenurse"
    OWN = "own"
    PROCESS = "process"
    """Always there."""


class Refusal(StrEnum):
    """Why our server did not take something: the ``reason`` of kubenurse_http_refused_total."""

    TRACEPARENT = "traceparent"
    """It is none, or too long: the request is answered and no trace continued."""
    TRACESTATE = "tracestate"
    """It is none, or too long: the trace is continued without it."""
    REQUEST = "request"
    """No request of ours, or no TLS: 4xx or 501, and the connection ends."""
    RATE = "rate"
    """/metrics, /alive or /api/v1 asked for too often: 429."""
    CONNECTIONS = "connections"
    """More than a client's share, or all there may be: one of them is closed."""
    BYTES = "bytes"
    """More held for a client than its share, or for all than there may be: one is closed."""
    HANDSHAKES = "handshakes"
    """More TLS handshakes under way than a client's share, or all there may be: one is closed."""
    SLOW = "slow"
    """A request or a reader of an answer that did not get on: the connection is closed."""


@record(frozen=True, slots=True)
class Metric:
    """One instrument: its literal (Prometheus) name, unit (UCUM), labels in order, HELP."""

    name: str
    kind: MetricKind
    unit: str
    labels: tuple[str, ...]
    help: str
    family: MetricFamily = MetricFamily.OWN
    bounds: tuple[float, ...] = ()


Observation = tuple[Metric, float, tuple[str, ...]]
"""What is observed, how much, and the values of the metric's labels in their order."""


class Recorder(Protocol):
    """The instruments, by Metric. ``attributes`` are the metric's labels.

    Without a ``context`` an observation makes no exemplar, whatever span is current.
    """

    def add(
        self,
        metric: Metric,
        value: float,
        attributes: Mapping[str, str],
        context: Context | None = None,
    ) -> None: ...

    def record(
        self,
        metric: Metric,
        value: float,
        attributes: Mapping[str, str],
        context: Context | None = None,
    ) -> None: ...

    def observe(self, observations: Iterable[Observation], context: Context | None) -> None:
        """Each as ``add`` of a counter or ``record`` of a histogram."""


DEFAULT_BOUNDS: Final[tuple[float, ...]] = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""kubenurse's (prometheus.DefBuckets); whole numbers as ints, so that they print as le="1"."""
OWN_BOUNDS: Final[tuple[float, ...]] = (0.00005, 0.0002, 0.001, 0.005, 0.025, 0.1, 0.5)
LOSS_BOUNDS: Final[tuple[float, ...]] = (0.01, 0.25, 0.6, 1.5)
"""A retransmission timeout is 0.2 s and doubles; a SYN's is 1 s (Linux)."""
OWN_DELAY_BOUNDS: Final[tuple[float, ...]] = (0.0002, 0.001, 0.005, 0.02, 0.1, 1)

HTTPCLIENT_REQUEST_DURATION: Final = Metric(
    "kubenurse_httpclient_request_duration_seconds",
    MetricKind.HISTOGRAM,
    "s",
    ("type",),
    "Time of a check that got a response: dns + connect + tls + request, without our own delay.",
    MetricFamily.KUBENURSE,
    DEFAULT_BOUNDS,
)
HTTPCLIENT_TRACE_REQUEST_DURATION: Final = Metric(
    "kubenurse_httpclient_trace_request_duration_seconds",
    MetricKind.HISTOGRAM,
    "s",
    ("type", "event"),
    "Time since the request's start at which each httptrace event was reached.",
    MetricFamily.KUBENURSE,
    DEFAULT_BOUNDS,
)
HTTPCLIENT_REQUESTS: Final = Metric(
    "kubenurse_httpclient_requests_total",
    MetricKind.COUNTER,
    "{request}",
    ("type", "code", "method"),
    "Checks by status code, or round_trip_error where there was no response.",
    MetricFamily.KUBENURSE,
)
ERRORS: Final = Metric(
    "kubenurse_errors_total",
    MetricKind.COUNTER,
    "{error}",
    ("type", "event"),
    "Failed checks, each counted once, by the event that failed.",
    MetricFamily.KUBENURSE,
)
INCOMING_CHECKS: Final = Metric(
    "kubenurse_neighbourhood_incoming_checks",
    MetricKind.GAUGE,
    "{neighbour}",
    (),
    "Unique neighbours that asked us in the last 60 seconds.",
    MetricFamily.KUBENURSE,
)
CHECK_SUCCESS: Final = Metric(
    "kubenurse_check_success",
    MetricKind.GAUGE,
    "",
    ("type",),
    "1 if the latest check of a current target was good, else 0.",
)
CHECK_INFO: Final = Metric(
    "kubenurse_check_info",
    MetricKind.GAUGE,
    "",
    ("type", "source_node", "source_zone", "target_node", "target_zone", "node_state"),
    "1 for each current target: where its checks start and end. Join on type.",
)
CHECK_PHASE_DURATION: Final = Metric(
    "kubenurse_check_phase_duration_seconds",
    MetricKind.HISTOGRAM,
    "s",
    ("type", "phase"),
    "Time of each step of a check (dns, connect, tls, request), by the kernel's stamps.",
    bounds=OWN_BOUNDS,
)
NETWORK_ROUND_TRIP_TIME: Final = Metric(
    "kubenurse_network_round_trip_seconds",
    MetricKind.HISTOGRAM,
    "s",
    ("type",),
    "Round trip to the first TCP end, acknowledged by its kernel: no application is in it.",
    bounds=OWN_BOUNDS,
)
FAR_END_DURATION: Final = Metric(
    "kubenurse_far_end_duration_seconds",
    MetricKind.HISTOGRAM,
    "s",
    ("type",),
    "Time the far end took to answer, without egress, loss and network round trip.",
    bounds=OWN_BOUNDS,
)
EGRESS_DELAY: Final = Metric(
    "kubenurse_egress_delay_seconds",
    MetricKind.HISTOGRAM,
    "s",
    ("type",),
    "Time in which queues and rules of this node kept what a check sent; part of its phases.",
    bounds=OWN_DELAY_BOUNDS,
)
LOSS_DELAY: Final = Metric(
    "kubenurse_loss_delay_seconds",
    MetricKind.HISTOGRAM,
    "s",
    ("type", "direction"),
    "Time lost to retransmissions in one check; only checks that lost some are observed.",
    bounds=LOSS_BOUNDS,
)
LOSSY_CHECKS: Final = Metric(
    "kubenurse_lossy_checks_total",
    MetricKind.COUNTER,
    "{check}",
    ("type", "direction"),
    "Checks that lost time to retransmissions, each once; direction: out, in, both, unknown.",
)
OWN_DELAY_TIME: Final = Metric(
    "kubenurse_own_delay_seconds",
    MetricKind.HISTOGRAM,
    "s",
    ("type",),
    "Time in which a check waited for this agent itself; part of no other figure.",
    bounds=OWN_DELAY_BOUNDS,
)
RETRANSMITS: Final = Metric(
    "kubenurse_tcp_retransmits_total",
    MetricKind.COUNTER,
    "{segment}",
    ("type",),
    "Segments of checks that our kernel sent again.",
)
CHECK_FAILURES: Final = Metric(
    "kubenurse_check_failures_total",
    MetricKind.COUNTER,
    "{check}",
    ("type", "error_type", "phase"),
    "Failed checks by cause and by the step that failed.",
)
ADDRESS_FAILURES_COUNT: Final = Metric(
    "kubenurse_address_failures_total",
    MetricKind.COUNTER,
    "{address}",
    ("type", "family"),
    "Addresses of a name that failed, or were silent until a later one was used.",
)
DNS_QUERY_DURATION: Final = Metric(
    "kubenurse_dns_query_seconds",
    MetricKind.HISTOGRAM,
    "s",
    ("server",),
    "Time of each query that a name server answered, by the kernel's stamps.",
    bounds=OWN_BOUNDS,
)
DNS_QUERIES: Final = Metric(
    "kubenurse_dns_queries_total",
    MetricKind.COUNTER,
    "{query}",
    ("server", "outcome"),
    "Queries to name servers by outcome; silent: the query or its answer was lost.",
)
DNS_PORTS_COUNT: Final = Metric(
    "kubenurse_dns_ports_total",
    MetricKind.COUNTER,
    "{port}",
    ("server", "state"),
    "Source ports from which the check dns asked: sound, half (only its second try was answered), "
    "silent. One silent replica behind a Service is a share of silent ports.",
)
DNS_ENDPOINT_QUERIES: Final = Metric(
    "kubenurse_dns_endpoint_queries_total",
    MetricKind.COUNTER,
    "{query}",
    ("server", "transport", "outcome"),
    "Queries of the check dns to the endpoints of the cluster's DNS, each at its own address, by "
    "outcome; at most eight endpoints per agent. The series of one that is gone are removed.",
)
DNS_DETOURS_COUNT: Final = Metric(
    "kubenurse_dns_detours_total",
    MetricKind.COUNTER,
    "{name}",
    ("type",),
    "Names of the search path that were asked for before the one with which a look-up ended.",
)
MISSED_CHECKS: Final = Metric(
    "kubenurse_missed_checks_total",
    MetricKind.COUNTER,
    "{check}",
    ("type",),
    "Ticks that were lost, because an earlier one of the target still waited, or the agent stood "
    "still.",
)
CHECKS_TIMED: Final = Metric(
    "kubenurse_checks_timed_total",
    MetricKind.COUNTER,
    "{check}",
    ("type", "source", "reason"),
    "Checks by who timed them (kernel, user) and why not the kernel.",
)
INTERCEPTED_CHECKS: Final = Metric(
    "kubenurse_intercepted_checks_total",
    MetricKind.COUNTER,
    "{check}",
    ("type",),
    "Checks of a neighbour that a proxy answered or passed on; they have no network figures.",
)
CERTIFICATE_EXPIRY_TIME: Final = Metric(
    "kubenurse_tls_certificate_expiry_timestamp_seconds",
    MetricKind.GAUGE,
    "s",
    ("type",),
    "notAfter of the certificate that the far end last showed, in Unix seconds.",
)
VERDICT: Final = Metric(
    "kubenurse_verdict",
    MetricKind.GAUGE,
    "",
    ("kind", "culprit", "direction", "cause"),
    "1 for each verdict of this agent that stands, 0 for 10 minutes after it was cleared.",
)
SUSPICIONS: Final = Metric(
    "kubenurse_suspicions",
    MetricKind.GAUGE,
    "{suspicion}",
    (),
    "Faults that this agent suspects, but that too few other agents confirm.",
)
DOUBT: Final = Metric(
    "kubenurse_doubt",
    MetricKind.GAUGE,
    "",
    (),
    "How little this agent trusts what it measures, 0 to 7; from 3 on it accuses nobody else.",
)
VIEWS: Final = Metric(
    "kubenurse_views",
    MetricKind.GAUGE,
    "{view}",
    ("state",),
    "Views that neighbours sent of what they see, by state: only fresh ones are witnesses.",
)
EVENT_LOOP_LAG: Final = Metric(
    "kubenurse_event_loop_lag_seconds",
    MetricKind.HISTOGRAM,
    "s",
    (),
    "How late this agent's event loop ran a timer.",
    bounds=OWN_DELAY_BOUNDS,
)
CPU_THROTTLED: Final = Metric(
    "kubenurse_cpu_throttled_seconds_total",
    MetricKind.OBSERVABLE_COUNTER,
    "s",
    (),
    "Time in which the container's CPU limit held this agent back (cgroup cpu.stat).",
)
NODE_CPU_PRESSURE: Final = Metric(
    "kubenurse_node_cpu_pressure_seconds_total",
    MetricKind.OBSERVABLE_COUNTER,
    "s",
    (),
    "Time in which something on this node waited for a core (PSI's some); absent without PSI.",
)
DISCOVERY_AGE: Final = Metric(
    "kubenurse_discovery_age_seconds",
    MetricKind.GAUGE,
    "s",
    (),
    "Time since discovery last heard from its source; absent before the first word.",
)
NEIGHBOURS: Final = Metric(
    "kubenurse_neighbours",
    MetricKind.GAUGE,
    "{neighbour}",
    ("state",),
    "Neighbours by state: known (candidates of the ring) and chosen (checked by us).",
)
READY: Final = Metric(
    "kubenurse_ready",
    MetricKind.GAUGE,
    "",
    ("reason",),
    "1 if /ready answers 200, else 0 with the reason (node_leaving, shutting_down).",
)
BUILD_INFO: Final = Metric(
    "kubenurse_build_info",
    MetricKind.GAUGE,
    "",
    ("version", "python_version"),
    "1, with what is running.",
)
TELEMETRY_EXPORTS: Final = Metric(
    "kubenurse_telemetry_exports_total",
    MetricKind.COUNTER,
    "{export}",
    ("signal", "result"),
    "OTLP exports by signal (traces, metrics, logs) and result (success, partial, failure).",
)
TELEMETRY_REJECTED_ITEMS: Final = Metric(
    "kubenurse_telemetry_rejected_items_total",
    MetricKind.COUNTER,
    "{item}",
    ("signal",),
    "Spans, data points and log records that a collector rejected from exports that it accepted.",
)
SPANS_DROPPED: Final = Metric(
    "kubenurse_telemetry_spans_dropped_total",
    MetricKind.COUNTER,
    "{span}",
    ("reason",),
    "Spans worth keeping that were not exported (queue_full, rate_limited, export_failed, ...).",
)
SERIES_OVERFLOWED: Final = Metric(
    "kubenurse_telemetry_series_overflowed_total",
    MetricKind.COUNTER,
    "{series}",
    ("metric",),
    "Label sets beyond a metric's limit; their values are counted under otel_metric_overflow.",
)
INVALID_ORIGINS: Final = Metric(
    "kubenurse_invalid_origins_total",
    MetricKind.OBSERVABLE_COUNTER,
    "{request}",
    (),
    "Requests whose origin is no DNS name or no known agent, or came while 10,000 were held.",
)
INVALID_VIEWS: Final = Metric(
    "kubenurse_invalid_views_total",
    MetricKind.OBSERVABLE_COUNTER,
    "{answer}",
    (),
    "Answers of neighbours with a malformed KUBENURSE-VIEW header; such a view is dropped.",
)
KUBERNETES_EVENTS: Final = Metric(
    "kubenurse_kubernetes_events_total",
    MetricKind.OBSERVABLE_COUNTER,
    "{attempt}",
    ("outcome",),
    "Verdicts that this agent was to write as Kubernetes Events (KUBENURSE_EVENTS), by outcome: "
    "written, already_written by another agent, failed.",
)
HTTP_REFUSED: Final = Metric(
    "kubenurse_http_refused_total",
    MetricKind.OBSERVABLE_COUNTER,
    "{refusal}",
    ("reason",),
    "What clients of our server sent and it did not take, by reason.",
)
LOG_LINES_DROPPED: Final = Metric(
    "kubenurse_log_lines_dropped_total",
    MetricKind.OBSERVABLE_COUNTER,
    "{line}",
    (),
    "Log lines that were lost: nobody read standard error in time, or it could not be written.",
)
UNHANDLED_EXCEPTIONS: Final = Metric(
    "kubenurse_unhandled_exceptions_total",
    MetricKind.OBSERVABLE_COUNTER,
    "{exception}",
    ("part",),
    "Bugs: exceptions that nobody foresaw. Each ended one check, answer, round or export alone.",
)
PROCESS_CPU: Final = Metric(
    "process_cpu_seconds_total",
    MetricKind.OBSERVABLE_COUNTER,
    "s",
    (),
    "User and system CPU time of this process.",
    MetricFamily.PROCESS,
)
PROCESS_RSS: Final = Metric(
    "process_resident_memory_bytes",
    MetricKind.GAUGE,
    "By",
    (),
    "Resident memory of this process.",
    MetricFamily.PROCESS,
)
PROCESS_OPEN_FDS: Final = Metric(
    "process_open_fds",
    MetricKind.GAUGE,
    "{file}",
    (),
    "Open file descriptors of this process.",
    MetricFamily.PROCESS,
)
PROCESS_START_TIME: Final = Metric(
    "process_start_time_seconds",
    MetricKind.GAUGE,
    "s",
    (),
    "When this process started, in Unix seconds.",
    MetricFamily.PROCESS,
)

METRICS: Final = tuple(each for each in globals().values() if isinstance(each, Metric))
"""All of the above, in their order."""
