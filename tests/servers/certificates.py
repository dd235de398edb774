"""Certificates as servers show them, the good and the bad, and the CA files that vouch for them."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("localhost", "agent.test", "127.0.0.1", "127.0.0.2", "::1")


class Kind(StrEnum):
    """What is right or wrong with a certificate."""

    GOOD = "good"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    WRONG_NAME = "wrong_name"
    """Valid for elsewhere.test and 192.0.2.1 only."""
    UNTRUSTED = "untrusted"
    """Issued by a CA of which nobody knows."""
    SELF_SIGNED = "self_signed"
    NO_IP = "no_ip"
    """Names only: asked by IP address it does not fit."""


def write_pair(leaf: trustme.LeafCert, folder: Path) -> tuple[Path, Path]:
    """Write tls.crt (with its chain) and tls.key, as a Secret has them; return their paths."""
    certificate, key = folder / "tls.crt", folder / "tls.key"
    certificate.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    key.write_bytes(leaf.private_key_pem.bytes())
    return certificate, key


class Certificates:
    """A CA that ``ca_file`` holds, another that nobody trusts, and server contexts by Kind."""

    def __init__(self, directory: Path) -> None:
        self.authority = trustme.CA(organization_name="kubenurse-otel tests")
        self._stranger = trustme.CA(organization_name="a stranger")
        self.ca_file = directory / "ca.crt"
        self.authority.cert_pem.write_to_path(self.ca_file)
        self.stranger_ca_file = directory / "stranger.crt"
        self._stranger.cert_pem.write_to_path(self.stranger_ca_file)
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.good_until = self.now + timedelta(days=30)

    def leaf(self, kind: Kind = Kind.GOOD) -> trustme.LeafCert:
        day = timedelta(days=1)
        match kind:
            case Kind.EXPIRED:
                return self._issue(*NAMES, not_before=self.now - 9 * day, not_after=self.now - day)
            case Kind.NOT_YET_VALID:
                return self._issue(*NAMES, not_before=self.now + day, not_after=self.now + 9 * day)
            case Kind.WRONG_NAME:
                return self._issue("elsewhere.test", "192.0.2.1")
            case Kind.NO_IP:
                return self._issue("localhost", "agent.test")
            case Kind.UNTRUSTED | Kind.SELF_SIGNED:
                return self._stranger.issue_cert(*NAMES)
            case Kind.GOOD:
                return self._issue(*NAMES)

    def context(
        self,
        kind: Kind = Kind.GOOD,
        *,
        minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
        maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        client_certificate: bool = False,
    ) -> ssl.SSLContext:
        """A server's context; with ``client_certificate`` it insists on one from the client."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = minimum
        context.maximum_version = maximum
        context.set_alpn_protocols(["http/1.1"])
        if kind is Kind.SELF_SIGNED:
            self._show_the_ca_itself(context)
        else:
            self.leaf(kind).configure_cert(context)
        if client_certificate:
            context.verify_mode = ssl.CERT_REQUIRED
            self.authority.configure_trust(context)
        return context

    def _show_the_ca_itself(self, context: ssl.SSLContext) -> None:
        with self._stranger.private_key_pem.tempfile() as key:
            context.load_cert_chain(self.stranger_ca_file, key)

    def _issue(
        self,
        *names: str,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> trustme.LeafCert:
        return self.authority.issue_cert(
            *names, not_before=not_before, not_after=not_after or self.good_until
        )
