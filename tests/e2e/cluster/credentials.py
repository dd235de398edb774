"""The cluster's authority, certificates, tokens and kubeconfigs, in one folder.

Users are known by bearer tokens of a file (--token-auth-file); a node's has the group system:nodes.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

API_HOST: Final = "10.90.0.2"
API_PORT: Final = 6443
API_URL: Final = f"https://{API_HOST}:{API_PORT}"
API_NAMES: Final = (
    API_HOST,
    "10.96.0.1",
    "127.0.0.1",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
INGRESS_HOST: Final = "kubenurse.example.test"
MOST_NODES: Final = 9
_USERS: Final = {
    "admin": "system:masters",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
    "system:kube-proxy": "",
    **{f"system:node:node-{number}": "system:nodes" for number in range(1, MOST_NODES + 1)},
}


@dataclass(frozen=True, slots=True)
class Credentials:
    """What `create` wrote into ``folder``; later runs read it."""

    folder: Path

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def tokens_file(self) -> Path:
        return self.folder / "tokens.csv"

    def create(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca_file))
        authority.private_key_pem.write_to_path(str(self.folder / "ca.key"))
        self.issue("kube-apiserver", *API_NAMES)
        self.issue("ingress", INGRESS_HOST)
        client = {"user": "kube-apiserver-kubelet-client", "group": "system:masters"}
        self.issue("kubelet-client", "kubelet-client", **client)
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        (self.folder / "service-accounts.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
        lines = []
        for user, group in _USERS.items():
            token = secrets.token_hex(16)
            lines.append(f'{token},{user},{user},"{group}"\n')
            self._write_kubeconfig(user, token)
        self.tokens_file.write_text("".join(lines))

    def issue(self, name: str, *hosts: str, user: str = "", group: str = "") -> tuple[Path, Path]:
        """Write ``name.crt`` (with the chain) and ``name.key`` by our authority; return both."""
        certificate, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        leaf = self.authority().issue_cert(
            *hosts, common_name=user or None, organization_name=group or None
        )
        leaf.private_key_pem.write_to_path(str(key))
        certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        return certificate, key

    def authority(self) -> trustme.CA:
        return trustme.CA.from_pem(self.ca_file.read_bytes(), (self.folder / "ca.key").read_bytes())

    def token(self, user: str = "admin") -> str:
        for line in self.tokens_file.read_text().splitlines():
            token, name, *_ = line.split(",")
            if name == user:
                return token
        raise KeyError(user)

    def token_file(self, user: str = "admin") -> Path:
        return self.folder / f"{user.replace(':', '_')}.token"

    def kubeconfig(self, user: str = "admin") -> Path:
        return self.folder / f"{user.replace(':', '_')}.kubeconfig"

    def _write_kubeconfig(self, user: str, token: str) -> None:
        self.token_file(user).write_text(token)
        cluster = {"server": API_URL, "certificate-authority": str(self.ca_file)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "e2e", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": user}}],
            "current-context": "e2e",
        }
        self.kubeconfig(user).write_text(json.dumps(document, indent=1))
