"""TLS at the ingress: a certificate expired, of another name or CA; a handshake cut or stalled."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

import trustme

from e2e.cluster import ingress
from e2e.cluster.credentials import INGRESS_HOST
from e2e.faults.failing import Failing, nothing_else
from e2e.faults.fault import Fault
from e2e.faults.impostor import at_the_ingress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e2e.cluster.cluster import Cluster
    from e2e.faults.scene import Scene

_EXPIRY: Final = 'kubenurse_tls_certificate_expiry_timestamp_seconds{type="me_ingress"}'
_DAY: Final = timedelta(days=1)
_SOON: Final = 3 * _DAY
Issue: TypeAlias = "Callable[[trustme.CA], trustme.LeafCert]"


def _expired(authority: trustme.CA) -> trustme.LeafCert:
    now = datetime.now(UTC)
    return authority.issue_cert(INGRESS_HOST, not_before=now - 9 * _DAY, not_after=now - _DAY)


def _expiring(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert(INGRESS_HOST, not_after=datetime.now(UTC) + _SOON)


def _of_another_name(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("elsewhere.example.test")


def _of_a_stranger(_authority: trustme.CA) -> trustme.LeafCert:
    return trustme.CA(organization_name="a stranger").issue_cert(INGRESS_HOST)


@contextmanager
def certificate(issue: Issue, cluster: Cluster, _node: str) -> Iterator[None]:
    """The ingress shows this one for every host."""
    leaf = issue(cluster.credentials.authority())
    shown, key = cluster.edge.folder / "fault.crt", cluster.edge.folder / "fault.key"
    shown.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(str(key))
    try:
        ingress.override(cluster.edge, certificate=(shown, key))
        yield
    finally:
        ingress.override(cluster.edge)


def proof(error_type: str, word: str, scene: Scene) -> None:
    """Every check through the ingress fails in the handshake, and nothing else is touched."""
    failing = Failing("me_ingress", error_type, "tls")
    failing.seen(scene, nodes=list(scene.cluster.nodes))
    assert not scene.samples(_EXPIRY), "a certificate that was not accepted has an expiry"
    client = next(span for span in failing.trace(scene).named("GET") if span.kind == "client")
    message = str(client.attributes["kubenurse.error.message"])
    assert word in message, f"{word!r} is not in: {message}"
    scene.alerts("KubenurseIngressFailing", type="me_ingress")
    nothing_else(scene, "me_ingress")


def proof_expiring(scene: Scene) -> None:
    """No check fails, the metric tells the date, and the alert waits its hour."""
    scene.shows(
        f"{_EXPIRY} - time()",
        lambda seconds: 0 < seconds < _SOON.total_seconds(),
        what="kubenurse_tls_certificate_expiry_timestamp_seconds type=me_ingress is in 3 days",
    )
    scene.prometheus.until_alerts(
        lambda alerts: (
            {"far_end": "me_ingress"}.items()
            <= next(iter(alerts.pending.get("KubenurseCertificateExpiring", [])), {}).items()
        ),
        seconds=30,
        what="KubenurseCertificateExpiring waits, of the ingress",
    )
    scene.seen.alerts.append("KubenurseCertificateExpiring waits (for: 1h)")
    nothing_else(scene)


def _fault(
    name: str, broken: str, issue: Issue, error_type: str, word: str, *, users: str
) -> Fault:
    return Fault(
        name,
        broken,
        users,
        "errors at me_ingress, event tls_handshake_done, each counted twice; no cause is shown",
        partial(certificate, issue),
        partial(proof, error_type, word),
    )


FAULTS: Final = (
    _fault(
        "tls-expired",
        "The ingress' certificate has expired",
        _expired,
        "tls_certificate_expired",
        "has expired",
        users="Browsers and clients refuse the site",
    ),
    _fault(
        "tls-wrong-name",
        "The ingress' certificate is for another name",
        _of_another_name,
        "tls_hostname_mismatch",
        "another name",
        users="Browsers and clients refuse the site",
    ),
    _fault(
        "tls-untrusted",
        "The ingress' certificate is from an unknown CA",
        _of_a_stranger,
        "tls_certificate_untrusted",
        "not trusted",
        users="Browsers and clients refuse the site",
    ),
    Fault(
        "tls-expires-soon",
        "The ingress' certificate expires in three days",
        "Nothing yet",
        "nothing",
        partial(certificate, _expiring),
        proof_expiring,
    ),
    Fault(
        "tls-handshake-cut",
        "The ingress closes in the middle of the TLS handshake",
        "No connection to the site",
        "errors at me_ingress, event tls_handshake_done, each counted twice",
        partial(at_the_ingress, "handshake_cut", tls=False),
        partial(proof, "tls_handshake_failed", "TLS handshake"),
    ),
    Fault(
        "tls-handshake-stalled",
        "The ingress accepts connections and never answers the TLS handshake",
        "The site hangs",
        "errors at me_ingress after its time-out; all other checks of the round wait for it",
        partial(at_the_ingress, "handshake_stalled", tls=False),
        partial(proof, "tls_handshake_timeout", "handshake"),
    ),
)
