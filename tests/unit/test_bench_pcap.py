"""bench/pcap.py: captures made byte by byte."""

from __future__ import annotations

import ipaddress
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.pcap import ACK, SYN, NotPcapError, parse

_NANOSECONDS = 0xA1B23C4D


def header(order: str = "<", magic: int = _NANOSECONDS, link: int = 1) -> bytes:
    return struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link)


def record(frame: bytes, *, order: str = "<", seconds: int = 10, fraction: int = 5) -> bytes:
    return struct.pack(order + "IIII", seconds, fraction, len(frame), len(frame)) + frame


def tcp(flags: int, payload: bytes = b"", *, options: bytes = b"") -> bytes:
    offset = (20 + len(options)) // 4 << 4
    head = struct.pack("!HHIIBBHHH", 4000, 80, 7, 9, offset, flags, 0, 0, 0)
    return head + options + payload


def ipv4(content: bytes, *, protocol: int = 6, length: int | None = None) -> bytes:
    total = 20 + (len(content) if length is None else length)
    addresses = ipaddress.ip_address("10.0.0.1").packed + ipaddress.ip_address("10.0.0.2").packed
    head = struct.pack("!BBHHHBBH", 0x45, 0, total, 0, 0, 64, protocol, 0) + addresses
    return b"\0" * 12 + b"\x08\x00" + head + content


def ipv6(content: bytes) -> bytes:
    addresses = ipaddress.ip_address("fd00::1").packed + ipaddress.ip_address("fd00::2").packed
    head = struct.pack("!IHBB", 0x60000000, len(content), 6, 64) + addresses
    return b"\0" * 12 + b"\x86\xdd" + head + content


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "expected_ns"), [(_NANOSECONDS, 5), (0xA1B2C3D4, 5000)])
def test_times_are_nanoseconds(order: str, magic: int, expected_ns: int) -> None:
    """Either byte order and either resolution gives CLOCK_REALTIME in nanoseconds."""
    data = header(order, magic) + record(ipv4(tcp(SYN)), order=order)
    (segment,) = parse(data)
    assert segment.at_ns == 10_000_000_000 + expected_ns


@pytest.mark.parametrize(
    ("frame", "source"), [(ipv4, ("10.0.0.1", 4000)), (ipv6, ("fd00::1", 4000))]
)
def test_segment_of_either_family(frame: object, source: tuple[str, int]) -> None:
    """Addresses, numbers, flags and payload come from behind the options."""
    assert callable(frame)
    data = header() + record(frame(tcp(ACK, b"hello", options=b"\x01" * 12)))
    (segment,) = parse(data)
    assert segment.source == source
    assert (segment.sequence, segment.acknowledgement) == (7, 9)
    assert segment.has(ACK)
    assert not segment.has(SYN)
    assert (segment.payload_bytes, segment.payload) == (5, b"hello")


def test_payload_is_as_long_as_on_the_wire() -> None:
    """A cut capture knows the length, and the beginning of the bytes."""
    frame = ipv4(tcp(ACK, b"beginning"), length=20 + 900)
    (segment,) = parse(header() + record(frame))
    assert (segment.payload_bytes, segment.payload) == (900, b"beginning")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (b"\x01\x01\x05\x0a" + struct.pack("!II", 1, 9), 9),
        (b"\x08\x0a" + bytes(8) + b"\x01\x01\x05\x0a" + struct.pack("!II", 1, 5) + b"\0\0", 5),
        (b"\x01\x01\x05\x0a" + struct.pack("!II", 20, 30), None),
        (b"\x00\x01\x05\x0a" + struct.pack("!II", 1, 9), None),
        (b"\x08\x00\x05\x0a" + struct.pack("!II", 1, 9), None),
        (b"\x01\x01\x01\x05", None),
        (b"", None),
    ],
)
def test_doubled(options: bytes, expected: int | None) -> None:
    """A first SACK block below the acknowledgement says that something came twice."""
    (segment,) = parse(header() + record(ipv4(tcp(ACK, options=options))))
    assert segment.doubled == expected


def test_padding_of_short_frames_is_no_payload() -> None:
    """Ethernet pads to 60 bytes; the IP header says what belongs to the segment."""
    frame = ipv4(tcp(ACK)) + b"\0" * 6
    (segment,) = parse(header() + record(frame))
    assert (segment.payload_bytes, segment.payload) == (0, b"")


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\0" * 12 + b"\x08\x06" + b"\0" * 28,
        ipv4(b"\0" * 20, protocol=17),
        ipv4(b"\0" * 4),
        ipv4(b"")[:20],
        ipv6(b"")[:40],
    ],
)
def test_other_frames_are_passed_over(frame: bytes) -> None:
    """ARP, UDP and what is too short for TCP leave no segment."""
    assert list(parse(header() + record(frame))) == []


@pytest.mark.parametrize("data", [b"", b"\0" * 24, header(link=113)])
def test_no_pcap(data: bytes) -> None:
    """What is no Ethernet capture is refused."""
    with pytest.raises(NotPcapError):
        list(parse(data))


@given(cut=st.integers(min_value=24))
def test_a_cut_capture_ends_at_the_last_whole_record(cut: int) -> None:
    """However much of it is there, what comes out is a beginning of the whole."""
    records = [record(ipv4(tcp(SYN, bytes(n))), seconds=n) for n in range(4)]
    data = header() + b"".join(records)
    ends = [24 + sum(map(len, records[:n])) for n in range(5)]
    whole = sum(1 for _, end in pairwise(ends) if end <= cut)
    assert [s.payload_bytes for s in parse(data[:cut])] == list(range(whole))


@given(st.binary(max_size=200))
def test_any_bytes_in_a_record_are_survived(frame: bytes) -> None:
    """What came over a network is never trusted to be well formed."""
    list(parse(header() + record(b"\0" * 12 + b"\x08\x00" + frame)))
    list(parse(header() + record(b"\0" * 12 + b"\x86\xdd" + frame)))
