"""Certificates and CA files in every form that clusters have them, and who accepts which.

A table: each form is a chain that a server shows, a CA file and the host that is asked. ``compare``
asks Go, curl and us; what it printed is in docs/compatibility.md and in ``BAD``.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HOST: Final = "agent.test"
DAY: Final = timedelta(days=1)
NOW: Final = datetime.now(UTC).replace(microsecond=0)

SERVER: Final = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT: Final = ExtendedKeyUsageOID.CLIENT_AUTH
ANY: Final = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
UNKNOWN: Final = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\x05\x00")


@dataclass(frozen=True)
class Issued:
    certificate: x509.Certificate
    key: Any

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


@dataclass(frozen=True)
class Form:
    """``chain`` is shown, leaf first; ``ca_file`` is trusted; ``host`` is asked."""

    chain: tuple[Issued, ...]
    ca_file: bytes
    host: str = HOST


def usage(*bits: str) -> x509.KeyUsage:
    names = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{name: name in bits for name in names})


def issue(
    name: str,
    by: Issued | None = None,
    *,
    ca: bool | None = None,
    pathlen: int | None = None,
    critical: bool = True,
    names: Sequence[str] = (),
    days: tuple[int, int] = (-30, 30),
    key_usage: x509.KeyUsage | None = None,
    purposes: Sequence[ObjectIdentifier] = (),
    constraints: x509.NameConstraints | None = None,
    identifiers: bool = True,
    own_identifier: bool = True,
    unknown: bool = False,
    key: Any = None,
    digest: Any = None,
    pss: bool = False,
) -> Issued:
    """One certificate. ``ca`` None: without basicConstraints. ``by`` None: signed by itself."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
    signer = by.key if by else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + days[0] * DAY)
        .not_valid_after(NOW + days[1] * DAY)
    )
    extensions: list[tuple[x509.ExtensionType | None, bool]] = [
        (None if ca is None else x509.BasicConstraints(ca, pathlen), critical),
        (key_usage, True),
        (x509.ExtendedKeyUsage(purposes) if purposes else None, False),
        (constraints, True),
        (x509.SubjectAlternativeName([general(n) for n in names]) if names else None, False),
        (UNKNOWN if unknown else None, True),
    ]
    if identifiers:
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        extensions += [
            (own if own_identifier else None, False),
            (authority if by else None, False),
        ]
    for extension, is_critical in extensions:
        if extension is not None:
            builder = builder.add_extension(extension, is_critical)
    if digest is None and not isinstance(signer, ed25519.Ed25519PrivateKey):
        digest = hashes.SHA256()
    options = {"rsa_padding": padding.PSS(padding.MGF1(digest), 32)} if pss else {}
    return Issued(builder.sign(signer, digest, **options), key)


def general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def permitted(*names: str) -> x509.NameConstraints:
    return x509.NameConstraints([x509.DNSName(name) for name in names], None)


def excluded(*names: str) -> x509.NameConstraints:
    return x509.NameConstraints(None, [x509.DNSName(name) for name in names])


def rsa_key(bits: int = 2048) -> Any:
    return rsa.generate_private_key(65_537, bits)


CERT_SIGN: Final = usage("key_cert_sign", "crl_sign")


@cache
def root() -> Issued:
    return issue("root", ca=True, key_usage=CERT_SIGN)


@cache
def middle() -> Issued:
    return issue("middle", root(), ca=True, pathlen=0, key_usage=CERT_SIGN)


@cache
def other_root() -> Issued:
    return issue("other root", ca=True, key_usage=CERT_SIGN)


@cache
def leaf() -> Issued:
    return issue("leaf", middle(), ca=False, names=[HOST], purposes=[SERVER])


def of_root(host: str = HOST, **options: Any) -> Form:
    """A leaf by the root, as the options have it."""
    options = {"ca": False, "names": [HOST], "purposes": [SERVER]} | options
    return Form((issue("leaf", root(), **options),), root().pem, host)


def below(host: str = HOST, **options: Any) -> Form:
    """A good leaf by a root as the options have it."""
    top = issue("odd root", **({"ca": True, "key_usage": CERT_SIGN} | options))
    ours = {"names": [host], "identifiers": options.get("identifiers", True)}
    return Form((issue("leaf", top, ca=False, purposes=[SERVER], **ours),), top.pem, host)


