"""Pods as a real DaemonSet's are (5 KB of JSON each), and their life in a roll-out.

The shape is that of kubelet 1.34 and the DaemonSet controller: node affinity instead of a node
name, a projected token volume, probes, five conditions, managed fields that the server makes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apiserver.objects import LABELS, NAMESPACE

if TYPE_CHECKING:
    from apiserver.real import RealApiServer

PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
SLICES = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
ENDPOINTS_A_SLICE = 100
_STRATEGIC = "application/strategic-merge-patch+json"
_AT = "2026-11-01T00:00:00Z"
_PROBE = {"path": "/alwayshappy", "port": 8080, "scheme": "HTTP"}


def node_name(number: int) -> str:
    return f"ip-10-{number // 65536}-{number // 256 % 256}-{number % 256}.eu-central-1.internal"


def address(number: int) -> str:
    return f"10.{64 + number // 65536}.{number // 256 % 256}.{number % 256}"


def pod_name(number: int, generation: int) -> str:
    return f"kubenurse-{generation:x}{number:05x}"


def new_pod(number: int, generation: int) -> dict[str, Any]:
    """What the DaemonSet controller creates."""
    environment = {
        "KUBENURSE_INGRESS_URL": "https://kubenurse.example.com",
        "KUBENURSE_SERVICE_URL": "http://kubenurse.kube-system.svc.cluster.local:8080",
        "KUBENURSE_NAMESPACE": NAMESPACE,
        "KUBENURSE_NEIGHBOUR_FILTER": "app.kubernetes.io/name=kubenurse",
        "KUBENURSE_NEIGHBOUR_LIMIT": "10",
        "KUBENURSE_USE_TLS": "false",
        "KUBENURSE_CHECK_INTERVAL": "5s",
        "KUBENURSE_ALLOW_UNSCHEDULABLE": "false",
    }
    fields = {"NODE_NAME": "spec.nodeName", "POD_NAME": "metadata.name", "POD_IP": "status.podIP"}
    match = [{"key": "metadata.name", "operator": "In", "values": [node_name(number)]}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(number, generation),
            "generateName": "kubenurse-",
            "namespace": NAMESPACE,
            "labels": LABELS
            | {
                "app.kubernetes.io/instance": "kubenurse",
                "controller-revision-hash": "6f9c8c8d7b",
                "pod-template-generation": str(generation),
            },
            "annotations": {
                "prometheus.io/path": "/metrics",
                "prometheus.io/port": "8080",
                "prometheus.io/scheme": "http",
                "prometheus.io/scrape": "true",
            },
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "DaemonSet",
                    "name": "kubenurse",
                    "uid": "0a4d1c6e-8f0e-4a57-a6a9-2d1f6f0f7a11",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "serviceAccountName": "kubenurse",
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [{"matchFields": match}]
                    }
                }
            },
            "containers": [
                {
                    "name": "kubenurse",
                    "image": "registry.example.com/kubenurse-otel:v1.0.0",
                    "ports": [{"containerPort": 8080, "protocol": "TCP"}],
                    "env": [{"name": key, "value": value} for key, value in environment.items()]
                    + [
                        {"name": f"KUBENURSE_{key}", "valueFrom": {"fieldRef": {"fieldPath": path}}}
                        for key, path in fields.items()
                    ],
                    "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}},
                    "readinessProbe": {"httpGet": _PROBE | {"path": "/ready"}, "periodSeconds": 3},
                    "livenessProbe": {"httpGet": _PROBE, "periodSeconds": 10},
                    "startupProbe": {"httpGet": _PROBE, "periodSeconds": 2},
                    "volumeMounts": [
                        {
                            "name": "kube-api-access-x7k2p",
                            "readOnly": True,
                            "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
                        }
                    ],
                }
            ],
            "tolerations": [
                {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": effect}
                for key, effect in (
                    ("not-ready", "NoExecute"),
                    ("unreachable", "NoExecute"),
                    ("disk-pressure", "NoSchedule"),
                    ("memory-pressure", "NoSchedule"),
                    ("pid-pressure", "NoSchedule"),
                    ("unschedulable", "NoSchedule"),
                )
            ],
            "volumes": [
                {
                    "name": "kube-api-access-x7k2p",
                    "projected": {
                        "sources": [
                            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                            {
                                "configMap": {
                                    "name": "kube-root-ca.crt",
                                    "items": [{"key": "ca.crt", "path": "ca.crt"}],
                                }
                            },
                        ]
                    },
                }
            ],
        },
    }


def status(number: int, stage: str) -> dict[str, Any]:
    """Return the status that the kubelet writes: waiting, running, started, ready or terminated."""
    ready = stage == "ready"
    running = stage in ("running", "started", "ready")
    conditions = {
        "PodReadyToStartContainers": True,
        "Initialized": True,
        "Ready": ready,
        "ContainersReady": ready,
        "PodScheduled": True,
    }
    states: dict[str, Any] = {
        "waiting": {"waiting": {"reason": "ContainerCreating"}},
        "terminated": {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": _AT}},
    }
    container = {
        "name": "kubenurse",
        "image": "registry.example.com/kubenurse-otel:v1.0.0",
        "imageID": "registry.example.com/kubenurse-otel@sha256:" + "0123456789abcdef" * 4,
        "containerID": "containerd://" + f"{number:016x}" * 4,
        "ready": ready,
        "started": stage in ("started", "ready"),
        "restartCount": 0,
        "state": states.get(stage, {"running": {"startedAt": _AT}}),
    }
    addresses = {"podIP": address(number), "podIPs": [{"ip": address(number)}]} if running else {}
    return {
        "status": {
            "phase": "Running" if running or stage == "terminated" else "Pending",
            "hostIP": "192.168.1.1",
            "hostIPs": [{"ip": "192.168.1.1"}],
            "startTime": _AT,
            "conditions": [
                {
                    "type": kind,
                    "status": str(value),
                    "lastProbeTime": None,
                    "lastTransitionTime": _AT,
                }
                for kind, value in conditions.items()
            ],
            "containerStatuses": [container],
        }
        | addresses
    }


def bear(server: RealApiServer, number: int, generation: int) -> None:
    """Create, schedule, start: the writes of a new pod until it is ready."""
    name = pod_name(number, generation)
    server.must("POST", PODS, new_pod(number, generation))
    server.must(
        "POST",
        f"{PODS}/{name}/binding",
        {"metadata": {"name": name}, "target": {"kind": "Node", "name": node_name(number)}},
    )
    for stage in ("waiting", "running", "started", "ready"):
        server.must("PATCH", f"{PODS}/{name}/status", status(number, stage), _STRATEGIC)


def bury(server: RealApiServer, number: int, generation: int) -> None:
    """Terminate: the writes from the deletion to the end."""
    name = pod_name(number, generation)
    server.must("DELETE", f"{PODS}/{name}", {"gracePeriodSeconds": 30})
    server.must("PATCH", f"{PODS}/{name}/status", status(number, "terminated"), _STRATEGIC)
    server.must("DELETE", f"{PODS}/{name}", {"gracePeriodSeconds": 0})


def endpoint_slice(first: int, count: int, generation: int) -> dict[str, Any]:
    """Return a slice of our Service with the endpoints of ``count`` agents."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"kubenurse-{first:05d}",
            "labels": LABELS | {"kubernetes.io/service-name": "kubenurse"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [
            {
                "addresses": [address(number)],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "nodeName": node_name(number),
                "zone": "eu-central-1a",
                "targetRef": {
                    "kind": "Pod",
                    "namespace": NAMESPACE,
                    "name": pod_name(number, generation),
                    "uid": f"0a4d1c6e-8f0e-4a57-a6a9-{number:012x}",
                },
            }
            for number in range(first, first + count)
        ],
    }
