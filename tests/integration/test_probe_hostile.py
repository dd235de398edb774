"""Far ends that send sound bytes in the costliest way: bounded work, and never the whole loop."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import sys
import time
from typing import TYPE_CHECKING, Final

import pytest
from servers import answer, hostile

from kubenurse_otel.config import TrustConfig
from kubenurse_otel.errors import ErrorType, TooCostlyError
from kubenurse_otel.model import Phase, Trust
from kubenurse_otel.probe.effort import MAX_PIECES, PIECES_A_TURN, Effort
from kubenurse_otel.probe.hello import key_share_groups
from kubenurse_otel.probe.kernel import read_clocks
from kubenurse_otel.probe.marks import Marks
from kubenurse_otel.probe.resolve import DeadlineExceededError
from kubenurse_otel.probe.sockets import READ_BYTES, Connection
from kubenurse_otel.probe.trust import TrustStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from probing import Checked, Prober
    from servers import Certificates, FaultServer
    from servers.fault_server import Behaviour

MOST_CPU_AT_ONCE_SECONDS: Final = 0.020 if sys.gettrace() is None else 0.060
"""Coverage's tracer is no part of an agent, and more than doubles what Python takes."""

COSTLY: Final[dict[str, tuple[Callable[[ssl.SSLContext], Behaviour], str]]] = {
    "one-byte records": (hostile.one_byte_records, "over 64 KiB of TLS without plain text"),
    "session tickets": (hostile.session_tickets, "over 64 KiB of TLS without plain text"),
    "one-byte chunks": (
        lambda _: hostile.one_byte_chunks(),
        "over 4096 reads, TLS records and chunks",
    ),
}


async def with_cpu_at_once(check: Callable[[], Awaitable[Checked]]) -> tuple[Checked, float]:
    """What came of ``check``, and the most CPU time between two turns of the event loop.

    Not by the clock, without the garbage of other tests, the least of three: what else goes on in
    this process and on this machine is no far end's doing.
    """
    found: list[tuple[Checked, float]] = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            task = asyncio.ensure_future(check())
            before, most = time.thread_time(), 0.0
            while not task.done():
                await asyncio.sleep(0)
                now = time.thread_time()
                most, before = max(most, now - before), now
            found.append((task.result(), most))
    finally:
        gc.enable()
    return min(found, key=lambda one: one[1])


@pytest.mark.parametrize("name", sorted(COSTLY))
async def test_a_costly_answer_is_given_up(
    serve: Callable[..., FaultServer], prober: Prober, certificates: Certificates, name: str
) -> None:
    """It has a word of its own, and others on the loop had their turn every 20 ms of CPU time."""
    make, said = COSTLY[name]
    await prober.check(serve(answer(), tls=certificates.context()).url())  # loads the CA file once
    server = serve(make(certificates.context()))
    url = server.url(scheme="http" if "chunks" in name else "https")

    checked, most = await with_cpu_at_once(lambda: prober.check(url))

    failure = checked.probe.failure
    assert failure is not None
    assert (failure.error_type, failure.phase) in {
        (ErrorType.RESPONSE_TOO_COSTLY, Phase.RECEIVE),
        (ErrorType.RESPONSE_TOO_COSTLY, Phase.REQUEST),
    }
    assert said in failure.message
    assert most < MOST_CPU_AT_ONCE_SECONDS


async def test_usual_answers_cost_nothing_like_it(
    serve: Callable[..., FaultServer], prober: Prober, certificates: Certificates
) -> None:
    """Session tickets and 64 KiB of body, over one connection again and again, are no effort."""
    server = serve(answer(body=b"x" * 65_536), tls=certificates.context())

    for _ in range(20):
        checked = await prober.check(server.url(), reuse_connection=True)
        assert checked.probe.failure is None

    assert server.accepted == 1


async def test_tickets_in_place_of_an_answer_are_the_far_ends_silence(
    serve: Callable[..., FaultServer], prober: Prober, certificates: Certificates
) -> None:
    """TLS's own messages wake us again and again: the wait for an answer is not our own delay."""
    server = serve(hostile.dribbled_tickets(certificates.context()))

    checked = await prober.check_in_peace(server.url(scheme="https"), timeout_seconds=1.0)

    failure = checked.probe.failure
    assert failure is not None
    assert failure.error_type == ErrorType.RESPONSE_TIMEOUT


async def test_header_lines_are_counted(serve: Callable[..., FaultServer], prober: Prober) -> None:
    """20,000 headers of three bytes fit into 64 KiB, and each would become objects."""
    server = serve(hostile.many_headers())

    checked = await prober.check(server.url())

    assert checked.probe.failure is not None
    assert checked.probe.failure.error_type == ErrorType.RESPONSE_HEAD_TOO_LARGE


# --- key exchange --------------------------------------------------------------------------------


def offer_alone(context: ssl.SSLContext, group: str) -> None:
    """Let a server know no other group; an older Python (3.11.2) knows not all."""
    try:
        context.set_ecdh_curve(group)
    except ssl.SSLError as error:
        pytest.skip(f"this Python cannot set {group}: {error}")


