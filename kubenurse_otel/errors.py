"""Why a check is bad: exceptions and statuses -> a bounded error.type, and a sentence.

Owns the one ordered table and the exceptions that the probe raises where Python has none.
Does not decide what is tried or when; imports ssl and socket for their exceptions and codes only.
"""

from __future__ import annotations

import errno
import socket
import ssl
from enum import StrEnum
from http import HTTPStatus
from typing import Final, TypeVar

from kubenurse_otel import semconv
from kubenurse_otel.model import Failure, Phase
from kubenurse_otel.record import record
from kubenurse_otel.tls import verify_codes

AnyError = TypeVar("AnyError", bound=BaseException)


class ErrorType(StrEnum):
    """Every value that ``error.type`` of a check can have."""

    HOST_NOT_FOUND = "host_not_found"
    DNS_TIMEOUT = "dns_timeout"
    DNS_SERVER_FAILURE = "dns_server_failure"
    CONNECTION_REFUSED = "connection_refused"
    HOST_UNREACHABLE = "host_unreachable"
    NETWORK_UNREACHABLE = "network_unreachable"
    NO_LOCAL_PORT = "no_local_port"
    CONNECT_TIMEOUT = "connect_timeout"
    CONNECTION_RESET = "connection_reset"
    PROXY_ERROR = "proxy_error"
    TLS_CERTIFICATE_EXPIRED = "tls_certificate_expired"
    TLS_CERTIFICATE_NOT_YET_VALID = "tls_certificate_not_yet_valid"
    TLS_CERTIFICATE_UNTRUSTED = "tls_certificate_untrusted"
    TLS_CERTIFICATE_INVALID = "tls_certificate_invalid"
    TLS_HOSTNAME_MISMATCH = "tls_hostname_mismatch"
    TLS_HANDSHAKE_TIMEOUT = "tls_handshake_timeout"
    TLS_HANDSHAKE_FAILED = "tls_handshake_failed"
    CREDENTIALS_MISSING = "credentials_missing"
    CREDENTIALS_REFUSED = "credentials_refused"
    RESPONSE_TIMEOUT = "response_timeout"
    CONNECTION_CLOSED_EARLY = "connection_closed_early"
    MALFORMED_RESPONSE = "malformed_response"
    RESPONSE_HEAD_TOO_LARGE = "response_head_too_large"
    RESPONSE_TOO_COSTLY = "response_too_costly"
    HTTP_STATUS = "http_status"
    UNEXPECTED_ANSWER = "unexpected_answer"
    WRONG_PEER = "wrong_peer"
    FULL_SIZE_LOST = "full_size_lost"
    """Full-size segments vanish and small ones pass (probe/full_size.py)."""
    OWN_TIMEOUT = "own_timeout"
    UNHANDLED_EXCEPTION = "unhandled_exception"
    """A bug of ours (unhandled.py): says nothing about the far end."""
    OTHER = "_OTHER"


# --- exceptions, where Python has none ------------------------------------------------------------


class CheckError(Exception):
    """A way to fail that Python has no exception for.

    Its text goes into the message: written by us, never copied from a URL. What it quotes of an
    answer is a few bytes of text.printable, and never where our own request may be echoed.
    """


class ProxyRefusedError(CheckError):
    """The proxy did not open the tunnel (it answered CONNECT with something other than 2xx)."""


class CredentialsMissingError(CheckError):
    """The target wants the service account's token; there is none, or no safe way to send it."""


class ClosedEarlyError(CheckError):
    """The far end ended the connection before its answer was whole."""


class MalformedResponseError(CheckError):
    """What came is not HTTP/1.1."""


class ResponseHeadTooLargeError(CheckError):
    """The answer's status line and headers go on beyond the bound that we set for them."""


class TooCostlyError(CheckError):
    """What the far end sends is made of so many pieces that reading on would hold up others."""


class NotDnsError(CheckError):
    """What came from a DNS server is no sound answer."""


class ServerSilentError(TimeoutError):
    """A DNS server that is checked did not answer."""


class SilentByTcpError(ServerSilentError):
    """By UDP it answered, with the bit that says: the whole by TCP. There it did not answer."""


class NoLocalPortError(OSError):
    """EADDRNOTAVAIL though this node has an address to connect from: it lacks a free port."""


class WindowClosedError(TimeoutError):
    """Time was up, and the far end let us send nothing, or not all. Its text is written by us."""


