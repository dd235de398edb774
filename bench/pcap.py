"""Read a packet capture: TCP segments with times in nanoseconds.

Reads the classic pcap format (draft-ietf-opsawg-pcap) of Ethernet frames with IPv4 or IPv6, as
tcpdump writes it. A capture that ends in the middle of a record ends at the record before.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_MICROSECOND_MAGIC: Final = 0xA1B2C3D4
_NANOSECOND_MAGIC: Final = 0xA1B23C4D
_ETHERNET: Final = 1
_FILE_HEADER_BYTES: Final = 24
_RECORD_HEADER_BYTES: Final = 16
_ETHERNET_BYTES: Final = 14
_IPV4: Final = 0x0800
_IPV6: Final = 0x86DD
_TCP: Final = 6
_END_OF_OPTIONS: Final = 0
_NO_OPERATION: Final = 1
_SACK: Final = 5

SYN: Final = 0x02
ACK: Final = 0x10


class NotPcapError(ValueError):
    """The bytes are no pcap file, or one of another link type than Ethernet."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One TCP segment as the device saw it. ``payload_bytes`` is its length on the wire."""

    at_ns: int
    """CLOCK_REALTIME."""
    source: tuple[str, int]
    destination: tuple[str, int]
    sequence: int
    acknowledgement: int
    flags: int
    payload_bytes: int
    payload: bytes
    """Its beginning, as far as it was captured."""
    doubled: int | None = None
    """The sequence number after what its sender says that it got twice (D-SACK, RFC 2883)."""

    def has(self, flag: int) -> bool:
        return bool(self.flags & flag)


def parse(data: bytes) -> Iterator[Segment]:
    """Every TCP segment in the capture, in its order. Raises NotPcapError."""
    order, nanoseconds = _file_header(data)
    record = struct.Struct(order + "IIII")
    at = _FILE_HEADER_BYTES
    while at + _RECORD_HEADER_BYTES <= len(data):
        seconds, fraction, captured, _ = record.unpack_from(data, at)
        at += _RECORD_HEADER_BYTES
        if at + captured > len(data):
            return
        segment = _segment(
            data[at : at + captured],
            seconds * 1_000_000_000 + (fraction if nanoseconds else fraction * 1000),
        )
        if segment is not None:
            yield segment
        at += captured


def _file_header(data: bytes) -> tuple[str, bool]:
    if len(data) < _FILE_HEADER_BYTES:
        raise NotPcapError("shorter than a pcap header")
    for order in "<>":
        (magic,) = struct.unpack_from(order + "I", data)
        if magic in {_MICROSECOND_MAGIC, _NANOSECOND_MAGIC}:
            (link,) = struct.unpack_from(order + "I", data, 20)
            if link & 0xFFFF != _ETHERNET:
                raise NotPcapError(f"link type {link}, not Ethernet")
            return order, magic == _NANOSECOND_MAGIC
    raise NotPcapError("no pcap magic number")


def _segment(frame: bytes, at_ns: int) -> Segment | None:
    if len(frame) < _ETHERNET_BYTES:
        return None
    (kind,) = struct.unpack_from("!H", frame, 12)
    packet = frame[_ETHERNET_BYTES:]
    if kind == _IPV4:
        return _ipv4(packet, at_ns)
    if kind == _IPV6:
        return _ipv6(packet, at_ns)
    return None


def _ipv4(packet: bytes, at_ns: int) -> Segment | None:
    if len(packet) < 20 or packet[9] != _TCP:
        return None
    header = (packet[0] & 0x0F) * 4
    (total,) = struct.unpack_from("!H", packet, 2)
    return _tcp(packet[header:], total - header, (packet[12:16], packet[16:20]), at_ns)


def _ipv6(packet: bytes, at_ns: int) -> Segment | None:
    if len(packet) < 40 or packet[6] != _TCP:  # extension headers are nothing that we send
        return None
    (length,) = struct.unpack_from("!H", packet, 4)
    return _tcp(packet[40:], length, (packet[8:24], packet[24:40]), at_ns)


def _tcp(data: bytes, length: int, addresses: tuple[bytes, bytes], at_ns: int) -> Segment | None:
    if len(data) < 20:
        return None
    source, destination, sequence, acknowledgement, offset, flags = struct.unpack_from(
        "!HHIIBB", data
    )
    header = (offset >> 4) * 4
    return Segment(
        at_ns=at_ns,
        source=(str(ipaddress.ip_address(addresses[0])), source),
        destination=(str(ipaddress.ip_address(addresses[1])), destination),
        sequence=sequence,
        acknowledgement=acknowledgement,
        flags=flags,
        payload_bytes=max(0, length - header),
        payload=data[header : header + max(0, length - header)],
        doubled=_doubled(data[20:header], acknowledgement),
    )


def _doubled(options: bytes, acknowledgement: int) -> int | None:
    """The end of the first SACK block (RFC 2018), if it is below what is acknowledged anyway."""
    at = 0
    while at < len(options) and options[at] != _END_OF_OPTIONS:
        if options[at] == _NO_OPERATION:
            at += 1
            continue
        length = options[at + 1] if at + 1 < len(options) else 0
        if options[at] == _SACK and length >= 10 and at + 10 <= len(options):
            right = int.from_bytes(options[at + 6 : at + 10], "big")
            return right if (acknowledgement - right) % (1 << 32) < 1 << 31 else None
        if length < 2:
            return None
        at += length
    return None