@pytest.mark.parametrize("group", ["ffdhe4096", "ffdhe8192"])
async def test_a_large_group_is_refused(
    serve: Callable[..., FaultServer], prober: Prober, certificates: Certificates, group: str
) -> None:
    """A TLS 1.3 server that knows only large finite-field groups does not get us to compute.

    OpenSSL offers none of them by itself from 3.5 on; before, our budget refuses the second hello.
    """
    context = certificates.context()
    offer_alone(context, group)
    server = serve(answer(), tls=context)
    await prober.check(serve(answer(), tls=certificates.context()).url())

    checked, most = await with_cpu_at_once(lambda: prober.check(server.url()))

    failure = checked.probe.failure
    assert failure is not None
    assert failure.phase is Phase.TLS
    if ssl.OPENSSL_VERSION_INFO >= (3, 5):
        assert failure.error_type == ErrorType.TLS_HANDSHAKE_FAILED
    else:
        assert failure.error_type == ErrorType.RESPONSE_TOO_COSTLY
        assert f"it asks for {group}" in failure.message
    assert most < MOST_CPU_AT_ONCE_SECONDS


@pytest.mark.parametrize("curve", ["prime256v1", "secp521r1", "X448", "ffdhe2048"])
async def test_another_group_is_no_failure(
    serve: Callable[..., FaultServer], prober: Prober, certificates: Certificates, curve: str
) -> None:
    """A server that asks for another curve, or for a small group, gets it."""
    context = certificates.context()
    offer_alone(context, curve)
    server = serve(answer(), tls=context)

    assert (await prober.check(server.url())).probe.failure is None


def client_hello() -> bytes:
    """One as OpenSSL makes it."""
    outgoing = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="agent.test")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def test_the_first_hello_has_a_curves_key() -> None:
    """X25519 (29), maybe after a hybrid with it, and never a finite-field group (256 to 260)."""
    groups = key_share_groups(client_hello())

    assert 29 in groups
    assert not any(256 <= group <= 260 for group in groups)


def test_a_hello_after_other_records_is_found() -> None:
    """After HelloRetryRequest a change_cipher_spec record comes first (RFC 8446 appendix D.4)."""
    compatibility = b"\x14\x03\x03\x00\x01\x01"

    assert key_share_groups(compatibility + client_hello()) == key_share_groups(client_hello())
    assert key_share_groups(compatibility) == key_share_groups(b"") == []


@pytest.mark.parametrize("trust", list(Trust))
def test_what_lets_a_far_end_choose_our_work_is_not_offered(
    certificates: Certificates, trust: Trust
) -> None:
    """No prime of the server's choice (TLS 1.2), no new handshake in an open connection; as Go."""
    context = TrustStore(TrustConfig(ca_file=certificates.ca_file)).context(trust)

    names = [cipher["name"] for cipher in context.get_ciphers()]
    assert not [name for name in names if name.startswith("DHE")]
    assert "ECDHE-RSA-AES128-GCM-SHA256" in names
    assert "TLS_AES_128_GCM_SHA256" in names
    assert context.options & ssl.OP_NO_RENEGOTIATION


# --- turns and the deadline ----------------------------------------------------------------------


@pytest.fixture
def never_empty() -> Iterator[tuple[Connection, socket.socket]]:
    """A connection on which four reads' bytes lie, and its far end."""
    listener = socket.create_server(("127.0.0.1", 0))
    near = socket.create_connection(listener.getsockname())
    far, _ = listener.accept()
    with listener, near, far:
        far.sendall(b"x" * 4 * READ_BYTES)
        near.setblocking(False)
        yield Connection(near, Marks(started=read_clocks())), far


async def test_a_socket_that_is_never_empty_does_not_outlast_the_deadline(
    never_empty: tuple[Connection, socket.socket],
) -> None:
    """The deadline is looked at though nothing was waited for."""
    connection, _ = never_empty
    connection.deadline = asyncio.get_running_loop().time()

    async def read_all() -> None:
        for _ in range(4):
            await connection.receive()

    with pytest.raises(DeadlineExceededError):
        await read_all()


async def test_others_have_their_turn_between_two_reads(
    never_empty: tuple[Connection, socket.socket],
) -> None:
    """A task beside runs while there is always something to read."""
    connection, _ = never_empty
    connection.deadline = asyncio.get_running_loop().time() + 10
    turns = 0

    async def beside() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(beside())
    for _ in range(4):
        await connection.receive()
    task.cancel()

    assert turns >= 3


async def test_an_answer_that_is_there_is_good_however_late_we_are(
    never_empty: tuple[Connection, socket.socket],
) -> None:
    """Only who needs more than what has come looks at the deadline."""
    connection, _ = never_empty
    connection.deadline = asyncio.get_running_loop().time() - 1

    data, _ = await connection.receive()

    assert len(data) == READ_BYTES


def test_pieces_are_counted() -> None:
    """The last that fits is good, the next is too much; a turn is due after so many."""
    effort = Effort()
    effort.add(PIECES_A_TURN - 1)
    assert not effort.is_long
    effort.add(1)
    assert effort.is_long
    effort.turned()
    assert not effort.is_long

    effort.add(MAX_PIECES - PIECES_A_TURN)
    with pytest.raises(TooCostlyError):
        effort.add(1)


def test_a_handshake_is_bounded() -> None:
    """OpenSSL's own 100 KiB of certificates fit; handshakes in pieces without end do not."""
    effort = Effort()
    effort.handshake(131_072)
    with pytest.raises(TooCostlyError, match="over 128 KiB of TLS handshake"):
        effort.handshake(1)


def test_tls_without_plain_text_is_bounded() -> None:
    """Session tickets, key updates, framing: whatever it is, it pays with its bytes."""
    effort = Effort()
    for _ in range(100):
        effort.silent(16_384 + 22)
        effort.silent(-16_384)
    with pytest.raises(TooCostlyError, match="over 64 KiB of TLS without plain text"):
        effort.silent(65_536 - 2_199)