class NotLeftError(TimeoutError):
    """Time was up, and a queue or a rule of this node kept what we sent. Its text is ours, too."""


class UnfinishedError(TimeoutError):
    """Time was up, and all that had come was an interim answer (1xx). Its text is ours, too."""


class ToldUnreachableError(OSError):
    """An ICMP error in answer to our SYN: somebody on the way says no, not this node's routes."""


class NameServersError(socket.gaierror):
    """As getaddrinfo has it; its text is ours: which server did what."""


class NameServersSilentError(TimeoutError):
    """No name server answered anything. Its text is ours, too."""


class OwnTimeoutError(CheckError):
    """Time was up, and most of it had gone by in our own process."""


# --- exception -> error.type ----------------------------------------------------------------------


@record(frozen=True, slots=True)
class Rule:
    """``error`` in one of ``phases`` (None: any) with one of ``codes`` (None: any) is a ``type``.

    ``codes`` are errnos, X509_V_ERR_* of a failed verification or EAI_* of a look-up.
    ``at_least_seconds`` is how long the step must have taken.
    """

    error: type[BaseException]
    type: ErrorType
    codes: frozenset[int] | None = None
    phases: frozenset[Phase] | None = None
    at_least_seconds: float = 0.0

    def fits(self, error: BaseException, phase: Phase, elapsed_seconds: float) -> bool:
        return (
            isinstance(error, self.error)
            and (self.phases is None or phase in self.phases)
            and (self.codes is None or code(error) in self.codes)
            and elapsed_seconds >= self.at_least_seconds
        )


_DNS: Final = frozenset({Phase.DNS})
_CONNECT: Final = frozenset({Phase.CONNECT})
_TLS: Final = frozenset({Phase.TLS})
_RECEIVE: Final = frozenset({Phase.RECEIVE})

# No look-up that took less can be a time-out: resolv.conf(5) counts `timeout` in whole seconds.
_SHORTEST_RESOLVER_TIMEOUT_SECONDS: Final = 1.0

# Our own process or node is short of something; says nothing about the far end.
_OWN_SHORTAGE: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.ENOSPC}
)
# What connect(2) answers for routes that lead nowhere: no route, `blackhole` (EINVAL), `prohibit`
# (EACCES), a policy hook of this node (EPERM), or no address of our own of that family.
_NO_WAY_OUT: Final = frozenset(
    {
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.EINVAL,
        errno.EACCES,
        errno.EPERM,
        errno.EAFNOSUPPORT,
        errno.EADDRNOTAVAIL,
    }
)

TOLD_UNREACHABLE: Final = frozenset(
    {errno.ENETUNREACH, errno.EACCES, errno.ENOPROTOOPT, errno.EOPNOTSUPP, errno.EPROTO}
)
"""What ICMP leaves in SO_ERROR; connect(2) itself answers two of them for this node's own routes.

From icmp_err_convert (net/ipv4/icmp.c) and icmpv6_err_convert (net/ipv6/icmp.c) of Linux: a
firewall's "administratively prohibited" is EHOSTUNREACH by IPv4 and EACCES by IPv6.
"""

