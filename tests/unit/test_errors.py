"""kubenurse_otel.errors: real exceptions of the kernel, ssl and glibc in, bounded words out."""

from __future__ import annotations

import errno
import re
import socket
import ssl

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kubenurse_otel import errors, semconv
from kubenurse_otel.errors import ErrorType
from kubenurse_otel.model import Phase

SECRET = "s3cr3t"
TARGET = "api.test:6443"


def verification_error(verify_code: int, message: str = "why") -> ssl.SSLCertVerificationError:
    """As CPython's _ssl raises it (Modules/_ssl.c fill_and_set_sslerror)."""
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED]")
    error.reason = "CERTIFICATE_VERIFY_FAILED"
    error.verify_code = verify_code
    error.verify_message = message
    return error


def os_error(number: int) -> OSError:
    """The subclass that Python makes of an errno (ConnectionRefusedError, TimeoutError...)."""
    return OSError(number, "words of the kernel")


CASES = [
    (socket.gaierror(socket.EAI_NONAME, "x"), Phase.DNS, "host_not_found"),
    (socket.gaierror(socket.EAI_NODATA, "x"), Phase.DNS, "host_not_found"),
    (socket.gaierror(socket.EAI_ADDRFAMILY, "x"), Phase.DNS, "host_not_found"),
    (socket.gaierror(socket.EAI_AGAIN, "x"), Phase.DNS, "dns_server_failure"),
    (socket.gaierror(socket.EAI_FAIL, "x"), Phase.DNS, "dns_server_failure"),
    (socket.gaierror(socket.EAI_MEMORY, "x"), Phase.DNS, "_OTHER"),
    (UnicodeError("label too long"), Phase.DNS, "host_not_found"),
    (TimeoutError(), Phase.DNS, "dns_timeout"),
    (os_error(errno.ECONNREFUSED), Phase.DNS, "dns_server_failure"),
    (os_error(errno.EMFILE), Phase.DNS, "_OTHER"),
    (os_error(errno.ECONNREFUSED), Phase.CONNECT, "connection_refused"),
    (os_error(errno.EHOSTUNREACH), Phase.CONNECT, "host_unreachable"),
    (os_error(errno.EHOSTUNREACH), Phase.REQUEST, "host_unreachable"),
    (os_error(errno.ENETUNREACH), Phase.CONNECT, "network_unreachable"),
    (os_error(errno.ENETUNREACH), Phase.REQUEST, "network_unreachable"),
    (os_error(errno.EINVAL), Phase.CONNECT, "network_unreachable"),
    (os_error(errno.EACCES), Phase.CONNECT, "network_unreachable"),
    (errors.ToldUnreachableError(errno.EACCES, "words"), Phase.CONNECT, "host_unreachable"),
    (os_error(errno.EINVAL), Phase.REQUEST, "_OTHER"),
    (os_error(errno.EADDRNOTAVAIL), Phase.CONNECT, "network_unreachable"),
    (
        errors.NoLocalPortError(errno.EADDRNOTAVAIL, "words"),
        Phase.CONNECT,
        "no_local_port",
    ),
    (os_error(errno.ETIMEDOUT), Phase.CONNECT, "connect_timeout"),
    (TimeoutError(), Phase.CONNECT, "connect_timeout"),
    (os_error(errno.ECONNRESET), Phase.CONNECT, "connection_reset"),
    (os_error(errno.ECONNRESET), Phase.TLS, "connection_reset"),
    (os_error(errno.ECONNRESET), Phase.REQUEST, "connection_reset"),
    (os_error(errno.EPIPE), Phase.REQUEST, "connection_reset"),
    (os_error(errno.ECONNABORTED), Phase.RECEIVE, "connection_reset"),
    (os_error(errno.EMFILE), Phase.CONNECT, "_OTHER"),
    (verification_error(10), Phase.TLS, "tls_certificate_expired"),
    (verification_error(9), Phase.TLS, "tls_certificate_not_yet_valid"),
    (verification_error(18), Phase.TLS, "tls_certificate_untrusted"),
    (verification_error(19), Phase.TLS, "tls_certificate_untrusted"),
    (verification_error(20), Phase.TLS, "tls_certificate_untrusted"),
    (verification_error(23), Phase.TLS, "tls_certificate_invalid"),
    (verification_error(62), Phase.TLS, "tls_hostname_mismatch"),
    (verification_error(64), Phase.TLS, "tls_hostname_mismatch"),
    (ssl.SSLCertVerificationError("no code"), Phase.TLS, "tls_certificate_invalid"),
    (TimeoutError(), Phase.TLS, "tls_handshake_timeout"),
    (ssl.SSLEOFError(8, "x"), Phase.TLS, "tls_handshake_failed"),
    (ssl.SSLZeroReturnError(6, "x"), Phase.TLS, "tls_handshake_failed"),
    (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), Phase.TLS, "tls_handshake_failed"),
    (ssl.SSLError(1, "certificate required"), Phase.REQUEST, "tls_handshake_failed"),
    (errors.ClosedEarlyError("x"), Phase.TLS, "tls_handshake_failed"),
    (ssl.SSLEOFError(8, "x"), Phase.RECEIVE, "connection_closed_early"),
    (ssl.SSLZeroReturnError(6, "x"), Phase.REQUEST, "connection_closed_early"),
    (ssl.SSLError(1, "bad record mac"), Phase.RECEIVE, "malformed_response"),
    (TimeoutError(), Phase.REQUEST, "response_timeout"),
    (TimeoutError(), Phase.RECEIVE, "response_timeout"),
    (os_error(errno.ETIMEDOUT), Phase.RECEIVE, "response_timeout"),
    (errors.ClosedEarlyError("x"), Phase.REQUEST, "connection_closed_early"),
    (errors.ClosedEarlyError("x"), Phase.RECEIVE, "connection_closed_early"),
    (errors.MalformedResponseError("x"), Phase.REQUEST, "malformed_response"),
    (errors.ProxyRefusedError("status 403"), Phase.CONNECT, "proxy_error"),
    (errors.CredentialsMissingError("x"), Phase.REQUEST, "credentials_missing"),
    *((errors.OwnTimeoutError("x"), phase, "own_timeout") for phase in Phase),
    (RuntimeError("x"), Phase.REQUEST, "_OTHER"),
]


