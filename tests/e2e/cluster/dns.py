"""CoreDNS: two pods behind the Service kube-dns, for cluster.local and the ingress's name."""

from __future__ import annotations

from typing import Any, Final

from e2e.cluster import images
from e2e.cluster.credentials import INGRESS_HOST

INGRESS_ADDRESS: Final = "10.90.0.3"
_NAME: Final = "coredns"
_LABELS: Final = {"k8s-app": "kube-dns"}
_COREFILE: Final = f"""
.:53 {{
  errors
  health {{
    lameduck 2s
  }}
  ready
  kubernetes cluster.local in-addr.arpa {{
    pods insecure
    ttl 5
  }}
  hosts {{
    {INGRESS_ADDRESS} {INGRESS_HOST}
    ttl 5
    fallthrough
  }}
  cache 5
  reload 2s
  loadbalance
}}
"""


def manifests(cluster_dns: str, *, replicas: int = 2) -> list[dict[str, Any]]:
    """Return everything of CoreDNS, as `kubectl apply` takes it."""
    meta = {"name": _NAME, "namespace": "kube-system"}
    rules = [
        {
            "apiGroups": [""],
            "resources": ["endpoints", "services", "pods", "namespaces"],
            "verbs": ["list", "watch"],
        },
        {
            "apiGroups": ["discovery.k8s.io"],
            "resources": ["endpointslices"],
            "verbs": ["list", "watch"],
        },
    ]
    rbac = "rbac.authorization.k8s.io"
    role = {"apiGroup": rbac, "kind": "ClusterRole", "name": _NAME}
    subject = {"kind": "ServiceAccount", "name": _NAME, "namespace": "kube-system"}
    ports = [{"name": f"dns-{p.lower()}", "port": 53, "protocol": p} for p in ("UDP", "TCP")]
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": _NAME},
            "rules": rules,
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": _NAME},
            "roleRef": role,
            "subjects": [subject],
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": meta,
            "data": {"Corefile": _COREFILE},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta,
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": _LABELS},
                "template": {"metadata": {"labels": _LABELS}, "spec": _pod()},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": _LABELS},
            "spec": {"selector": _LABELS, "clusterIP": cluster_dns, "ports": ports},
        },
    ]


def _pod() -> dict[str, Any]:
    def probe(port: int, path: str) -> dict[str, Any]:
        return {"httpGet": {"port": port, "path": path}, "periodSeconds": 2, "timeoutSeconds": 2}

    ports = [{"containerPort": 53, "protocol": p} for p in ("UDP", "TCP")]
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": _LABELS},
    }
    # Not where faults are by default: a broken node is not to be broken DNS, too.
    elsewhere = {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["node-2"]}
    required = {"nodeSelectorTerms": [{"matchExpressions": [elsewhere]}]}
    return {
        "serviceAccountName": _NAME,
        "dnsPolicy": "Default",
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}},
        "topologySpreadConstraints": [spread],
        "terminationGracePeriodSeconds": 5,
        "containers": [
            {
                "name": _NAME,
                "image": images.COREDNS,
                "imagePullPolicy": "Never",
                "args": ["-conf", "/etc/coredns/Corefile"],
                "ports": ports,
                "readinessProbe": probe(8181, "/ready"),
                "livenessProbe": {**probe(8080, "/health"), "failureThreshold": 10},
                "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns"}],
            }
        ],
        "volumes": [{"name": "config", "configMap": {"name": _NAME}}],
    }
