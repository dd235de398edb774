"""probe/half_open.py: what the kernel says of half-open connections, and where it says nothing."""

from __future__ import annotations

import logging
import resource
import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import until

from kubenurse_otel.probe.half_open import HalfOpen, connections, request

if TYPE_CHECKING:
    from collections.abc import Collection

PORT = 18080
DONE = struct.pack("=IHHIIi", 20, 3, 2, 0, 1, 0)
SYN_RECV, ESTABLISHED = 3, 1
# As Linux 6.18 wrote them: own and far port, own and far address, interface, cookie.
IPV4 = bytes.fromhex(
    "46a0bfd17f0000010000000000000000000000000a090901000000000000000000000000"
    "000000000100000000000000"
)
IPV6 = bytes.fromhex(
    "46a0a30500000000000000000000000000000001fd000000000000000000000000000009"
    "000000000200000000000000"
)
MAPPED = bytes.fromhex(
    "46a0b22300000000000000000000ffff7f00000100000000000000000000ffff0a090901"
    "000000000300000000000000"
)


def message(
    connection: bytes, *, family: int = socket.AF_INET, state: int = SYN_RECV, retransmits: int = 1
) -> bytes:
    rest = struct.pack("=IIIII", 1808, 0, 0, 0, 0) + struct.pack("=HHBxxx", 5, 8, 0)
    body = struct.pack("=BBBB", family, state, 1, retransmits) + connection + rest
    return struct.pack("=IHHII", 16 + len(body), 20, 2, 0, 1) + body


ANSWER = (
    message(IPV4)
    + message(IPV6, family=socket.AF_INET6)
    + message(MAPPED, family=socket.AF_INET6, retransmits=4)
)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param(message(IPV4), {("10.9.9.1", 49105): True}, id="IPv4"),
        pytest.param(message(IPV6, family=socket.AF_INET6), {("fd00::9", 41733): True}, id="IPv6"),
        pytest.param(
            message(MAPPED, family=socket.AF_INET6), {("10.9.9.1", 45603): True}, id="IPv4 as IPv6"
        ),
        pytest.param(
            message(IPV4, retransmits=0), {("10.9.9.1", 49105): False}, id="answered once"
        ),
        pytest.param(message(IPV4, state=ESTABLISHED), {}, id="made"),
        pytest.param(message(b"\x46\xa1" + IPV4[2:]), {}, id="of another port"),
        pytest.param(message(IPV4, family=socket.AF_UNIX), {}, id="no address"),
        pytest.param(DONE, {}, id="none"),
    ],
)
def test_a_connection_is_read(said: bytes, expected: dict[tuple[str, int], bool]) -> None:
    found, _ = connections(said, PORT)
    assert expected == found


def test_one_read_is_read_to_its_end() -> None:
    three = {("10.9.9.1", 49105): True, ("fd00::9", 41733): True, ("10.9.9.1", 45603): True}
    assert (three, False) == connections(ANSWER, PORT)
    assert (three, True) == connections(ANSWER + DONE + ANSWER, PORT)
    assert ({}, True) == connections(b"", PORT)


def test_an_error_of_the_kernel_is_raised() -> None:
    refused = struct.pack("=IHHIIi", 36, 2, 0, 0, 1, -2) + bytes(16)
    with pytest.raises(OSError, match="error 2"):
        connections(refused, PORT)


@given(st.integers(0, len(ANSWER)), st.binary(max_size=64), st.integers(0, len(ANSWER)))
def test_whatever_comes_is_an_answer_or_an_error(kept: int, said: bytes, then: int) -> None:
    """Cut anywhere, with anything in it: it ends, and nobody is invented but by whole messages."""
    try:
        found, _ = connections(ANSWER[:kept] + said + ANSWER[then:], PORT)
    except OSError:
        return
    assert len(found) <= (2 * len(ANSWER) + 64) // 88


@given(st.binary(max_size=300))
def test_any_bytes_are_read(said: bytes) -> None:
    try:
        found, _ = connections(said, PORT)
    except OSError:
        return
    assert all(socket.getaddrinfo(one, 1, flags=socket.AI_NUMERICHOST) for one, _ in found)


def test_the_request_is_as_long_as_the_kernel_wants_it() -> None:
    """struct nlmsghdr has 16 bytes, struct inet_diag_req_v2 has 56."""
    assert 72 == len(request(socket.AF_INET, PORT))


def test_connections_that_are_made_are_not_half_open(caplog: pytest.LogCaptureFixture) -> None:
    """By the real kernel, which has nothing to complain of."""
    with (
        caplog.at_level(logging.DEBUG),
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()),
    ):
        half_open = HalfOpen(lambda: server.getsockname()[1])
        assert {} == half_open.look(["127.0.0.1", "::1"], 1.0)
    assert [] == caplog.messages


def test_where_it_cannot_be_asked_nothing_is_known_and_it_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Here for lack of descriptors; a sandbox refuses the socket in the same way."""
    half_open = HalfOpen(lambda: PORT)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with caplog.at_level(logging.DEBUG):
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            found = [half_open.look(["10.1.0.2", "fd00::2"], 1.0) for _ in range(3)]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [{}] * 3 == found
    assert [logging.DEBUG] == [one.levelno for one in caplog.records]


class NotedHalfOpen(HalfOpen):
    """Notes which threads look, and waits there until it may go on."""

    def __init__(self) -> None:
        super().__init__(lambda: PORT)
        self.threads: list[threading.Thread] = []
        self.may_go_on = threading.Event()

    def look(self, addresses: Collection[str], now: float) -> dict[str, float]:
        self.threads.append(threading.current_thread())
        assert self.may_go_on.wait(20)
        return dict.fromkeys(addresses, now)


async def test_the_event_loop_waits_for_no_look() -> None:
    """The kernel may walk through 100,000 connections meanwhile; one look at a time is enough."""
    half_open, told = NotedHalfOpen(), list[dict[str, float]]()
    half_open.begin(["10.1.0.2"], 1.0, told.append)
    half_open.begin(["10.1.0.2"], 2.0, told.append)
    half_open.may_go_on.set()
    await until(lambda: bool(told))
    half_open.begin(["10.1.0.3"], 3.0, told.append)
    await until(lambda: len(told) == 2)
    assert [{"10.1.0.2": 1.0}, {"10.1.0.3": 3.0}] == told
    assert len(half_open.threads) == 2
    assert threading.main_thread() not in half_open.threads