RULES: Final = (
    # What we raise ourselves.
    Rule(OwnTimeoutError, ErrorType.OWN_TIMEOUT),
    Rule(ProxyRefusedError, ErrorType.PROXY_ERROR),
    Rule(CredentialsMissingError, ErrorType.CREDENTIALS_MISSING),
    Rule(MalformedResponseError, ErrorType.MALFORMED_RESPONSE),
    Rule(NotDnsError, ErrorType.MALFORMED_RESPONSE),
    Rule(ResponseHeadTooLargeError, ErrorType.RESPONSE_HEAD_TOO_LARGE),
    Rule(TooCostlyError, ErrorType.RESPONSE_TOO_COSTLY),
    Rule(ClosedEarlyError, ErrorType.TLS_HANDSHAKE_FAILED, phases=_TLS),
    Rule(ClosedEarlyError, ErrorType.CONNECTION_CLOSED_EARLY),
    # Time. ETIMEDOUT of the kernel is a TimeoutError too.
    Rule(TimeoutError, ErrorType.DNS_TIMEOUT, phases=_DNS),
    Rule(TimeoutError, ErrorType.CONNECT_TIMEOUT, phases=_CONNECT),
    Rule(TimeoutError, ErrorType.TLS_HANDSHAKE_TIMEOUT, phases=_TLS),
    Rule(TimeoutError, ErrorType.RESPONSE_TIMEOUT),
    # Names. Our own resolver knows what it met.
    Rule(
        NameServersError,
        ErrorType.DNS_SERVER_FAILURE,
        codes=frozenset({socket.EAI_AGAIN, socket.EAI_FAIL}),
    ),
    # glibc answers EAI_AGAIN to SERVFAIL, REFUSED and silence alike; only time tells.
    Rule(
        socket.gaierror,
        ErrorType.DNS_TIMEOUT,
        codes=frozenset({socket.EAI_AGAIN}),
        at_least_seconds=_SHORTEST_RESOLVER_TIMEOUT_SECONDS,
    ),
    Rule(
        socket.gaierror,
        ErrorType.DNS_SERVER_FAILURE,
        codes=frozenset({socket.EAI_AGAIN, socket.EAI_FAIL}),
    ),
    Rule(
        socket.gaierror,
        ErrorType.HOST_NOT_FOUND,
        codes=frozenset(
            {socket.EAI_NONAME, socket.EAI_NODATA, socket.EAI_ADDRFAMILY, socket.EAI_FAMILY}
        ),
    ),
    Rule(socket.gaierror, ErrorType.OTHER),
    Rule(UnicodeError, ErrorType.HOST_NOT_FOUND, phases=_DNS),  # a label over 63 bytes, or empty
    # Certificates, then the rest of TLS.
    Rule(
        ssl.SSLCertVerificationError,
        ErrorType.TLS_CERTIFICATE_EXPIRED,
        codes=verify_codes.HAS_EXPIRED,
    ),
    Rule(
        ssl.SSLCertVerificationError,
        ErrorType.TLS_CERTIFICATE_NOT_YET_VALID,
        codes=verify_codes.NOT_YET_VALID,
    ),
    Rule(
        ssl.SSLCertVerificationError,
        ErrorType.TLS_HOSTNAME_MISMATCH,
        codes=verify_codes.NAME_MISMATCH,
    ),
    Rule(
        ssl.SSLCertVerificationError,
        ErrorType.TLS_CERTIFICATE_UNTRUSTED,
        codes=verify_codes.UNTRUSTED,
    ),
    Rule(ssl.SSLCertVerificationError, ErrorType.OTHER, codes=verify_codes.OWN_TROUBLE),
    Rule(ssl.SSLCertVerificationError, ErrorType.TLS_CERTIFICATE_INVALID),
    Rule(ssl.SSLEOFError, ErrorType.TLS_HANDSHAKE_FAILED, phases=_TLS),
    Rule(ssl.SSLZeroReturnError, ErrorType.TLS_HANDSHAKE_FAILED, phases=_TLS),
    Rule(ssl.SSLEOFError, ErrorType.CONNECTION_CLOSED_EARLY),
    Rule(ssl.SSLZeroReturnError, ErrorType.CONNECTION_CLOSED_EARLY),
    Rule(ssl.SSLError, ErrorType.MALFORMED_RESPONSE, phases=_RECEIVE),
    # Also after the handshake: with TLS 1.3 the far end's refusal comes with the first read.
    Rule(ssl.SSLError, ErrorType.TLS_HANDSHAKE_FAILED),
    # The kernel's word.
    Rule(NoLocalPortError, ErrorType.NO_LOCAL_PORT),
    Rule(ToldUnreachableError, ErrorType.HOST_UNREACHABLE),
    Rule(OSError, ErrorType.OTHER, codes=_OWN_SHORTAGE),
    Rule(OSError, ErrorType.DNS_SERVER_FAILURE, phases=_DNS),
    Rule(ConnectionRefusedError, ErrorType.CONNECTION_REFUSED),
    Rule(ConnectionError, ErrorType.CONNECTION_RESET),  # reset, aborted, broken pipe
    Rule(
        OSError,
        ErrorType.HOST_UNREACHABLE,
        codes=frozenset({errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENONET}),
    ),
    Rule(OSError, ErrorType.NETWORK_UNREACHABLE, codes=_NO_WAY_OUT, phases=_CONNECT),
    Rule(
        OSError,
        ErrorType.NETWORK_UNREACHABLE,
        codes=frozenset({errno.ENETUNREACH, errno.ENETDOWN}),
    ),
    Rule(BaseException, ErrorType.OTHER),
)
"""The first that fits, counts."""