@pytest.mark.parametrize(
    ("error", "phase", "expected"),
    CASES,
    ids=[f"{phase}-{type(e).__name__}-{errors.code(e)}" for e, phase, _ in CASES],
)
def test_an_exception_in_a_phase_has_one_error_type(
    error: BaseException, phase: Phase, expected: str
) -> None:
    """The table gives every expected exception of every phase its word."""
    assert errors.failure(error, phase, target="api.test:6443").error_type == expected


def test_a_temporary_dns_failure_that_took_a_second_is_a_timeout() -> None:
    """EAI_AGAIN is SERVFAIL or silence: only silence takes as long as resolv.conf's timeout."""
    error = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    quick = errors.failure(error, Phase.DNS, target="api.test:443", elapsed_seconds=0.2)
    late = errors.failure(error, Phase.DNS, target="api.test:443", elapsed_seconds=1.001)

    assert (quick.error_type, late.error_type) == ("dns_server_failure", "dns_timeout")


@pytest.mark.parametrize(
    ("phase", "writing", "expected"),
    [
        (Phase.DNS, False, "dns_done"),
        (Phase.CONNECT, False, "connect_done"),
        (Phase.TLS, False, "tls_handshake_done"),
        (Phase.REQUEST, True, "wrote_request"),
        (Phase.REQUEST, False, "round_trip_error"),
        (Phase.RECEIVE, False, "round_trip_error"),
    ],
)
def test_the_event_is_kubenurses(phase: Phase, writing: bool, expected: str) -> None:
    """A failure counts under the httptrace event that did not happen, else round_trip_error."""
    failure = errors.failure(TimeoutError(), phase, target="api.test:443", writing=writing)

    assert (failure.event, failure.phase) == (expected, phase)


def test_a_status_is_a_failure_of_its_own_event() -> None:
    """An answer with a bad status names the status in event and message."""
    failure = errors.status_failure(503, target="10.0.0.7:8080")

    assert failure.error_type == ErrorType.HTTP_STATUS
    assert (failure.phase, failure.event) == (Phase.STATUS, "status_code_503")
    assert failure.message.startswith("10.0.0.7:8080 answered with status 503:")


@pytest.mark.parametrize(("status_code", "remedy"), [(401, "ServiceAccount"), (403, "RBAC")])
def test_a_token_that_is_refused_is_ours(status_code: int, remedy: str) -> None:
    """The API server is well: nobody is sent to its log."""
    refused = errors.status_failure(status_code, target="10.0.0.1:443", with_token=True)
    assert refused.error_type == ErrorType.CREDENTIALS_REFUSED
    assert refused.event == f"status_code_{status_code}"
    assert remedy in refused.message
    assert "log" not in refused.message

    without = errors.status_failure(status_code, target="10.0.0.1:443")
    assert without.error_type == ErrorType.HTTP_STATUS


@pytest.mark.parametrize("phase", [Phase.TLS, Phase.REQUEST])
def test_what_was_sent_again_accuses_no_process(phase: Phase) -> None:
    """A sentence never says both, loss on the way and a process that hangs."""
    failure = errors.failure(TimeoutError(), phase, target="10.0.0.7:8080", retransmits=3)
    assert "3 packets sent again" in failure.message
    assert "hangs" not in failure.message
    assert "hangs" in errors.failure(TimeoutError(), phase, target="x:1", retransmits=0).message


def test_a_407_is_the_proxys() -> None:
    """Whoever has set the proxy looks there, and not at the far end's log."""
    failure = errors.status_failure(407, target="example.com:80")
    assert failure.event == "status_code_407"
    assert failure.message.startswith("the proxy on the way to example.com:80 answered with status")
    assert "HTTP_PROXY" in failure.message


