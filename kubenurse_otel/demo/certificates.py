"""The demo's certificate authority, and the files that a service account has in a pod."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import trustme

from kubenurse_otel.record import record

if TYPE_CHECKING:
    from pathlib import Path

_NAMES: Final = ("localhost", "127.0.0.1", "::1")


@record(frozen=True, slots=True)
class Files:
    """Paths. Each PEM file holds a certificate chain and its key."""

    service_account: Path
    """A folder: token, ca.crt, namespace."""
    api_server: Path
    ingress: Path
    expired: Path


def make_files(folder: Path) -> Files:
    """Write all files into ``folder``, which nobody but us may read."""
    authority = trustme.CA()
    service_account = folder / "serviceaccount"
    service_account.mkdir()
    authority.cert_pem.write_to_path(service_account / "ca.crt")
    (service_account / "token").write_text(secrets.token_urlsafe(32))
    (service_account / "namespace").write_text("demo")
    now = datetime.now(UTC)
    files = Files(
        service_account=service_account,
        api_server=folder / "api-server.pem",
        ingress=folder / "ingress.pem",
        expired=folder / "expired.pem",
    )
    for path, not_after in (
        (files.api_server, now + timedelta(days=90)),
        (files.ingress, now + timedelta(days=90)),
        (files.expired, now - timedelta(days=1)),
    ):
        issued = authority.issue_cert(
            *_NAMES, not_before=now - timedelta(days=30), not_after=not_after
        )
        issued.private_key_and_cert_chain_pem.write_to_path(path)
    return files