# --- error.type -> a sentence ---------------------------------------------------------------------

SENTENCES: Final = {
    ErrorType.HOST_NOT_FOUND: "DNS knows no address for {target}{detail}: look at the name, at "
    "the Service behind it and at the search path in resolv.conf",
    ErrorType.DNS_TIMEOUT: "DNS did not answer in time for {target}{detail}: look at the DNS pods, "
    "at the way from this node to them and, for a name outside of the cluster, at their upstream: "
    "while that is silent CoreDNS answers nothing for seconds",
    ErrorType.DNS_SERVER_FAILURE: "the DNS server failed on {target}{detail}: look at the DNS pods "
    "and at their upstream",
    ErrorType.CONNECTION_REFUSED: "{target} refused the connection{detail}: nothing listens on "
    "that port there, or a firewall rejects it",
    ErrorType.HOST_UNREACHABLE: "no way to the host of {target}{detail}: the host is down, its "
    "pod is gone, or a router or firewall on the way says so",
    ErrorType.NETWORK_UNREACHABLE: "this node has no way to the network of {target}{detail}: look "
    "at its routes, its CNI, its address family and its network policies",
    ErrorType.NO_LOCAL_PORT: "this pod has no free local port to connect to {target} from{detail}: "
    "it says nothing about the far end; look at net.ipv4.ip_local_port_range and at what holds the "
    "ports (ss -tan, TIME-WAIT too)",
    ErrorType.CONNECT_TIMEOUT: "{target} did not answer the connection attempt in time{detail}: "
    "packets are dropped on the way, or the host is down or overloaded",
    ErrorType.CONNECTION_RESET: "the connection to {target} was reset while {doing}{detail}: the "
    "far end's process died or refused, or something in between cut it",
    ErrorType.PROXY_ERROR: "{target} did not open a tunnel{detail}: look at the proxy's log and "
    "rules, and with 407 at user and password in HTTPS_PROXY",
    ErrorType.TLS_CERTIFICATE_EXPIRED: "the certificate of {target} has expired, or its CA's"
    "{detail}: renew it, and look at why its renewal did not happen",
    ErrorType.TLS_CERTIFICATE_NOT_YET_VALID: "the certificate of {target} is not valid yet"
    "{detail}: compare the clocks of this node and of the issuer",
    ErrorType.TLS_CERTIFICATE_UNTRUSTED: "the certificate of {target} is not trusted{detail}: its "
    "CA must be in the system's bundle, in ca.crt or in KUBENURSE_EXTRA_CA",
    ErrorType.TLS_CERTIFICATE_INVALID: "the certificate of {target}, or its CA's, is not acceptable"
    "{detail}: issue a new one; trusting another CA does not help",
    ErrorType.TLS_HOSTNAME_MISMATCH: "the certificate of {target} is for another name{detail}: "
    "look at its subject alternative names (its common name does not count)",
    ErrorType.TLS_HANDSHAKE_TIMEOUT: "{target} accepted the connection and did not finish the TLS "
    "handshake in time{detail}: its process hangs, or large packets are lost (MTU)",
    ErrorType.TLS_HANDSHAKE_FAILED: "the TLS handshake with {target} failed{detail}: look at "
    "whether it speaks TLS on this port, and at its versions and ciphers",
    ErrorType.CREDENTIALS_MISSING: "no credentials for {target}{detail}: look at the service "
    "account's token and ca.crt in this pod",
    ErrorType.CREDENTIALS_REFUSED: "{target} refuses our token: {detail}",
    ErrorType.RESPONSE_TIMEOUT: "{target} took the connection and did not answer in time, {doing}"
    "{detail}: its process, or what it passes requests on to, hangs or is overloaded",
    ErrorType.CONNECTION_CLOSED_EARLY: "{target} closed the connection while {doing}{detail}: look "
    "at its log, at its restarts and at the proxies on the way",
    ErrorType.MALFORMED_RESPONSE: "{target} answered something that is not sound HTTP/1.1{detail}: "
    "look at what listens there",
    ErrorType.RESPONSE_HEAD_TOO_LARGE: "the head of the answer of {target} is too large{detail}: "
    "look at its cookies and other headers, and at what a proxy on the way adds",
    ErrorType.RESPONSE_TOO_COSTLY: "reading the answer of {target} is too much work for this agent"
    "{detail}: look at what listens there, a healthy server does not do this",
    ErrorType.HTTP_STATUS: "{target} answered with {detail}: look at its log",
    ErrorType.UNEXPECTED_ANSWER: "{target} answered {detail}: look at what it serves, at its "
    "upstream, and at what the check expects",
    ErrorType.WRONG_PEER: "another node's agent answered at {target} ({detail}): an address is "
    "given twice (IPAM, pod CIDRs), a route or NAT rule leads elsewhere, or a static neighbour's "
    "nodeName is not its KUBENURSE_NODE_NAME",
    ErrorType.FULL_SIZE_LOST: "{target} answers small packets and no full-size ones{detail}: "
    "something on the way carries less than the MTU says (overlay, VPN, uplink, a bond's member), "
    "and its ICMP 'packet too big' does not arrive; compare ip link at both nodes, try tracepath",
    ErrorType.OWN_TIMEOUT: "this agent was too slow itself to finish the check of {target}"
    "{detail}: look at its CPU limit and its node's load",
    ErrorType.UNHANDLED_EXCEPTION: "a bug of this agent ended the check of {target}{detail}: it "
    "says nothing about the far end, and the traceback is in this agent's log",
    ErrorType.OTHER: "the check of {target} failed while {doing}{detail}: an error that this agent "
    "has no type for, look at its log",
}

