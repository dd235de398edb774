"""The real API server of the bench: certificates as clusters have them, an audit log of all.

Owns starting it and reading its audit log.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

import trustme

from bench.large import borrowed, place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bench.large.borrowed import Administrator

_POLICY: Final = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n"
_ALL: Final = "- level: Metadata\n"
_NO_CHECKS: Final = """- level: None
  userGroups: ["system:serviceaccounts:{namespace}"]
  nonResourceURLs: ["/version"]
"""
TOKEN_SECONDS: Final = 6 * 3600
NAMES: Final = (
    "127.0.0.1",
    "localhost",
    place.API_SERVER,
    place.API_SERVICE,
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
ECDSA: Final = ("--tls-cert-file={0}/ec.crt", "--tls-private-key-file={0}/ec.key")
UNAUDITED: Final = ("--audit-policy-file={0}/no-checks.yaml",)


@contextlib.contextmanager
def api_server(
    directory: Path, objects: Path, populate: Callable[[Administrator], object]
) -> Iterator[Administrator]:
    """etcd and kube-apiserver on every address, with an RSA certificate.

    ``objects`` is etcd's folder after ``populate``; it is made where it is not there, once.
    """
    server = cast("Administrator", borrowed.real.RealApiServer(directory))
    ca = _certificates(server)
    cast("Any", server)._tls.load_verify_locations(server.ca_file)  # noqa: SLF001 - it is ours now
    server.port = place.API_PORT
    (directory / "policy.yaml").write_text(_POLICY + _ALL)
    (directory / "no-checks.yaml").write_text(
        _POLICY + _NO_CHECKS.format(namespace=borrowed.NAMESPACE) + _ALL
    )
    (directory / "nginx").mkdir()
    issued = ca.issue_cert(place.INGRESS_HOST, key_type=trustme.KeyType.RSA)
    issued.private_key_and_cert_chain_pem.write_to_path(directory / "nginx" / "tls.pem")
    try:
        if objects.exists():
            shutil.copytree(objects, directory / "etcd")
        server.start_etcd()
        server.start(*options(directory))
        if not objects.exists():
            populate(server)
            server.stop()
            server.stop_etcd()
            fresh = objects.with_suffix(f".{os.getpid()}")
            shutil.copytree(directory / "etcd", fresh)
            fresh.replace(objects)
            server.start_etcd()
            server.start(*options(directory))
        yield server
    finally:
        server.stop()
        server.stop_etcd()


def options(directory: Path, *more: str) -> tuple[str, ...]:
    return (
        "--bind-address=0.0.0.0",
        f"--audit-policy-file={directory / 'policy.yaml'}",
        f"--audit-log-path={directory / 'audit.log'}",
        "--audit-log-maxsize=100000",
        *more,
    )


def _certificates(server: Administrator) -> trustme.CA:
    """RSA, as kubeadm makes them (and ECDSA beside it): what a handshake costs is the key's."""
    ca = trustme.CA(key_type=trustme.KeyType.RSA)
    ca.cert_pem.write_to_path(server.ca_file)
    for name, kind in (("tls", trustme.KeyType.RSA), ("ec", trustme.KeyType.ECDSA)):
        leaf = ca.issue_cert(*NAMES, key_type=kind)
        leaf.private_key_pem.write_to_path(server.directory / f"{name}.key")
        leaf.cert_chain_pems[0].write_to_path(server.directory / f"{name}.crt")
    return ca


def service_account(server: Administrator) -> Path:
    """A service account with the chart's roles, as it is mounted into a pod; returns the folder."""
    token = borrowed.rbac.create_account(server)
    borrowed.rbac.allow_pods(server)
    borrowed.rbac.allow_nodes(server)
    token = server.token(borrowed.NAMESPACE, borrowed.rbac.ACCOUNT, TOKEN_SECONDS)
    folder = server.directory / "serviceaccount"
    folder.mkdir()
    (folder / "token").write_text(token)
    (folder / "ca.crt").write_bytes(server.ca_file.read_bytes())
    (folder / "namespace").write_text(borrowed.NAMESPACE)
    return folder


def services(server: Administrator) -> None:
    """The agents' Service, for CoreDNS."""
    ports = [{"name": "http", "port": 8080, "protocol": "TCP"}]
    spec = {"clusterIP": place.SERVICE, "ports": ports, "selector": {"app": "kubenurse"}}
    body = {"metadata": {"name": "kubenurse"}, "spec": spec}
    server.must("POST", f"/api/v1/namespaces/{borrowed.NAMESPACE}/services", body)


@dataclass(slots=True)
class Asked:
    """Audit events of our agents: requests by what was asked, events and bytes by stage."""

    requests: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)


class AuditLog:
    """Reads on from where it was."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0

    def skip(self) -> None:
        self._at = self._path.stat().st_size

    def read(self) -> Asked:
        """What service accounts asked since the last call; a request's events may be cut apart."""
        asked = Asked()
        with self._path.open("rb") as log:
            log.seek(self._at)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._at += len(line)
                event = json.loads(line)
                if event["user"].get("username", "").startswith("system:serviceaccount:"):
                    _count(asked, event, len(line))
        return asked


def _count(asked: Asked, event: dict[str, Any], size: int) -> None:
    what, stage = _asked(event), event["stage"]
    asked.events[f"{what}, {stage}"] += 1
    asked.bytes[f"{what}, {stage}"] += size
    if stage == "RequestReceived":
        asked.requests[what] += 1
    elif stage == "ResponseComplete":
        asked.codes[f"{what} {event['responseStatus'].get('code', 0)}"] += 1


def _asked(event: dict[str, Any]) -> str:
    """A few words, such as `watch nodes spec.unschedulable=true`."""
    if event["requestURI"] == "/version":
        return "check"
    selected = ""
    if event["verb"] == "watch" and event["objectRef"]["resource"] == "nodes":
        selected = " cordoned" if "unschedulable" in event["requestURI"] else " own"
    return f"{event['verb']} {event['objectRef']['resource']}{selected}"
