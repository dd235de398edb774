"""What the TLS listener takes: Mozilla's intermediate configuration, asked by real clients."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import system_programs
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from running_server import LOOPBACK, client, get, running
from servers.namespace import LackingError

from kubenurse_otel.server.tls import CIPHERS

if TYPE_CHECKING:
    from pathlib import Path

TLS_13 = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
PATIENCE_SECONDS = 20.0


@pytest.fixture(params=["rsa", "ecdsa"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """A self-signed certificate of either kind, as the server's configuration."""
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = (
        ec.generate_private_key(ec.SECP256R1())
        if request.param == "ecdsa"
        else rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "agent")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
        .sign(key, SHA256())
    )
    (tmp_path / "tls.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    (tmp_path / "tls.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    return {
        "use_tls": True,
        "cert_file": tmp_path / "tls.crt",
        "cert_key": tmp_path / "tls.key",
        "kind": request.param,
    }


def _context(ciphers: str, *, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = newest
    context.set_ciphers(ciphers)
    return context


async def test_each_cipher_of_the_list_is_taken(pair: dict[str, Any]) -> None:
    """TLS 1.2 by a client that has this one alone, and answered."""
    kind = pair.pop("kind").upper()
    async with running(**pair) as here:
        for cipher in CIPHERS:
            if f"-{kind}-" not in cipher:
                continue
            async with client(here.server.ports.tls_port, tls=_context(cipher)) as connection:
                assert connection.writer.get_extra_info("cipher")[0] == cipher
                connection.send(get("/ready"))
                assert (await connection.answer()).status == 200


@pytest.mark.parametrize(
    "cipher",
    [
        "ECDHE-{}-AES128-SHA256",  # CBC
        "ECDHE-{}-AES256-SHA384",
        "ECDHE-{}-AES128-SHA",
        "AES128-GCM-SHA256",  # no forward secrecy
        "AES256-SHA",
        "DHE-RSA-AES128-GCM-SHA256",
    ],
)
async def test_another_cipher_is_refused(pair: dict[str, Any], cipher: str) -> None:
    """By an alert, before the certificate."""
    kind = pair.pop("kind").upper()
    async with running(**pair) as here:
        with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
            async with client(
                here.server.ports.tls_port, tls=_context(cipher.format(kind) + ":@SECLEVEL=0")
            ):
                pass


@pytest.mark.parametrize("order", [1, -1])
async def test_the_clients_order_counts(pair: dict[str, Any], order: int) -> None:
    """Mozilla: server_preferred_order false, since each is good and the client knows its CPU."""
    kind = pair.pop("kind").upper()
    ours = [cipher for cipher in CIPHERS if f"-{kind}-" in cipher][::order]
    async with (
        running(**pair) as here,
        client(here.server.ports.tls_port, tls=_context(":".join(ours))) as connection,
    ):
        assert connection.writer.get_extra_info("cipher")[0] == ours[0]


async def _openssl(port: int | None, *options: str) -> str:
    if lacking := system_programs.lacking(("openssl",)):
        raise LackingError(system_programs.not_installed(lacking))
    command = ["openssl", "s_client", "-connect", f"{LOOPBACK}:{port}", *options]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(b""), PATIENCE_SECONDS)
    return out.decode(errors="replace")


@pytest.mark.parametrize("suite", TLS_13)
async def test_each_suite_of_tls_13_is_taken(pair: dict[str, Any], suite: str) -> None:
    """All three, from a client that has one of them."""
    pair.pop("kind")
    async with running(**pair) as here:
        said = await _openssl(here.server.ports.tls_port, "-tls1_3", "-ciphersuites", suite)
    assert f"Cipher is {suite}" in said


@pytest.mark.parametrize(
    "groups", ["X25519", "P-256", "P-384", "P-256:ffdhe2048", "X448:X25519", "P-521:P-384"]
)
async def test_curves_of_the_list_are_taken(pair: dict[str, Any], groups: str) -> None:
    """One of them will do, wherever it stands among others."""
    pair.pop("kind")
    async with running(**pair) as here:
        said = await _openssl(here.server.ports.tls_port, "-tls1_3", "-groups", groups)
    assert "Cipher is TLS_" in said


@pytest.mark.parametrize(
    "groups",
    ["ffdhe8192", "ffdhe2048", "ffdhe8192:X25519", "X448:ffdhe8192", "X448", "P-521"],
)
async def test_what_costs_us_is_refused_before_it_does(pair: dict[str, Any], groups: str) -> None:
    """Finite fields are up to 170 ms of the event loop; without a curve of ours one is chosen."""
    pair.pop("kind")
    async with running(**pair) as here:
        said = await _openssl(here.server.ports.tls_port, "-tls1_3", "-groups", groups)
    assert "Cipher is (NONE)" in said
    assert "handshake failure" in said