_REMEDIES: Final[dict[int, str]] = {
    HTTPStatus.UNAUTHORIZED: "it is expired, revoked or of another cluster; look at the token in "
    "this pod and at its ServiceAccount",
    HTTPStatus.FORBIDDEN: "the ServiceAccount lacks a role; look at the chart's RBAC and at who "
    "changed it",
}
"""What to do about a token that is refused: not known (401), or not allowed (403)."""

_STALLED: Final = {
    ErrorType.TLS_HANDSHAKE_TIMEOUT: "{target} accepted the connection and did not finish the TLS "
    "handshake in time{detail}: look at the way to it, small packets pass and large ones may not "
    "(MTU)",
    ErrorType.RESPONSE_TIMEOUT: "{target} took the connection and did not answer in time, {doing}"
    "{detail}: look at the way to it before its process",
}
"""Time-outs of connections on which we had to send again: nothing proves that the far end hangs."""

_OF_AN_ERROR: Final[dict[type[BaseException], str]] = {
    ServerSilentError: "{target} did not answer the query in time{detail}: look at the DNS server "
    "there, and at the way to it and back, small as the packets are",
    SilentByTcpError: "{target} answers by UDP, truncated, and is silent by TCP{detail}: look at "
    "firewalls and network policies that let UDP pass and not TCP, and at the DNS server there",
    NotDnsError: "{target} answered something that is no sound DNS message{detail}: look at what "
    "listens there",
    WindowClosedError: "{target} took the connection and keeps its window closed, {doing}{detail}: "
    "a SYN proxy on the way that does not reach the server, or a process that does not read",
    NotLeftError: "what was sent to {target} did not leave this node in time, {doing}{detail}: it "
    "says nothing about the far end; look at this node's queues (tc -s qdisc), at its firewall "
    "(nft list ruleset) and its network policies",
}
"""Where one type has several sentences: of DNS, and of whoever kept our bytes."""

_DOING: Final = {
    Phase.DNS: "looking up its name",
    Phase.CONNECT: "connecting",
    Phase.TLS: "making the TLS handshake",
    Phase.REQUEST: "waiting for the answer",
    Phase.RECEIVE: "reading the answer",
    Phase.STATUS: "judging the answer",
}
_ALERTS: Final = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a client certificate, and checks have none",
}
"""What an alert means to us, by OpenSSL's name for it."""
_SENDING: Final = "sending the request"

_EVENTS: Final = {
    Phase.DNS: semconv.EVENT_DNS_DONE,
    Phase.CONNECT: semconv.EVENT_CONNECT_DONE,
    Phase.TLS: semconv.EVENT_TLS_DONE,
}