def below_middle(names: Sequence[str] = (HOST,), **options: Any) -> Form:
    """A good leaf by an intermediate as the options have it, by the root."""
    between = issue("odd middle", root(), **({"ca": True, "key_usage": CERT_SIGN} | options))
    bottom = issue("leaf", between, ca=False, names=names, purposes=[SERVER])
    return Form((bottom, between), root().pem)


def renewed_ca(*, identifiers: bool, both: bool) -> Form:
    """A CA that was made anew under its old name; the file has the old one, or both."""
    old, new = (
        issue("renewed", ca=True, key_usage=CERT_SIGN, identifiers=identifiers) for _ in range(2)
    )
    bottom = issue("leaf", new, ca=False, names=[HOST], identifiers=identifiers)
    return Form((bottom,), old.pem + new.pem if both else old.pem)


def cross_signed() -> Form:
    """The server still sends the old root's certificate for the new root, which has expired."""
    cross = issue("root", other_root(), ca=True, key=root().key, days=(-60, -1))
    return Form((leaf(), middle(), cross), root().pem)


def self_signed(name: str = HOST, **options: Any) -> Form:
    alone = issue(name, names=[HOST], **options)
    return Form((alone,), alone.pem)


def pinned_and_expired() -> Form:
    form = of_root(days=(-9, -1))
    return Form(form.chain, form.chain[0].pem)


def too_long() -> Form:
    top = issue("short root", ca=True, pathlen=0, key_usage=CERT_SIGN)
    between = issue("between", top, ca=True, key_usage=CERT_SIGN)
    return Form((issue("leaf", between, ca=False, names=[HOST]), between), top.pem)


def signed_with_pss() -> Form:
    top = issue("rsa root", ca=True, key_usage=CERT_SIGN, key=rsa_key())
    return Form((issue("leaf", top, ca=False, names=[HOST], pss=True),), top.pem)


def nameless(leaf_name: str, **options: Any) -> Form:
    """A root whose subject is empty, and a leaf of that name."""
    top = issue("", ca=True, key_usage=CERT_SIGN)
    return Form((issue(leaf_name, top, ca=False, names=[HOST], **options),), top.pem)


def shown(*chain: Issued) -> Form:
    return Form(chain, root().pem)


def file(*blocks: bytes) -> Form:
    return Form((leaf(), middle()), b"".join(blocks))


