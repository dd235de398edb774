"""The real API server's word on manifests: server-side dry run, strict fields, Pod Security.

The CRDs are the published ones, from their Go modules.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from apiserver.real import RealApiServer

    from .helm import Manifest

RESTRICTED: Final = "monitoring"
PRIVILEGED: Final = "privileged"
_OPERATOR: Final = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
_GATEWAY: Final = "sigs.k8s.io/gateway-api@v1.3.0"
_CRDS: Final = {
    _OPERATOR: (
        "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    ),
    _GATEWAY: ("config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",),
}
_PLURALS: Final = {"NetworkPolicy": "networkpolicies", "Ingress": "ingresses"}
_CLUSTER_WIDE: Final = ("ClusterRole", "ClusterRoleBinding", "Namespace")
_CRD_PATH: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Admission:
    """An API server that holds our CRDs, and namespaces that enforce Pod Security."""

    def __init__(self, server: RealApiServer) -> None:
        self.server = server
        for name in (RESTRICTED, PRIVILEGED):
            level = "restricted" if name == RESTRICTED else "privileged"
            labels = {"pod-security.kubernetes.io/enforce": level}
            server.must(
                "POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}}
            )
        for definition in _definitions():
            server.must("POST", _CRD_PATH, definition)
        for definition in _definitions():
            self._wait_until_served(definition["metadata"]["name"])

    def _wait_until_served(self, name: str) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            status = self.server.must("GET", f"{_CRD_PATH}/{name}").get("status", {})
            if any(
                condition["type"] == "Established" and condition["status"] == "True"
                for condition in status.get("conditions", [])
            ):
                return
            time.sleep(0.1)
        raise AssertionError(f"{name} is not established")

    def apply(self, manifest: Manifest, *, dry_run: bool = True) -> tuple[int, Any]:
        """Server-side apply with strict field validation; return (status, answer)."""
        query = "fieldManager=helm&force=true&fieldValidation=Strict"
        return self.server.request(
            "PATCH",
            f"{path(manifest)}/{manifest['metadata']['name']}?{query}"
            + ("&dryRun=All" if dry_run else ""),
            manifest,
            "application/apply-patch+yaml",
        )

    def create_pod(self, template: Manifest, namespace: str) -> tuple[int, Any]:
        """Create (dry run) a pod of a DaemonSet's template, as its controller would."""
        metadata = template["metadata"] | {"name": "agent", "namespace": namespace}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        return self.server.request(
            "POST", f"/api/v1/namespaces/{namespace}/pods?dryRun=All&fieldValidation=Strict", pod
        )


def path(manifest: Manifest) -> str:
    """Return the API's path of the manifest's collection."""
    version, kind = manifest["apiVersion"], manifest["kind"]
    plural = _PLURALS.get(kind, f"{kind.lower()}s")
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    if kind in _CLUSTER_WIDE:
        return f"{root}/{plural}"
    return f"{root}/namespaces/{manifest['metadata']['namespace']}/{plural}"


def _definitions() -> list[Manifest]:
    return [
        yaml.safe_load((_downloaded(module) / file).read_text())
        for module, files in _CRDS.items()
        for file in files
    ]


def _downloaded(module: str) -> Path:
    """Return the directory of a Go module's source, from the module proxy or Go's cache."""
    told = subprocess.run(
        ["go", "mod", "download", "-json", module], capture_output=True, text=True, check=True
    )
    return Path(json.loads(told.stdout)["Dir"])
