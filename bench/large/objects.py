"""Nodes as kubelets register them (12 KB of JSON each), and what kubelets and people do to them."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from bench.large import borrowed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.large.borrowed import Administrator

NODES: Final = "/api/v1/nodes"
IMAGES: Final = 50
"""A kubelet reports at most so many (nodeStatusMaxImages)."""
HEARTBEAT_SECONDS: Final = 300.0
"""A kubelet writes its node's status so often when nothing changes (nodeStatusReportFrequency)."""
_STRATEGIC: Final = "application/strategic-merge-patch+json"
_CONDITIONS: Final = {
    "MemoryPressure": ("False", "KubeletHasSufficientMemory", "kubelet has sufficient memory"),
    "DiskPressure": ("False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    "PIDPressure": ("False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    "Ready": ("True", "KubeletReady", "kubelet is posting ready status"),
}


def node(number: int) -> dict[str, Any]:
    """A Ready node of a cloud, as its kubelet registers it."""
    name = borrowed.daemonset.node_name(number)
    zone = "abc"[number % 3]
    amounts = {
        "cpu": "16",
        "memory": "65011712Ki",
        "pods": "234",
        "ephemeral-storage": "104845292Ki",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "node.kubernetes.io/instance-type": "m6i.4xlarge",
                "topology.kubernetes.io/region": "eu-central-1",
                "topology.kubernetes.io/zone": f"eu-central-1{zone}",
                "eks.amazonaws.com/nodegroup": f"general-{zone}",
            },
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
        },
        "spec": {"providerID": f"aws:///eu-central-1{zone}/i-{number:017x}"},
        "status": {
            "capacity": amounts,
            "allocatable": amounts,
            "addresses": [
                {"type": "InternalIP", "address": f"192.168.{number // 256}.{number % 256}"},
                {"type": "Hostname", "address": name},
            ],
            "nodeInfo": {
                "machineID": f"{number:032x}",
                "systemUUID": f"{number:032x}",
                "bootID": f"{number:032x}",
                "kernelVersion": "6.12.40-63.114.amzn2023.x86_64",
                "osImage": "Amazon Linux 2023.8.20250808",
                "containerRuntimeVersion": "containerd://2.0.5",
                "kubeletVersion": "v1.34.4",
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
            "images": [
                {
                    "names": [
                        f"registry.example.com/team-{i}/service@sha256:" + f"{i:02x}" * 32,
                        f"registry.example.com/team-{i}/service:v1.{i}.0",
                    ],
                    "sizeBytes": 50_000_000 + i,
                }
                for i in range(IMAGES)
            ],
        }
        | _conditions(),
    }


def _conditions() -> dict[str, Any]:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {
        "conditions": [
            {"type": kind, "status": status, "reason": reason, "message": message}
            | {"lastHeartbeatTime": now, "lastTransitionTime": "2026-11-01T00:00:00Z"}
            for kind, (status, reason, message) in _CONDITIONS.items()
        ]
    }


def heartbeat(server: Administrator, number: int) -> None:
    path = f"{NODES}/{borrowed.daemonset.node_name(number)}/status"
    server.must("PATCH", path, {"status": _conditions()}, _STRATEGIC)


def cordon(server: Administrator, number: int, *, on: bool) -> None:
    taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    path = f"{NODES}/{borrowed.daemonset.node_name(number)}"
    # As kubectl does, and the node controller then.
    server.merge(path, {"spec": {"unschedulable": on or None}})
    server.merge(path, {"spec": {"taints": [taint] if on else None}})


def populate(server: Administrator, count: int) -> float:
    """Create nodes and their agents' pods; returns the seconds it took."""
    began = time.monotonic()

    def one(server: Administrator, number: int) -> None:
        server.must("POST", NODES, node(number))
        borrowed.scale.create(server, number)

    priority = {"metadata": {"name": "x"}, "value": 1}
    server.must("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", priority)
    borrowed.scale.in_parallel(server, one, range(count))
    return time.monotonic() - began


class Kubelets(threading.Thread):
    """Writes heartbeats of the nodes ``seen`` at a kubelet's pace, and one of the others a second.

    (All others would change nothing that our agents see, and cost this machine a fifth of a core.)
    """

    def __init__(self, server: Administrator, seen: Sequence[int], count: int) -> None:
        super().__init__(daemon=True)
        self._server = borrowed.another(server)
        self._seen = list(seen)
        self._count = count
        self._ended = threading.Event()
        self.problem = ""

    def run(self) -> None:
        pause = HEARTBEAT_SECONDS / len(self._seen)
        due = {True: 0.0, False: 0.0}
        turn = 0
        while not self._ended.wait(0.2):
            now = time.monotonic()
            try:
                if now >= due[True]:
                    heartbeat(self._server, self._seen[turn % len(self._seen)])
                    due[True], turn = now + pause, turn + 1
                if now >= due[False]:
                    heartbeat(self._server, random.randrange(self._count))
                    due[False] = now + 1
            except (AssertionError, OSError) as error:  # the API server restarts: go on, as they do
                self.problem = repr(error)[:200]

    def end(self) -> None:
        self._ended.set()
        self.join(10)


def storm(server: Administrator, numbers: Sequence[int], seconds: float) -> float:
    """Each node is cordoned, its pod replaced, and it is uncordoned, spread over ``seconds``.

    The writes are the DaemonSet controller's, the scheduler's and the kubelet's. Returns how long
    it really took.
    """
    local = threading.local()
    began = time.monotonic()

    def one(at: int) -> None:
        if not hasattr(local, "server"):
            local.server = borrowed.another(server)
        time.sleep(max(0.0, began + seconds * at / len(numbers) - time.monotonic()))
        number = numbers[at]
        cordon(local.server, number, on=True)
        borrowed.daemonset.bury(local.server, number, 1)
        borrowed.daemonset.bear(local.server, number, 2)
        cordon(local.server, number, on=False)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(one, range(len(numbers))))
    return time.monotonic() - began