FORMS: Final[dict[str, Callable[[], Form]]] = {
    # What the file holds.
    "root, chain shown": lambda: shown(leaf(), middle()),
    "root, leaf alone shown": lambda: shown(leaf()),
    "another root": lambda: Form((leaf(), middle()), other_root().pem),
    "intermediate alone, chain shown": lambda: Form((leaf(), middle()), middle().pem),
    "intermediate alone, leaf alone shown": lambda: Form((leaf(),), middle().pem),
    "intermediate alone, IP address": lambda: Form(
        (issue("leaf", middle(), ca=False, names=["127.0.0.1", "localhost"]), middle()),
        middle().pem,
        "127.0.0.1",
    ),
    "root and intermediate, leaf alone shown": lambda: Form((leaf(),), root().pem + middle().pem),
    "leaf pinned": lambda: Form((leaf(),), leaf().pem),
    "leaf pinned, chain shown": lambda: Form((leaf(), middle()), leaf().pem),
    "leaf pinned, another leaf shown": lambda: Form(of_root().chain, leaf().pem),
    "leaf pinned, expired": pinned_and_expired,
    "self-signed, pinned": lambda: self_signed(ca=False),
    "self-signed, no basicConstraints, pinned": self_signed,
    "self-signed CA, pinned (openssl req -x509)": lambda: self_signed(ca=True),
    "another root first": lambda: file(other_root().pem, root().pem),
    "the root twice": lambda: file(root().pem, root().pem),
    "CA renewed under its name, old one in the file": lambda: renewed_ca(
        identifiers=True, both=False
    ),
    "CA renewed under its name, both in the file": lambda: renewed_ca(identifiers=True, both=True),
    "CA renewed, no key identifiers, old one in the file": lambda: renewed_ca(
        identifiers=False, both=False
    ),
    # What the server shows.
    "root shown too": lambda: shown(leaf(), middle(), root()),
    "chain in the wrong order": lambda: shown(leaf(), root(), middle()),
    "leaf shown twice": lambda: shown(leaf(), leaf(), middle()),
    "a stranger's root shown too": lambda: shown(leaf(), middle(), other_root()),
    "cross-signed by a root that expired": cross_signed,
    # Its CAs.
    "root without keyUsage": lambda: below(key_usage=None),
    "root without key identifiers": lambda: below(identifiers=False),
    "root with neither (openssl req -x509)": lambda: below(key_usage=None, identifiers=False),
    "root's basicConstraints not critical": lambda: below(critical=False),
    "root without basicConstraints": lambda: below(ca=None, key_usage=None),
    "root is no CA": lambda: below(ca=False, key_usage=None),
    "root without keyCertSign": lambda: below(key_usage=usage("digital_signature")),
    "root for serverAuth": lambda: below(purposes=[SERVER]),
    "root for clientAuth alone": lambda: below(purposes=[CLIENT]),
    "root expired": lambda: below(days=(-9, -1)),
    "root with an unknown critical extension": lambda: below(unknown=True),
    "intermediate is no CA": lambda: below_middle(ca=False, key_usage=None),
    "intermediate for serverAuth": lambda: below_middle(purposes=[SERVER]),
    "intermediate for clientAuth alone": lambda: below_middle(purposes=[CLIENT]),
    "intermediate for anyExtendedKeyUsage": lambda: below_middle(purposes=[ANY]),
    "intermediate expired": lambda: below_middle(days=(-9, -1)),
    "path longer than the root's pathlen": too_long,
    "name permitted": lambda: below_middle(constraints=permitted("test")),
    "name permitted, with a leading dot": lambda: below_middle(constraints=permitted(".test")),
    "name not permitted": lambda: below_middle(constraints=permitted("example.com")),
    "name excluded": lambda: below_middle(constraints=excluded(HOST)),
    "one of two names not permitted": lambda: below_middle(
        names=[HOST, "agent.example.com"], constraints=permitted("test")
    ),
    # The leaf.
    "no extendedKeyUsage": lambda: of_root(purposes=[]),
    "clientAuth alone": lambda: of_root(purposes=[CLIENT]),
    "clientAuth and serverAuth": lambda: of_root(purposes=[CLIENT, SERVER]),
    "anyExtendedKeyUsage alone": lambda: of_root(purposes=[ANY]),
    "anyExtendedKeyUsage and serverAuth": lambda: of_root(purposes=[ANY, SERVER]),
    "keyUsage digitalSignature": lambda: of_root(key_usage=usage("digital_signature")),
    "keyUsage keyEncipherment alone, RSA": lambda: of_root(
        key=rsa_key(), key_usage=usage("key_encipherment")
    ),
    "keyUsage keyCertSign alone": lambda: of_root(key_usage=usage("key_cert_sign")),
    "leaf is a CA": lambda: of_root(ca=True, key_usage=None),
    "leaf without basicConstraints": lambda: of_root(ca=None),
    "leaf without key identifiers": lambda: of_root(identifiers=False),
    "leaf with an unknown critical extension": lambda: of_root(unknown=True),
    "expired": lambda: of_root(days=(-9, -1)),
    "not yet valid": lambda: of_root(days=(1, 9)),
    "until 9999 (RFC 5280 4.1.2.5)": lambda: of_root(
        days=(-1, (datetime(9999, 12, 31, tzinfo=UTC) - NOW).days)
    ),
    "RSA of 1,024 bits": lambda: of_root(key=rsa_key(1024)),
    "RSA-PSS signature": signed_with_pss,
    "P-521": lambda: of_root(key=ec.generate_private_key(ec.SECP521R1())),
    "Ed25519": lambda: of_root(key=ed25519.Ed25519PrivateKey.generate()),
    # Names.
    "common name alone": lambda: shown(issue(HOST, root(), ca=False)),
    "common name, and an IP address": lambda: shown(
        issue(HOST, root(), ca=False, names=["192.0.2.1"])
    ),
    "another name": lambda: of_root(names=["other.test"]),
    "wildcard": lambda: of_root("a.agent.test", names=["*.agent.test"]),
    "wildcard below one label": lambda: of_root(names=["*.test"]),
    "wildcard, two labels": lambda: of_root("a.b.agent.test", names=["*.agent.test"]),
    "wildcard within a label": lambda: of_root("a.agent.test", names=["a*.agent.test"]),
    "name in capitals": lambda: of_root(names=["AGENT.Test"]),
    "name with _": lambda: of_root("my_agent.test", names=["my_agent.test"]),
    "asked with a trailing dot": lambda: of_root("agent.test."),
    "IP address": lambda: of_root("127.0.0.1", names=["127.0.0.1"]),
    "IP address, a name alone": lambda: of_root("127.0.0.1"),
    "another IP address": lambda: of_root("127.0.0.1", names=["192.0.2.1"]),
    # Without a subject, as cert-manager issues where no commonName is asked for.
    "leaf without a subject": lambda: shown(issue("", root(), ca=False, names=[HOST])),
    "root without a subject": lambda: nameless("leaf"),
    "root and leaf without a subject": lambda: nameless(""),
    "the same, and the leaf has no key identifier of its own": lambda: nameless(
        "", own_identifier=False
    ),
    "self-signed without a subject, pinned": lambda: self_signed(""),
    # How the file is written.
    "CRLF": lambda: file(root().pem.replace(b"\n", b"\r\n")),
    "text around the blocks": lambda: file(b"# our root\n", root().pem, b"subject=CN = x\n"),
    "label X509 CERTIFICATE": lambda: file(
        root().pem.replace(b" CERTIFICATE", b" X509 CERTIFICATE")
    ),
    "with a private key": lambda: file(root().pem, other_root().key_pem),
    "base64 in one line": lambda: file(one_line(root().pem)),
    "no newline at the end": lambda: file(root().pem.rstrip()),
    "UTF-8 BOM": lambda: file(b"\xef\xbb\xbf", root().pem),
    "indented": lambda: file(b"  " + root().pem.rstrip().replace(b"\n", b"\n  ") + b"\n"),
    "two files joined without a newline": lambda: file(other_root().pem.rstrip(), root().pem),
    "a broken block before the root": lambda: file(broken(other_root().pem), root().pem),
    "DER": lambda: file(root().der),
    "empty": file,
}


