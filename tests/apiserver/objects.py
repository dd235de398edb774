"""Pods and nodes as a cluster would have them, as plain dictionaries."""

from __future__ import annotations

from typing import Any

LABELS = {"app.kubernetes.io/name": "kubenurse"}
NAMESPACE = "kube-system"


def pod(
    node: str,
    ip: str = "10.0.0.1",
    *,
    name: str = "",
    started: bool | None = True,
    ready: bool | None = None,
    phase: str = "Running",
    start_time: str = "2026-11-01T00:00:00Z",
    labels: dict[str, str] | None = None,
    host_network: bool = False,
    ips: tuple[str, ...] = (),
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name or f"kubenurse-{node}",
            "namespace": NAMESPACE,
            "labels": LABELS if labels is None else labels,
        },
        "spec": {
            "nodeName": node,
            "hostNetwork": host_network,
            "containers": [
                {"name": "kubenurse", "image": "kubenurse-otel", "ports": [{"containerPort": 8080}]}
            ],
        },
        "status": {
            "phase": phase,
            "podIP": ip,
            "podIPs": [{"ip": one} for one in ips or (ip,)],
            "hostIP": "192.168.0.1",
            "startTime": start_time,
            "containerStatuses": [
                {
                    "name": "kubenurse",
                    "started": started,
                    "ready": bool(started) if ready is None else ready,
                    "image": "kubenurse-otel",
                    "imageID": "",
                    "restartCount": 0,
                }
            ],
        },
    }


def node(
    name: str,
    *,
    unschedulable: bool = False,
    taints: tuple[str, ...] = (),
    ready: str = "True",
    zone: str = "zone-a",
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}},
        "spec": {
            "unschedulable": unschedulable,
            "taints": [{"key": key, "effect": "NoSchedule"} for key in taints],
        },
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


def dns_slice(
    *endpoints: tuple[str, str],
    name: str = "kube-dns-x7x2f",
    service: str = "kube-dns",
    port: int = 53,
    labels: dict[str, str] | None = None,
) -> dict[str, Any]:
    """An EndpointSlice of the cluster's DNS, as its controller makes it: (address, node) each."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {"kubernetes.io/service-name": service}
            | ({"k8s-app": "kube-dns"} if labels is None else labels),
        },
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": [address],
                "nodeName": node,
                "conditions": {"ready": True, "serving": True, "terminating": False},
            }
            for address, node in endpoints
        ],
        "ports": [
            {"name": "dns", "port": port, "protocol": "UDP"},
            {"name": "dns-tcp", "port": port, "protocol": "TCP"},
            {"name": "metrics", "port": 9153, "protocol": "TCP"},
        ],
    }
