"""kernel.py: bytes of the kernel -> times."""

from __future__ import annotations

import socket
import struct
import threading
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel.probe import kernel
from kubenurse_otel.probe.kernel import Stamp, TcpInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMESTAMPS = struct.pack("qqqqqq", 1_790_000_000, 123_456_789, 0, 0, 0, 0)
AT_NS = 1_790_000_000_123_456_789


def extended_error(*, origin: int = 4, info: int = 0, key: int = 17) -> bytes:
    """struct sock_extended_err with its offender's empty address."""
    return struct.pack("=IBBBBII", 42, origin, 0, 0, 0, info, key) + bytes(16)


@pytest.mark.parametrize("address_family", [(0, 11), (41, 25)])
def test_a_stamp_is_read_from_both_families_error_queues(address_family: tuple[int, int]) -> None:
    """The stamp's time, kind and key come from two control messages."""
    ancillary = [
        (socket.SOL_SOCKET, 37, TIMESTAMPS),
        (*address_family, extended_error(info=2, key=99)),
    ]
    assert kernel.parse_stamp(ancillary) == Stamp(kernel.STAMP_ACKNOWLEDGED, 99, AT_NS)


@pytest.mark.parametrize(
    "ancillary",
    [
        [],
        [(socket.SOL_SOCKET, 37, TIMESTAMPS)],
        [(0, 11, extended_error())],
        [(socket.SOL_SOCKET, 37, TIMESTAMPS), (0, 11, extended_error(origin=2))],
        [(socket.SOL_SOCKET, 37, bytes(48)), (0, 11, extended_error())],
        [(socket.SOL_SOCKET, 37, b"short"), (0, 11, extended_error())],
        [(socket.SOL_SOCKET, 37, TIMESTAMPS), (0, 11, b"short")],
    ],
)
def test_what_is_no_stamp_is_none(ancillary: list[tuple[int, int, bytes]]) -> None:
    """An ICMP error, a zero time or half a message is passed over."""
    assert kernel.parse_stamp(ancillary) is None


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 41]), st.sampled_from([11, 25, 37]), st.binary()),
        max_size=4,
    )
)
def test_any_control_messages_are_read_without_an_error(
    ancillary: list[tuple[int, int, bytes]],
) -> None:
    """Whatever bytes come, the result is a stamp or None, and an errno or 0."""
    stamp = kernel.parse_stamp(ancillary)
    assert stamp is None or stamp.realtime_ns != 0
    assert kernel.parse_error(ancillary) >= 0


@pytest.mark.parametrize(("origin", "expected"), [(1, 42), (2, 42), (3, 42), (4, 0), (0, 0)])
def test_an_icmp_error_has_its_errno(origin: int, expected: int) -> None:
    """Of this host, ICMP and ICMPv6; a time stamp is no error."""
    assert kernel.parse_error([(0, 11, extended_error(origin=origin))]) == expected


@given(st.binary(max_size=300))
def test_any_tcp_info_is_read_or_refused(data: bytes) -> None:
    """Too short is None, longer than known is read by its head."""
    info = TcpInfo.parse(data)
    assert (info is None) == (len(data) < 152)


def test_tcp_info_fields_stand_where_linux_tcp_h_has_them() -> None:
    """Offsets of struct tcp_info."""
    data = bytearray(232)
    for offset, value in (
        (16, 1448),
        (32, 1),
        (56, 2),
        (60, 1500),
        (68, 300),
        (100, 3),
        (148, 250),
        (216, 4),
    ):
        struct.pack_into("=I", data, offset, value)
    data[5] = 6  # TCPI_OPT_SACK, TCPI_OPT_WSCALE
    assert TcpInfo.parse(bytes(data)) == TcpInfo(
        retransmits=3,
        rtt_us=300,
        min_rtt_us=250,
        lost=1,
        send_mss=1448,
        pmtu=1500,
        last_ack_received_ms=2,
        dsacks=4,
        options=6,
    )
    older = TcpInfo.parse(bytes(data[:160]))
    assert older is not None
    assert older.dsacks == 0
    assert (older.has_sack, older.has_timestamps) == (True, False)


@pytest.fixture
def stamping() -> Iterator[None]:
    """The kernel stamps what comes: it switches over lazily, in a worker of its own."""
    held = kernel.keep_receive_timestamps_on()
    assert held is not None
    with held, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        held.bind(("127.0.0.1", 0))
        stamp, give_up = None, time.monotonic() + 10
        while stamp is None and time.monotonic() < give_up:
            sender.sendto(b"?", held.getsockname())
            _, stamp = kernel.receive(held, 1)
        yield


@pytest.mark.usefixtures("stamping")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_real_socket_gives_send_acknowledge_and_receive_stamps(host: str) -> None:
    """On loopback, without privilege, all of them lie between our own marks."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with (
        socket.create_server((host, 0), family=family) as server,
        socket.create_connection(server.getsockname()[:2]) as client,
    ):
        far_end, _ = server.accept()
        with far_end:
            assert kernel.enable_timestamps(client)
            before = kernel.read_clocks()
            client.sendall(b"ping!")
            assert far_end.recv(16) == b"ping!"
            threading.Thread(target=far_end.sendall, args=(b"pong",)).start()
            data, received_ns = kernel.receive(client, 16)
            after = kernel.read_clocks()
            stamps = kernel.drain_error_queue(client)
            info = kernel.tcp_info(client)
    assert data == b"pong"
    assert received_ns is not None
    assert before.realtime_ns <= received_ns <= after.realtime_ns
    assert [stamp.what for stamp in sorted(stamps, key=lambda stamp: stamp.realtime_ns)] == [
        kernel.STAMP_SCHEDULED,
        kernel.STAMP_SENT,
        kernel.STAMP_ACKNOWLEDGED,
    ]
    assert {stamp.key for stamp in stamps} == {4}
    assert all(before.realtime_ns <= s.realtime_ns <= after.realtime_ns for s in stamps)
    assert info is not None
    assert 0 < info.rtt_us < 1_000_000


def test_a_socket_that_takes_no_timestamps_says_so() -> None:
    """A Unix socket has no TCP_INFO; before connect OPT_ID is refused."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as unconnected:
        assert not kernel.enable_timestamps(unconnected)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as local:
        assert kernel.tcp_info(local) is None
        assert kernel.drain_error_queue(local) == []


def test_both_clocks_are_read_as_one() -> None:
    """The pair's distance holds from one reading to the next, within its uncertainty."""
    first, second = kernel.read_clocks(), kernel.read_clocks()
    allowed = first.uncertainty_ns + second.uncertainty_ns + 50_000
    assert abs(first.offset_ns - second.offset_ns) <= allowed