_REGISTERED: Final = frozenset(HTTPStatus)
"""As Python has IANA's registry (RFC 9110 section 16.2)."""
_PROXY_WANTS_CREDENTIALS: Final = (
    "the proxy on the way to {target} answered with {detail}: look at user and password in "
    "HTTP_PROXY"
)
_LEADS_AWAY: Final = (
    "{target} answered with {detail}, which leads to {leads_to}: no check follows it; have that "
    "asked, or expect the status"
)
_FOR_ITS_BACKEND: Final = (
    "{target} answered with {detail} for a backend that gave it no sound answer: look at the pods "
    "and endpoints behind it, then at its own log (an ingress, a load balancer, a mesh's proxy)"
)
_NO_ROUTE: Final = (
    "{target} answered with {detail}: look at host, path and class of the Ingress and at the "
    "endpoints of its Service (without any, Traefik says so), then at its own log"
)
_NO_SUCH_PATH: Final = (
    "{target} answered with {detail}, which has no such path: look at the URL of the check, and at "
    "what changes paths in front of the agent (an Ingress's rewrite rule)"
)
_MAX_TARGET_CHARACTERS: Final = 280  # a DNS name is at most 253, then the port
_MAX_DETAIL_CHARACTERS: Final = 160


# --- error or answer -> Failure -------------------------------------------------------------------


def failure(
    error: BaseException,
    phase: Phase,
    *,
    target: str,
    is_proxy: bool = False,
    writing: bool = False,
    elapsed_seconds: float = 0.0,
    retransmits: int | None = None,
) -> Failure:
    """Say what ``error`` in ``phase`` means.

    ``target`` is host:port, as people write it. ``is_proxy``: it is the proxy on
    the way, whose address the reader does not find among the targets. ``writing``: the request was
    not all sent. ``elapsed_seconds``: how long the step took (a look-up needs it, see RULES).
    ``retransmits``: segments that were sent again, which the message of a time-out tells (None:
    nobody knows).
    """
    error_type = next(rule.type for rule in RULES if rule.fits(error, phase, elapsed_seconds))
    sentence = SENTENCES[error_type]
    if retransmits:
        sentence = _STALLED.get(error_type, sentence)
    return Failure(
        error_type=error_type,
        phase=phase,
        event=_event(phase, writing=writing),
        message=_sentence(
            _OF_AN_ERROR.get(type(error), sentence),
            f"the proxy {target}" if is_proxy else target,
            detail=_detail(error, retransmits),
            doing=_SENDING if writing and phase is Phase.REQUEST else _DOING[phase],
        ),
    )


def status_failure(
    status_code: int,
    *,
    target: str,
    with_token: bool = False,
    leads_to: str = "",
    gateway: str | None = None,
    answering_node: str = "",
) -> Failure:
    """Say what is wrong with a whole answer whose status is not the expected one.

    ``with_token``: the service account's token was sent. That it is refused is no fault of whoever
    says so. ``leads_to``: where a redirect does. ``gateway``: a proxy answered in the place of its
    backend, and is called so by its Server header, if by anything. ``answering_node``: an agent
    answered, on that node.
    """
    error_type, detail = ErrorType.HTTP_STATUS, f"status {status_code}"
    if with_token and status_code in _REMEDIES:
        error_type, detail = ErrorType.CREDENTIALS_REFUSED, f"{detail}, {_REMEDIES[status_code]}"
    sentence = SENTENCES[error_type]
    if status_code == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:  # RFC 9110 section 15.5.8
        sentence = _PROXY_WANTS_CREDENTIALS
    elif leads_to:
        sentence = _LEADS_AWAY
    elif gateway is not None:
        sentence = _NO_ROUTE if status_code == HTTPStatus.NOT_FOUND else _FOR_ITS_BACKEND
        detail += f" (Server: {gateway})" if gateway else ""
    elif answering_node:
        detail += f" by the agent on node {answering_node}"
        if status_code == HTTPStatus.NOT_FOUND:
            sentence = _NO_SUCH_PATH
    event = semconv.EVENT_STATUS_CODE_PREFIX + status_word(status_code)
    message = sentence.format(target=target, detail=detail, leads_to=leads_to)
    return _not_expected(error_type, message, event)


def unexpected_answer_failure(*, target: str, told: str, wanted: str) -> Failure:
    """Say that a DNS server's answer is not the expected one."""
    detail = f"{told[:_MAX_DETAIL_CHARACTERS]} (expected {wanted[:_MAX_DETAIL_CHARACTERS]})"
    sentence = SENTENCES[ErrorType.UNEXPECTED_ANSWER]
    return _not_expected(ErrorType.UNEXPECTED_ANSWER, sentence.format(target=target, detail=detail))


