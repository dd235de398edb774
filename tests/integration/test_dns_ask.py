"""probe/dns/ask.py against name servers that answer, lie, and say nothing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterable

import pytest
from servers.dns import Asked, Elsewhere, NameServer, answer

from kubenurse_otel.probe import kernel
from kubenurse_otel.probe.dns.ask import ask
from kubenurse_otel.probe.dns.message import BadNameError, Question, RecordType
from kubenurse_otel.probe.dns.reply import Ending, Ignored, Reply, Server, Transport
from kubenurse_otel.probe.dns.udp import MOST_IGNORED, Conversation

A = Question("web.example", RecordType.A)
PATIENCE_SECONDS = 20.0


@pytest.fixture(autouse=True)
def _stamped() -> Iterable[None]:
    """As a prober does: the kernel stamps what arrives while somebody asks for it."""
    with kernel.keep_receive_timestamps_on() or contextlib.nullcontext():
        yield


async def asked_of(
    server: NameServer,
    question: Question = A,
    *,
    seconds: float = PATIENCE_SECONDS,
    try_seconds: float = PATIENCE_SECONDS,
) -> Reply:
    return await ask(
        Server(server.address, server.port),
        question,
        deadline=asyncio.get_running_loop().time() + seconds,
        try_seconds=try_seconds,
    )


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_an_answer_is_read_and_timed_by_the_kernel(address: str) -> None:
    """Addresses of the type asked for, the code, the bytes, and when it left and came."""
    before_ns = time.monotonic_ns()
    with NameServer(lambda asked: [answer(asked, "10.0.0.1", "fd00::1")], address) as server:
        reply = await asked_of(server)
        other = await asked_of(server, Question("web.example.", RecordType.AAAA))
    assert (reply.ending, reply.rcode, reply.addresses) == (Ending.ANSWERED, 0, ("10.0.0.1",))
    assert (reply.transport, reply.tries, reply.answers) == (Transport.UDP, 1, 1)
    assert reply.received_bytes == 45
    assert reply.is_kernel_timed
    assert before_ns < reply.started_ns < reply.ended_ns < time.monotonic_ns()
    assert other.addresses == ("fd00::1",)
    assert [one.name for one in server.asked] == ["web.example."] * 2


@pytest.mark.parametrize("rcode", range(1, 6))
async def test_a_code_is_an_answer(rcode: int) -> None:
    """Who refuses has answered."""
    with NameServer(lambda asked: [answer(asked, rcode=rcode)]) as server:
        reply = await asked_of(server)
    assert (reply.ending, reply.rcode, reply.addresses) == (Ending.ANSWERED, rcode, ())


def other_question(asked: Asked) -> bytes:
    return answer(asked, "10.9.9.9").replace(b"web", b"wob")


LIES: dict[str, Callable[[Asked], bytes | Elsewhere]] = {
    "malformed": lambda _: b"\x80",
    "other_id": lambda asked: answer(asked, "10.9.9.9", ident=asked.message.id ^ 1),
    "other_question": other_question,
    "other_address": lambda asked: Elsewhere(answer(asked, "10.9.9.9")),
}


@pytest.mark.parametrize("lie", LIES)
async def test_what_is_no_answer_is_ignored_and_counted(lie: str) -> None:
    """The answer that comes after it counts."""
    with NameServer(lambda asked: [LIES[lie](asked), answer(asked, "10.0.0.1")]) as server:
        reply = await asked_of(server)
    assert reply.addresses == ("10.0.0.1",)
    assert reply.ignored == Ignored(**{lie: 1})


async def test_letters_of_the_question_do_not_matter() -> None:
    """Who writes the name in capitals has answered (RFC 4343)."""
    with NameServer(lambda asked: [answer(asked, "10.0.0.1").replace(b"web", b"WEB")]) as server:
        assert (await asked_of(server)).addresses == ("10.0.0.1",)


async def test_no_end_of_lies_is_an_end() -> None:
    """A server may cost so many datagrams and no more."""
    lies = MOST_IGNORED + 1
    with NameServer(lambda asked: [b"\x80" * 20] * lies) as server:
        reply = await asked_of(server)
    assert (reply.ending, reply.ignored) == (Ending.MALFORMED, Ignored(malformed=lies))


async def test_records_that_cannot_be_read_are_malformed() -> None:
    """It is the server's answer, and none."""
    with NameServer(lambda asked: [answer(asked, "10.0.0.1")[:-1]]) as server:
        reply = await asked_of(server)
    assert (reply.ending, reply.rcode, reply.addresses) == (Ending.MALFORMED, None, ())


