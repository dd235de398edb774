"""The certificate that follows its files, and TLS between bytes."""

from __future__ import annotations

import contextlib
import logging
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme
from clock import Clock
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from servers.certificates import write_pair

from kubenurse_otel.server.tls import Certificate, Channel

if TYPE_CHECKING:
    from pathlib import Path


class Pair:
    """Certificate and key in files, as a Secret is mounted: the directory is a symlink."""

    def __init__(self, base: Path) -> None:
        self.authority = trustme.CA()
        self.base = base
        self.cert, self.key = base / "current" / "tls.crt", base / "current" / "tls.key"
        self.versions = 0
        self.swap(self.authority.issue_cert("agent"))

    def swap(self, leaf: trustme.LeafCert) -> None:
        self.versions += 1
        version = self.base / f"v{self.versions}"
        version.mkdir()
        write_pair(leaf, version)
        link = self.base / "new"
        link.symlink_to(version)
        link.rename(self.base / "current")

    def client(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context


def handshake(
    context: ssl.SSLContext, client: ssl.SSLContext
) -> tuple[Channel, ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
    """Connect a client to a Channel in memory; return both, the bytes to the client and from it."""
    channel = Channel(context)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client.wrap_bio(to_client, to_server, server_hostname="agent")
    for _ in range(3):
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            assert channel.decrypt(memoryview(to_server.read())) == (b"", False)
            to_client.write(channel.outgoing.read())
    assert channel.decrypt(memoryview(to_server.read())) == (b"", False)
    to_client.write(channel.outgoing.read())
    tls.write(b"hello")
    assert channel.decrypt(memoryview(to_server.read())) == (b"hello", False)
    return channel, tls, to_client, to_server


def serial(context: ssl.SSLContext, pair: Pair) -> str:
    _, tls, _, _ = handshake(context, pair.client())
    shown = tls.getpeercert()
    assert shown is not None
    return str(shown["serialNumber"])


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def test_a_half_written_pair_keeps_the_old_one_and_says_so(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    """A new certificate with the old key changes nothing, is told once, and mends by itself."""
    caplog.set_level(logging.INFO)
    clock = Clock()
    certificate = Certificate(pair.cert, pair.key, clock=clock)
    before = serial(certificate.context(), pair)
    leaf = pair.authority.issue_cert("agent")
    pair.cert.write_bytes(leaf.cert_chain_pems[0].bytes())
    for _ in range(3):
        clock.now += 2.0
        assert serial(certificate.context(), pair) == before
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "the previous ones stay in use" in caplog.text
    pair.key.write_bytes(leaf.private_key_pem.bytes())
    clock.now += 2.0
    assert serial(certificate.context(), pair) != before
    assert caplog.records[-1].levelname == "INFO"


def test_an_encrypted_key_is_an_error_and_no_question(pair: Pair) -> None:
    """A key with a password is refused instead of asking the terminal."""
    key = load_pem_private_key(pair.key.read_bytes(), None)
    pair.key.write_bytes(
        key.private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"secret")
        )
    )
    with pytest.raises((ssl.SSLError, OSError)):
        Certificate(pair.cert, pair.key)


def test_our_goodbye_does_not_wait_for_the_peers(pair: Pair) -> None:
    """After the answer the client reads a proper end."""
    channel, tls, to_client, _ = handshake(
        Certificate(pair.cert, pair.key).context(), pair.client()
    )
    channel.encrypt(b"answer")
    to_client.write(channel.outgoing.read())
    assert tls.read() == b"answer"
    channel.close_notify()
    to_client.write(channel.outgoing.read())
    assert tls.read() == b""


def test_the_peers_goodbye_is_an_end(pair: Pair) -> None:
    """A client's close_notify is told as the end, with what came before it."""
    channel, tls, _, to_server = handshake(
        Certificate(pair.cert, pair.key).context(), pair.client()
    )
    tls.write(b"last words")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.unwrap()
    assert channel.decrypt(memoryview(to_server.read())) == (b"last words", True)


def test_what_is_no_tls_is_an_error(pair: Pair) -> None:
    """Plain HTTP on the TLS port fails the handshake with an alert to send."""
    channel = Channel(Certificate(pair.cert, pair.key).context())
    with pytest.raises(ssl.SSLError):
        channel.decrypt(memoryview(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))


def test_old_protocols_are_refused(pair: Pair) -> None:
    """TLS 1.1 and older are not spoken, and no other ALPN than http/1.1."""
    context = Certificate(pair.cert, pair.key).context()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    client = pair.client()
    client.set_alpn_protocols(["h2", "http/1.1"])
    assert handshake(context, client)[1].selected_alpn_protocol() == "http/1.1"
