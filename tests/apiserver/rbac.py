"""The roles that our documentation asks for: those of kubenurse's chart, no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apiserver.objects import NAMESPACE

if TYPE_CHECKING:
    from apiserver.real import RealApiServer

ACCOUNT = "kubenurse"
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_GROUP = "rbac.authorization.k8s.io"
_SUBJECTS = [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}]
READ = ["get", "list", "watch"]


def create_account(server: RealApiServer) -> str:
    """Create the service account and return a token of it."""
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
    server.must("POST", path, {"metadata": {"name": ACCOUNT}})
    return server.token(NAMESPACE, ACCOUNT)


def delete_account(server: RealApiServer) -> None:
    server.delete(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}")


def allow_pods(server: RealApiServer) -> None:
    _allow(server, "Role", f"{_RBAC}/namespaces/{NAMESPACE}", "pods")


def allow_nodes(server: RealApiServer) -> None:
    _allow(server, "ClusterRole", _RBAC, "nodes")


def forbid_nodes(server: RealApiServer) -> None:
    for kind in ("clusterrolebindings", "clusterroles"):
        server.delete(f"{_RBAC}/{kind}/{ACCOUNT}")


def _allow(server: RealApiServer, kind: str, path: str, resource: str) -> None:
    metadata: dict[str, Any] = {"metadata": {"name": ACCOUNT}}
    rules = [{"apiGroups": [""], "resources": [resource], "verbs": READ}]
    server.must("POST", f"{path}/{kind.lower()}s", metadata | {"rules": rules})
    binding = {
        "roleRef": {"apiGroup": _GROUP, "kind": kind, "name": ACCOUNT},
        "subjects": _SUBJECTS,
    }
    server.must("POST", f"{path}/{kind.lower()}bindings", metadata | binding)
