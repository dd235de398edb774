"""The shared vocabulary: what crosses from one stage to the next.

Owns the frozen records and enums that every stage may name, and nothing that acts.
Telemetry names live in semconv.py, errors in errors.py.
All durations are seconds (float) unless the name ends in ``_ns``.
"""

from __future__ import annotations

import re
from dataclasses import field, replace
from enum import StrEnum
from typing import Self, TypeAlias

from kubenurse_otel.record import record
from kubenurse_otel.text import bracketed, host_port

# --- words ----------------------------------------------------------------------------------------


class TargetKind(StrEnum):
    """Which of kubenurse's checks a target belongs to."""

    API_SERVER_DIRECT = "api_server_direct"
    API_SERVER_DNS = "api_server_dns"
    ME_INGRESS = "me_ingress"
    ME_SERVICE = "me_service"
    PATH = "path"
    FULL_SIZE = "full_size"
    """A neighbour, with a full-size segment each way."""
    EXPLORE = "explore"
    """An agent that is no neighbour of ours, another one each time."""
    EXTRA = "extra"


class Trust(StrEnum):
    """Which certificate authorities vouch for the far end (and whether INSECURE may apply)."""

    API_SERVER = "api_server"
    """The service account's ca.crt and KUBENURSE_EXTRA_CA; always verified."""
    WORKLOAD = "workload"
    """System CAs, ca.crt and EXTRA_CA; KUBENURSE_INSECURE switches verification off."""


class Auth(StrEnum):
    """What the probe adds to prove who asks; never part of a Target's headers."""

    NONE = "none"
    SERVICE_ACCOUNT_TOKEN = "service_account_token"  # noqa: S105 - the kind of credential, not one


class Outcome(StrEnum):
    """What became of a check."""

    OK = "ok"
    FAILED = "failed"


class Phase(StrEnum):
    """The step of a check: where its time went, or where it failed."""

    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    REQUEST = "request"
    RECEIVE = "receive"
    STATUS = "status"
    """Failures only: the exchange was complete, but its answer (status, node, DNS) was not the
    expected one."""


class NodeState(StrEnum):
    """The Ready condition of a neighbour's node as the API server has it."""

    READY = "ready"
    NOT_READY = "not_ready"
    UNKNOWN = "unknown"


class TimingSource(StrEnum):
    """Who took the times: the kernel, or our own process (user space)."""

    KERNEL = "kernel"
    USER = "user"


class LossDirection(StrEnum):
    """In which direction the lost packets were going, seen from us."""

    OUT = "out"
    IN = "in"
    BOTH = "both"
    UNKNOWN = "unknown"
    """A SYN or its SYN-ACK; neither TCP's time stamps nor the far end show which."""


class FallbackReason(StrEnum):
    """Why user-space marks are used in place of kernel times."""

    NONE = ""
    NO_TIMESTAMPS = "no_timestamps"
    """The socket does not support SO_TIMESTAMPING, or a stamp that we needed never came."""
    NO_TCP_INFO = "no_tcp_info"
    CLOCK_STEP = "clock_step"
    """CLOCK_REALTIME and CLOCK_MONOTONIC moved apart while the check ran."""
    ADDRESS_FAILED = "address_failed"
    """An address before the one that was used failed. Only our own marks say when."""
    IMPLAUSIBLE = "implausible"
    """The kernel's stamps contradict each other or our own marks."""


# --- who: neighbours ------------------------------------------------------------------------------

_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def is_dns_subdomain(name: str) -> bool:
    """Whether ``name`` can be a node's or a pod's name (RFC 1123 subdomain, as Kubernetes has it).

    Everything that becomes a label or a header passes here: at most 253 characters.
    """
    return len(name) <= 253 and _DNS_SUBDOMAIN.fullmatch(name) is not None