def wrong_peer_failure(*, expected: str, answered: str, target: str) -> Failure:
    """Say that another node's agent answered. ``expected`` and ``answered`` are node names."""
    detail = f"expected node {expected}, answered node {answered}"
    sentence = SENTENCES[ErrorType.WRONG_PEER]
    return _not_expected(ErrorType.WRONG_PEER, sentence.format(target=target, detail=detail))


def full_size_failure(
    stalled: Failure, *, target: str, bytes_each: int, pmtu: int, small_bytes: int, is_sent: bool
) -> Failure:
    """Say that segments of ``bytes_each`` vanish, where those of ``small_bytes`` pass.

    ``stalled`` is how the check failed. ``is_sent``: those that we send; else those of the answer.
    ``pmtu`` is what this kernel takes for the path's MTU.
    """
    way = "to it" if is_sent else "from it"
    detail = (
        f"segments of {bytes_each} bytes {way} vanish, of {small_bytes} they pass; path MTU {pmtu} "
        "by this kernel"
    )
    return Failure(
        error_type=ErrorType.FULL_SIZE_LOST,
        phase=stalled.phase,
        event=stalled.event,
        message=_sentence(
            SENTENCES[ErrorType.FULL_SIZE_LOST], target, detail=detail, doing=_DOING[stalled.phase]
        ),
    )


def unhandled_failure(error: Exception, *, target: str) -> Failure:
    """Say that a bug of ours ended the check, which says nothing about the far end."""
    return Failure(
        error_type=ErrorType.UNHANDLED_EXCEPTION,
        phase=Phase.REQUEST,
        event=semconv.EVENT_ROUND_TRIP_ERROR,
        message=_sentence(
            SENTENCES[ErrorType.UNHANDLED_EXCEPTION],
            target,
            detail=type(error).__name__,
            doing="",
        ),
    )


def status_word(status_code: int) -> str:
    """Return the status as a label: of 900 that a far end can make up, those that are registered.

    Each word is some forty series of a target, which stay as long as the target.
    """
    return str(status_code) if status_code in _REGISTERED else semconv.STATUS_UNREGISTERED


def without_frames(error: AnyError) -> AnyError:
    """Forget, in place, where ``error`` was raised and which other errors led to it; return it.

    Whoever keeps an error keeps every frame that it went through, and they keep it, as a rule: a
    ring, which stays in memory until the garbage collector looks for it.
    """
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error


def code(error: BaseException) -> int | None:
    """X509_V_ERR_* of a failed verification, else EAI_* of a look-up or errno, else None."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return getattr(error, "verify_code", None)
    return error.errno if isinstance(error, OSError) else None


def _not_expected(
    error_type: ErrorType, message: str, event: str = semconv.EVENT_ROUND_TRIP_ERROR
) -> Failure:
    """The answer was whole, and is not the expected one."""
    return Failure(error_type=error_type, phase=Phase.STATUS, event=event, message=message)


def _event(phase: Phase, *, writing: bool) -> str:
    if phase is Phase.REQUEST and writing:
        return semconv.EVENT_WROTE_REQUEST
    return _EVENTS.get(phase, semconv.EVENT_ROUND_TRIP_ERROR)


def _sentence(sentence: str, target: str, *, detail: str, doing: str) -> str:
    detail = f" ({detail[:_MAX_DETAIL_CHARACTERS]})" if detail else ""
    return sentence.format(target=target[:_MAX_TARGET_CHARACTERS], detail=detail, doing=doing)


def _detail(error: BaseException, retransmits: int | None) -> str:
    """Pick a few words of a closed vocabulary, never str() of somebody else's exception."""
    match error:
        case (
            CheckError()
            | WindowClosedError()
            | NotLeftError()
            | UnfinishedError()
            | NameServersSilentError()
        ):
            detail = str(error)
        case ssl.SSLCertVerificationError():
            words = getattr(error, "verify_message", ""), verify_codes.ADVICE.get(code(error) or 0)
            detail = "; ".join(str(word) for word in words if word)
        case ssl.SSLError():
            reason = str(getattr(error, "reason", None) or type(error).__name__)
            detail = "; ".join(filter(None, (reason, _ALERTS.get(reason))))
        case socket.gaierror():
            detail = error.strerror or ""
        case OSError(errno=int() as number):
            detail = errno.errorcode.get(number, f"errno {number}")
        case TimeoutError():
            detail = f"{retransmits} packets sent again: loss on the way" if retransmits else ""
        case _:
            detail = type(error).__name__
    return detail