async def test_what_is_lost_is_sent_again_from_the_same_port() -> None:
    """The third try is answered, and timed from when it left."""
    with NameServer(lambda asked: [answer(asked, "10.0.0.1")] * (len(server.asked) == 3)) as server:
        reply = await asked_of(server, try_seconds=0.2)
    assert (reply.ending, reply.tries, reply.addresses) == (Ending.ANSWERED, 3, ("10.0.0.1",))
    assert len({one.port for one in server.asked}) == 1
    assert len({one.message.id for one in server.asked}) == 3
    assert reply.seconds < server.asked[2].at - server.asked[0].at


async def test_silence_lasts_to_the_deadline() -> None:
    """And is no error."""
    with NameServer(lambda _: []) as server:
        reply = await asked_of(server, seconds=0.5, try_seconds=0.2)
    assert (reply.ending, reply.rcode) == (Ending.SILENT, None)
    assert 1 <= reply.tries <= 3  # a busy machine has time for fewer
    assert reply.seconds >= 0.5


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_port_where_nobody_listens_is_told_at_once(host: str) -> None:
    """ICMP ends it long before the deadline."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as taken:
        taken.bind((host, 0))
        port = taken.getsockname()[1]
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    reply = await ask(Server(host, port), A, deadline=deadline, try_seconds=PATIENCE_SECONDS)
    assert reply.ending is Ending.UNREACHABLE
    assert isinstance(reply.error, ConnectionRefusedError)
    assert reply.error.__traceback__ is None
    assert asyncio.get_running_loop().time() < deadline


def short_by_udp(whole: Callable[[Asked], list[bytes]]) -> Callable[[Asked], list[bytes]]:
    return lambda asked: (
        [answer(asked, truncated=True)] if asked.transport == "udp" else whole(asked)
    )


async def test_an_answer_that_was_cut_short_is_asked_for_by_tcp() -> None:
    """All of 200 addresses, and how they came."""
    many = [f"10.0.{n // 100}.{n % 100}" for n in range(200)]
    with NameServer(short_by_udp(lambda asked: [answer(asked, *many)])) as server:
        reply = await asked_of(server)
    assert (reply.ending, reply.transport) == (Ending.ANSWERED, Transport.TCP)
    assert (reply.addresses, reply.answers) == (tuple(many), 200)
    assert reply.received_bytes > 512


@pytest.mark.parametrize(
    ("whole", "ending"),
    [
        (lambda asked: [], Ending.SILENT),
        (lambda asked: [b"\x80"], Ending.MALFORMED),
        (lambda asked: [bytes(60_000)], Ending.MALFORMED),
        (lambda asked: [answer(asked, "10.0.0.1")[:-1]], Ending.MALFORMED),
        (lambda asked: [answer(asked, ident=asked.message.id ^ 1)] * 20, Ending.MALFORMED),
    ],
    ids=["silent", "short", "zeros", "cut", "others"],
)
async def test_tcp_without_an_answer_ends_too(
    whole: Callable[[Asked], list[bytes]], ending: Ending
) -> None:
    """Silence at the deadline; what is no answer at once."""
    with NameServer(short_by_udp(whole)) as server:
        reply = await asked_of(server, seconds=0.5 if ending is Ending.SILENT else 20.0)
    assert (reply.ending, reply.transport, reply.addresses) == (ending, Transport.TCP, ())
    assert reply.is_truncated  # it answers by UDP


async def test_a_name_that_is_none_is_said_before_anything_is_sent() -> None:
    """By who asks, who must know."""
    with NameServer(lambda _: []) as server, pytest.raises(BadNameError):
        await asked_of(server, Question("a..b", RecordType.A))
    assert server.asked == []


def test_no_two_queries_of_a_socket_have_one_identifier() -> None:
    """Else the answer to the first is none to what is waited for, and the look-up ends in silence.
    Of 2,000 drawn at random some would be alike.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        with contextlib.closing(Conversation(Server(*server.getsockname()))) as conversation:
            idents = set()
            for _ in range(2_000):
                conversation.send(A)
                idents.add(server.recv(512)[:2])
    assert len(idents) == 2_000