@record(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """Another agent, as discovery found it."""

    pod_name: str
    node_name: str
    pod_ip: str
    """The first address; what kubenurse calls PodIP."""
    pod_ips: tuple[str, ...] = ()
    """Every address, one per family, the first one included (empty: only pod_ip)."""
    host_ip: str = ""
    port: int | None = None
    """The port of its listener, if it differs from ours."""
    zone: str = ""
    node_state: NodeState = NodeState.UNKNOWN


@record(frozen=True, slots=True, kw_only=True)
class DnsEndpoint:
    """A server behind the cluster's DNS Service, as an EndpointSlice has it."""

    address: str
    udp_port: int
    tcp_port: int | None = None
    """None: the Service has DNS by UDP only."""
    node_name: str = ""
    """Empty: the slice does not say."""

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.address

    @property
    def text(self) -> str:
        """As people write it: "10.91.1.2 on node-2"."""
        return f"{self.address} on {self.node_name}" if self.node_name else self.address


@record(frozen=True, slots=True, kw_only=True)
class Neighbourhood:
    """Everything discovery knows at one moment. Replaced whole, never changed.

    ``chosen`` are the neighbours to check (the ring's choice, in ring order); ``known`` all
    candidates; ``state`` is "ok" or a sentence that says what is wrong (the last lists stay).
    ``own_node_leaving`` is true while our own node is cordoned, tainted to go, or deleted.
    ``listed_at`` is time.monotonic() of the last word from the source, None before the first.
    """

    chosen: tuple[Neighbour, ...] = ()
    known: tuple[Neighbour, ...] = ()
    agents: tuple[Neighbour, ...] = ()
    """All agents that are listed except ourselves, also those that are leaving or starting."""
    state: str = "discovery has not answered yet"
    own_node_name: str = ""
    own_zone: str = ""
    own_node_leaving: bool = False
    listed_at: float | None = None
    dns_endpoints: tuple[DnsEndpoint, ...] = ()
    """The ready endpoints of the cluster's DNS; empty if discovery does not read them."""


# --- what to check, and how: targets --------------------------------------------------------------

DEFAULT_PORTS = {"http": 80, "https": 443}
TCP = "tcp"
DNS = "dns"
"""The schemes of what is asked without HTTP; for DNS see RFC 4501."""


@record(frozen=True, slots=True, kw_only=True)
class Url:
    """Where a check goes, in its parts, made by config/urls.py or by ``of``; never parsed again.

    ``host`` has no brackets and no capitals. ``request_target`` is path and query as they are sent
    (origin form, RFC 9112 section 3.2.1; empty for tcp). ``text`` is the whole as a person wrote
    it, IPv6 addresses in brackets.
    """

    scheme: str
    host: str
    port: int
    """The scheme's default if the text has no port."""
    request_target: str
    text: str

    @classmethod
    def of(cls, scheme: str, host: str, port: int, path: str) -> Self:
        """Return the URL with these parts; ``path`` begins with a slash and needs no encoding."""
        host = host.strip("[]").lower()
        text = f"{scheme}://{host_port(host, port)}{path}"
        return cls(scheme=scheme, host=host, port=port, request_target=path, text=text)

    def below(self, path: str) -> Self:
        """Return the URL with ``path`` appended; for a base without a query."""
        base = self.request_target.rstrip("/")
        return replace(self, request_target=base + path, text=self.text.rstrip("/") + path)

    @property
    def shown(self) -> str:
        """The text, with ``?...`` in place of an HTTP query, because people put secrets there."""
        if not self.speaks_http:
            return self.text
        shown, asks, _ = self.text.partition("?")
        return f"{shown}?..." if asks else shown

    @property
    def speaks_http(self) -> bool:
        return self.scheme in DEFAULT_PORTS

    @property
    def host_port(self) -> str:
        """Host and port, as people write them."""
        return host_port(self.host, self.port)

    @property
    def authority(self) -> str:
        """The Host header's value: without the scheme's default port (RFC 9110 section 4.2)."""
        return bracketed(self.host) if self.port == DEFAULT_PORTS[self.scheme] else self.host_port

    def __str__(self) -> str:
        return self.shown


@record(frozen=True, slots=True, kw_only=True)
class Proxy:
    """An HTTP proxy to go through; ``scheme`` is for talking to the proxy (http or https)."""

    scheme: str
    host: str
    port: int
    authorization: str = field(default="", repr=False)
    """The Proxy-Authorization header's value, a secret: sent only to the proxy."""


Statuses: TypeAlias = tuple[tuple[int, int], ...]
"""HTTP status codes, as inclusive ranges."""
ONLY_200: Statuses = ((200, 200),)


@record(frozen=True, slots=True, kw_only=True)
class DnsQuery:
    """What a DNS server is asked, and which answer is good.

    ``name`` is absolute, whether it ends in a dot or not. ``addresses``: the answer must have an
    address, and all of its addresses must be among these. Empty: any record of the type is good.
    """

    name: str
    record_type: str
    """As DNS writes it: "A", "AAAA", "TXT"."""
    rcode: str = ""
    """The only good code, such as "NXDOMAIN". Empty: NOERROR with a record is good."""
    addresses: frozenset[str] = frozenset()


@record(frozen=True, slots=True, kw_only=True)
class Target:
    """One thing to check. It is complete: the probe needs no further information.

    ``key`` is unique among targets; ``type`` is the metrics' label (two address families of one
    node share it). ``expect`` are the good status codes of HTTP.
    """

    key: str
    type: str
    kind: TargetKind
    url: Url
    interval_seconds: float
    timeout_seconds: float
    train_seconds: float = 0.0
    """Leaves with one of the trains of this interval, which is a part of its own (plan/ticks.py);
    0: with that of its own."""
    method: str = "GET"
    """HTTP only: GET or HEAD."""
    expect: Statuses = ONLY_200
    tls: bool = False
    """tcp: whether to make a TLS handshake (https always does)."""
    query: DnsQuery | None = None
    """dns: what is asked."""
    trust: Trust = Trust.WORKLOAD
    auth: Auth = Auth.NONE
    server_name: str | None = None
    """SNI and the name to verify, if it is not the URL's host."""
    headers: tuple[tuple[str, str], ...] = ()
    """Sent as they are (path checks: KUBENURSE-NEIGHBOUR-ORIGIN)."""
    propagate: bool = False
    """Whether traceparent is sent."""
    answered_by_agent: bool = False
    """me_*, path: the answer's agent headers (node name, Server-Timing) are believed."""
    detect_interception: bool = False
    """path: there should be nothing in between. An answer shows a proxy if it has no agent's node
    name, if it has a proxy's headers, or if its agent was asked from a port that is not ours."""
    reuse_connection: bool = False
    full_size: bool = False
    """Send a full-size segment, and ask for one (probe/full_size.py)."""
    most_segment_bytes: int | None = None
    """The largest segment that we send and ask for; None: the kernel decides by the path."""
    proxy: Proxy | None = None
    neighbour: Neighbour | None = None

    @property
    def uses_tls(self) -> bool:
        """Whether TLS is used with the far end itself (and not only with a proxy)."""
        return self.tls or self.url.scheme == "https"

    def expects(self, status_code: int) -> bool:
        return any(lowest <= status_code <= highest for lowest, highest in self.expect)


# --- what came of it: results ---------------------------------------------------------------------


@record(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a check is bad. Bounded: every field except ``message`` is from a closed set."""

    error_type: str
    """A value of errors.ErrorType."""
    phase: Phase
    event: str
    """kubenurse's event label: dns_done ... wrote_request, status_code_NNN, round_trip_error."""
    message: str
    """A sentence for people; holds no secret and no query string."""


@record(frozen=True, slots=True, kw_only=True)
class Split:
    """Where a check's time went, in seconds; None where the step did not happen.

    dns + connect + tls + request is kubenurse's request duration. request is request_egress +
    request_loss + network_round_trip + far_end; far_end is far_end_wait + far_end_app + rest.
    ``egress`` is the time in queues and rules of this node, ``loss`` the time that retransmissions
    took, in connect, tls and request together (the SYN's own egress cannot be known).
    ``loss_out`` and ``loss_in`` are the parts of ``loss`` whose direction is known.
    ``own_delay`` is in none of the others.
    """

    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    request: float | None = None
    receive: float | None = None
    """First to last byte of the answer; not part of kubenurse's duration."""
    egress: float | None = None
    """How long this node's network kept what we sent; None: the kernel does not tell."""
    egress_queue: float | None = None
    """The part of ``egress`` in a device's queue."""
    request_egress: float | None = None
    """The part of ``egress`` that is in ``request``."""
    loss: float | None = None
    """None: unknown, because we sent again and the peer could not say that it had it already."""
    loss_out: float | None = None
    """The part in which what we sent was lost, and sent again."""
    loss_in: float | None = None
    """The part in which what the far end sent was lost: its SYN-ACK or its answer."""
    request_loss: float | None = None
    """The part of ``loss`` that is in ``request``."""
    network_round_trip: float | None = None
    far_end: float | None = None
    far_end_wait: float | None = None
    far_end_app: float | None = None
    own_delay: float | None = None

    def told(
        self,
        *,
        loss_out: float | None,
        loss_in: float | None,
        far_end_wait: float | None,
        far_end_app: float | None,
    ) -> Self:
        """Return a copy with the figures that only the far end can tell."""
        return type(self)(  # not dataclasses.replace, which takes ten times as long
            dns=self.dns,
            connect=self.connect,
            tls=self.tls,
            request=self.request,
            receive=self.receive,
            egress=self.egress,
            egress_queue=self.egress_queue,
            request_egress=self.request_egress,
            loss=self.loss,
            loss_out=loss_out,
            loss_in=loss_in,
            request_loss=self.request_loss,
            network_round_trip=self.network_round_trip,
            far_end=self.far_end,
            far_end_wait=far_end_wait,
            far_end_app=far_end_app,
            own_delay=self.own_delay,
        )

    @property
    def loss_direction(self) -> LossDirection | None:
        """In which direction the lost packets were going; None: no known loss."""
        if not self.loss:
            return None
        if self.loss_out and self.loss_in:
            return LossDirection.BOTH
        if self.loss_out or self.loss_in:
            return LossDirection.OUT if self.loss_out else LossDirection.IN
        return LossDirection.UNKNOWN

    @property
    def duration(self) -> float:
        """Sum of dns, connect, tls and request: kubenurse_httpclient_request_duration_seconds."""
        return (self.dns or 0.0) + (self.connect or 0.0) + (self.tls or 0.0) + (self.request or 0.0)


@record(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What was measured of one exchange, whether it succeeded or not."""

    split: Split
    offsets: tuple[tuple[str, float], ...] = ()
    """(event name, seconds since the start on the line where our process takes no time)."""
    real_offsets: tuple[float, ...] = ()
    """The same events in the same order, in seconds since the start on the real time line."""
    timing_source: TimingSource = TimingSource.KERNEL
    fallback_reason: FallbackReason = FallbackReason.NONE
    round_trip_source: str = ""
    """request_ack, hello_ack or min_rtt."""
    status_code: int | None = None
    answer: str = ""
    """Checks without HTTP: "connected", or the code of a DNS server's answer ("NXDOMAIN")."""
    addresses: tuple[str, ...] = ()
    """dns: the addresses in the answer."""
    dns_tries: int = 0
    """dns: how often the query was sent."""
    look_up_queries: int = 0
    """How many queries our own resolver needed to find the name; 0: unknown."""
    detour: float = 0.0
    """Seconds of that look-up that were spent on other names of the search path."""
    transport: str = "tcp"
    """tcp, or udp."""
    peer_address: str = ""
    peer_port: int = 0
    connection_reused: bool = False
    retransmits: int | None = None
    """Segments sent again; None: the kernel does not count them."""
    dsacks: int = 0
    """Segments that the peer got twice; 0 also if the kernel does not count (``retransmits``)."""
    lost: int = 0
    """Segments that the kernel holds for lost (tcpi_lost); 0 also if it does not count."""
    rtt: float | None = None
    min_rtt: float | None = None
    pmtu: int | None = None
    send_mss: int | None = None
    """Bytes of a full segment that we sent, at the end."""
    padding: int | None = None
    """Bytes of padding that made the request full-size; None: no full-size check."""
    answered_padding: int = 0
    """Bytes of padding in the answer; 0 from an older agent, or from one that does not know us."""
    synack_retransmits: int | None = None
    """How often the far end had to send its SYN-ACK again, as it reports."""
    address_failures: tuple[str, ...] = ()
    """Families ("ipv4", "ipv6") of addresses that failed before one was used."""
    certificate_expiry: float | None = None
    """notAfter of the far end's certificate, Unix seconds."""
    answering_node: str = ""
    view: str = ""
    """The KUBENURSE-VIEW header of the neighbour that was asked, as it came: what it sees."""
    intercepted: bool = False

    @property
    def is_timed(self) -> bool:
        """False if no step took a time: a refused connection, an unknown host."""
        was_asked = self.transport == "tcp" or self.dns_tries > 0
        return self.split.dns is not None or (bool(self.peer_address) and was_asked)

    @property
    def word(self) -> str:
        """The answer in one word: status, "connected" or DNS code; empty: no answer."""
        return self.answer if self.status_code is None else str(self.status_code)


@record(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """The outcome of one check of one target."""

    target: Target
    outcome: Outcome
    started_at: float
    """Unix seconds, for people; no duration is made from it."""
    failure: Failure | None = None
    measurement: Measurement | None = None
    trace_id: str = ""
    """32 hex digits, empty without a trace."""
    span_id: str = ""
    """Of the root span: 16 hex digits, empty without a trace."""