BAD: Final[dict[str, str]] = {
    "root, leaf alone shown": "tls_certificate_untrusted",
    "another root": "tls_certificate_untrusted",
    "leaf pinned, another leaf shown": "tls_certificate_untrusted",
    "leaf pinned, expired": "tls_certificate_expired",
    "CA renewed under its name, old one in the file": "tls_certificate_untrusted",
    "CA renewed, no key identifiers, old one in the file": "tls_certificate_untrusted",
    "root without basicConstraints": "tls_certificate_invalid",
    "root is no CA": "tls_certificate_invalid",
    "root without keyCertSign": "tls_certificate_invalid",
    "root for clientAuth alone": "tls_certificate_invalid",
    "root expired": "tls_certificate_expired",
    "root with an unknown critical extension": "tls_certificate_invalid",
    "intermediate is no CA": "tls_certificate_invalid",
    "intermediate for clientAuth alone": "tls_certificate_invalid",
    "intermediate for anyExtendedKeyUsage": "tls_certificate_invalid",
    "intermediate expired": "tls_certificate_expired",
    "path longer than the root's pathlen": "tls_certificate_invalid",
    "name not permitted": "tls_certificate_invalid",
    "name excluded": "tls_certificate_invalid",
    "one of two names not permitted": "tls_certificate_invalid",
    "clientAuth alone": "tls_certificate_invalid",
    "anyExtendedKeyUsage alone": "tls_certificate_invalid",
    "keyUsage keyCertSign alone": "tls_certificate_invalid",
    "leaf with an unknown critical extension": "tls_certificate_invalid",
    "expired": "tls_certificate_expired",
    "not yet valid": "tls_certificate_not_yet_valid",
    "RSA of 1,024 bits": "tls_certificate_invalid",
    "common name alone": "tls_hostname_mismatch",
    "common name, and an IP address": "tls_hostname_mismatch",
    "another name": "tls_hostname_mismatch",
    "wildcard below one label": "tls_hostname_mismatch",
    "wildcard, two labels": "tls_hostname_mismatch",
    "wildcard within a label": "tls_hostname_mismatch",
    "IP address, a name alone": "tls_hostname_mismatch",
    "another IP address": "tls_hostname_mismatch",
    "the same, and the leaf has no key identifier of its own": "tls_certificate_untrusted",
    "indented": "credentials_missing",
    "two files joined without a newline": "credentials_missing",
    "a broken block before the root": "credentials_missing",
    "DER": "credentials_missing",
    "empty": "credentials_missing",
}
"""What a check of a form says; of all others it is good."""


def one_line(pem: bytes) -> bytes:
    first, *middle_lines, last = pem.strip().split(b"\n")
    return b"\n".join((first, b"".join(middle_lines), last, b""))


def broken(pem: bytes) -> bytes:
    lines = pem.split(b"\n")
    return b"\n".join((*lines[:3], b"!" + lines[3][1:], *lines[4:]))
