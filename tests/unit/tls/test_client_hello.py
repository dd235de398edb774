"""ClientHellos that OpenSSL made, whole, cut and mutilated."""

from __future__ import annotations

import ssl
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel.server.hello import Hello
from kubenurse_otel.tls import client_hello

X25519 = 0x001D


def made() -> bytes:
    """The first flight of Python's own client: one record."""
    outgoing = ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="agent")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


FLIGHT = made()


def in_records(message: bytes, size: int) -> bytes:
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(struct.pack(">BHH", 22, 0x0301, len(piece)) + piece for piece in pieces)


def test_groups_and_keys_are_read() -> None:
    """OpenSSL has X25519 in both, and every key is of an offered group."""
    found = client_hello.message(FLIGHT)
    assert found == FLIGHT[5:]
    offer = client_hello.offer(found)
    assert offer.groups is not None
    assert X25519 in offer.groups
    assert X25519 in offer.key_shares
    assert set(offer.key_shares) <= set(offer.groups)


@pytest.mark.parametrize("size", [100, 300, 16_000])
def test_cut_into_records_it_is_the_same(size: int) -> None:
    """However TLS cuts it: a key cannot be hidden behind a record's end."""
    assert client_hello.message(in_records(FLIGHT[5:], size)) == FLIGHT[5:]


def test_cut_by_tcp_it_is_held_back_until_it_is_whole() -> None:
    """Nothing reaches OpenSSL of what is not known yet, and all of it then."""
    hello = Hello()
    for byte in FLIGHT[:-1]:
        assert hello.take(memoryview(bytes([byte]))) is None
    assert hello.take(memoryview(FLIGHT[-1:])) == FLIGHT


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 50, b"\x16\x03\x01\0\x05hello"]
)
def test_what_is_no_hello_is_openssls_to_refuse(data: bytes) -> None:
    """At once: nobody is waited for."""
    assert Hello().take(memoryview(data)) == data


@pytest.mark.parametrize(
    "data",
    [
        in_records(b"\x01\x00\x01\x00" + bytes(256), 4),  # 65 records
        in_records(b"\x01\x01\x00\x00" + bytes(65_536), 16_000),
        in_records(b"\x01\x00\x00\x02\x03\x03", 6),  # ends where its random should be
    ],
)
def test_nobodys_hello_is_refused(data: bytes) -> None:
    """In too many records, too long, or cut off."""
    with pytest.raises(ValueError, match="ClientHello"):
        Hello().take(memoryview(data))


@given(st.lists(st.tuples(st.integers(0, len(FLIGHT) - 1), st.integers(0, 255)), max_size=20))
def test_any_bytes_have_a_verdict(changes: list[tuple[int, int]]) -> None:
    """Passed on whole, awaited or refused; nothing else is raised, and no more held than came."""
    data = bytearray(FLIGHT)
    for at, value in changes:
        data[at] = value
    try:
        taken = Hello().take(memoryview(bytes(data)))
    except ValueError:
        return
    assert taken in (None, bytes(data))