def test_a_wrong_peer_is_told_by_both_names() -> None:
    """Who was expected and who answered stand in the message; the event is one of kubenurse's."""
    failure = errors.wrong_peer_failure(
        expected="node-b", answered="node-c", target="10.0.0.7:8080"
    )

    assert failure.error_type == ErrorType.WRONG_PEER
    assert (failure.phase, failure.event) == (Phase.STATUS, "round_trip_error")
    assert "10.0.0.7:8080 (expected node node-b, answered node node-c)" in failure.message


@pytest.mark.parametrize(
    ("error", "phase", "expected"),
    [
        (
            os_error(errno.ECONNREFUSED),
            Phase.CONNECT,
            (
                "10.0.0.7:8080 refused the connection (ECONNREFUSED): nothing listens on that port "
                "there, or a firewall rejects it"
            ),
        ),
        (
            TimeoutError(),
            Phase.DNS,
            (
                "DNS did not answer in time for 10.0.0.7:8080: look at the DNS pods, at the way "
                "from this node to them and, for a name outside of the cluster, at their "
                "upstream: while that is silent CoreDNS answers nothing for seconds"
            ),
        ),
        (
            TimeoutError(),
            Phase.TLS,
            (
                "10.0.0.7:8080 accepted the connection and did not finish the TLS handshake in "
                "time: its process hangs, or large packets are lost (MTU)"
            ),
        ),
        (
            verification_error(10, "certificate has expired"),
            Phase.TLS,
            (
                "the certificate of 10.0.0.7:8080 has expired, or its CA's (certificate has "
                "expired): renew it, and look at why its renewal did not happen"
            ),
        ),
        (
            errors.MalformedResponseError("the head is larger than 64 KiB"),
            Phase.REQUEST,
            (
                "10.0.0.7:8080 answered something that is not sound HTTP/1.1 (the head is larger "
                "than 64 KiB): look at what listens there"
            ),
        ),
        (
            OSError(99_999, "unheard of"),
            Phase.RECEIVE,
            (
                "the check of 10.0.0.7:8080 failed while reading the answer (errno 99999): an "
                "error that this agent has no type for, look at its log"
            ),
        ),
    ],
)
def test_the_sentence_says_what_where_and_what_to_look_at(
    error: BaseException, phase: Phase, expected: str
) -> None:
    """Whoever is woken by it can start without reading our source."""
    assert errors.failure(error, phase, target="10.0.0.7:8080").message == expected


def test_a_request_that_could_not_be_sent_is_said_so() -> None:
    """A broken pipe while writing is told apart from a lost answer."""
    failure = errors.failure(
        BrokenPipeError(errno.EPIPE, "x"), Phase.REQUEST, target=TARGET, writing=True
    )

    assert "was reset while sending the request (EPIPE)" in failure.message


def test_a_time_out_with_retransmissions_points_at_the_network() -> None:
    """Who reads that packets were sent again looks at the way before the far end's process."""
    failure = errors.failure(TimeoutError(), Phase.REQUEST, target="10.0.0.7:8080", retransmits=2)

    assert "(2 packets sent again: loss on the way)" in failure.message


@given(
    error=st.sampled_from(
        [
            *(error for error, _, _ in CASES if not isinstance(error, errors.CheckError)),
            RuntimeError(SECRET),
            ValueError(SECRET),
            OSError(errno.ECONNRESET, SECRET, SECRET),
            ssl.SSLError(1, SECRET),
            OSError(SECRET),
        ]
    ),
    phase=st.sampled_from(Phase),
    writing=st.booleans(),
    elapsed_seconds=st.floats(0, 10),
)
def test_every_failure_is_bounded_and_holds_no_secret(
    error: BaseException,
    phase: Phase,
    writing: bool,
    elapsed_seconds: float,
) -> None:
    """Labels are of closed sets; nobody else's text, query string or user reaches the message."""
    failure = errors.failure(
        error, phase, target=TARGET, writing=writing, elapsed_seconds=elapsed_seconds
    )

    assert failure.error_type in set(ErrorType)
    assert failure.event in {*semconv.EVENTS, semconv.EVENT_ROUND_TRIP_ERROR}
    assert SECRET not in failure.message
    assert "api.test:6443" in failure.message


@given(target=st.text(max_size=3000), detail=st.text(max_size=3000))
@example(target="t" * 3000, detail="d" * 3000)
def test_a_message_is_short_whatever_it_is_made_of(target: str, detail: str) -> None:
    """No name or text makes a message (a span attribute, a log line) long."""
    failure = errors.failure(errors.MalformedResponseError(detail), Phase.REQUEST, target=target)

    assert len(failure.message) <= 700


def test_every_error_type_has_a_sentence() -> None:
    """Each ErrorType can be told to people, and only with the words that are filled in."""
    assert set(errors.SENTENCES) == set(ErrorType)
    for sentence in errors.SENTENCES.values():
        assert set(re.findall(r"{(\w*)}", sentence)) <= {"target", "detail", "doing"}
