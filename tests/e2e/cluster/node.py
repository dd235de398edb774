"""A node: containerd, kubelet and kube-proxy on a machine of its own, pods on a CNI bridge."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from e2e.cluster import image_store, images, programs
from e2e.cluster.waiting import wait_for

if TYPE_CHECKING:
    from e2e.cluster.credentials import Credentials
    from e2e.cluster.machine import Machine

PODS: Final = "10.91.0.0/16"
CLUSTER_DNS: Final = "10.96.0.10"
SOCKET: Final = "/run/containerd/containerd.sock"
IMAGES: Final = "images"
"""In the cluster's folder: what every node's containerd starts with."""
_DISK: Final = "/run/disk"
_START_SECONDS: Final = 60.0

_CONTAINERD: Final = f"""
version = 2
root = "{_DISK}/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]
[grpc]
address = "{SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{images.PAUSE}"
restrict_oom_score_adj = true
disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
conf_dir = "{_DISK}/cni"
bin_dir = "{programs.CNI_FOLDER}"
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"""


@dataclass(frozen=True, slots=True)
class Node:
    """Node ``number`` of the cluster on its machine; its pods are in 10.91.<number>.0/24."""

    number: int
    machine: Machine

    @property
    def name(self) -> str:
        return self.machine.name

    @property
    def pod_subnet(self) -> str:
        return f"10.91.{self.number}.0/24"

    def start_containerd(self) -> None:
        """Start the container runtime, with all images; returns when it answers."""
        machine, disk = self.machine, self.machine.folder / "disk"
        for setting in ("net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0"):
            machine.run("sysctl", "-qw", setting)
        image_store.fill(disk / "containerd", machine.folder.parent / IMAGES)
        (disk / "cni").mkdir(exist_ok=True)
        (disk / "cni/10-pods.conflist").write_text(json.dumps(self._cni()))
        (disk / "containerd.toml").write_text(_CONTAINERD)
        machine.daemon(
            "containerd", str(programs.containerd()), f"--config={_DISK}/containerd.toml"
        )
        wait_for(
            lambda: (
                machine.run("ctr", f"--address={SOCKET}", "version", check=False) != ""
                or "no answer"
            ),
            seconds=_START_SECONDS,
            what=f"containerd of {self.name} (containerd.log)",
        )

    def start_kubelet(self, credentials: Credentials) -> None:
        disk = self.machine.folder / "disk"
        (disk / "resolv.conf").write_text("")  # No DNS but the cluster's.
        (disk / "kubelet.json").write_text(json.dumps(self._kubelet(credentials)))
        self.machine.daemon(
            "kubelet",
            str(programs.kubernetes("kubelet")),
            f"--config={_DISK}/kubelet.json",
            f"--kubeconfig={credentials.kubeconfig(f'system:node:{self.name}')}",
            f"--root-dir={_DISK}/kubelet",
            f"--cert-dir={_DISK}/kubelet-pki",
            f"--hostname-override={self.name}",
            f"--node-ip={self.machine.address}",
            "--node-labels=topology.kubernetes.io/zone=zone-" + "ab"[self.number % 2],
        )

    def start_kube_proxy(self, credentials: Credentials) -> None:
        document = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clusterCIDR": PODS,
            "hostnameOverride": self.name,
            "clientConnection": {"kubeconfig": str(credentials.kubeconfig("system:kube-proxy"))},
            "conntrack": {"maxPerCore": 0},  # The limit is the whole machine's.
        }
        (self.machine.folder / "disk/kube-proxy.json").write_text(json.dumps(document))
        self.machine.daemon(
            "kube-proxy",
            str(programs.kubernetes("kube-proxy")),
            f"--config={_DISK}/kube-proxy.json",
        )

    def start_what_ended(self, credentials: Credentials) -> None:
        """Start kubelet and kube-proxy again if they ended, as systemd does on a real node.

        A kubelet gives up where containerd or the API server are slow to answer it at first.
        """
        if not self.machine.runs("kubelet"):
            self.start_kubelet(credentials)
        if not self.machine.runs("kube-proxy"):
            self.start_kube_proxy(credentials)

    def _cni(self) -> dict[str, Any]:
        bridge = {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "ipMasq": False,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "dataDir": f"{_DISK}/cni-addresses",
                "ranges": [[{"subnet": self.pod_subnet}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}

    def _kubelet(self, credentials: Credentials) -> dict[str, Any]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": False},
                "x509": {"clientCAFile": str(credentials.ca_file)},
            },
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.machine.cgroup}",
            "failCgroupV1": False,
            "clusterDNS": [CLUSTER_DNS],
            "clusterDomain": "cluster.local",
            "resolvConf": f"{_DISK}/resolv.conf",
            "containerRuntimeEndpoint": f"unix://{SOCKET}",
            "podLogsDir": f"{_DISK}/pods",
            "volumePluginDir": f"{_DISK}/volume-plugins",
            # The disk is this machine's: how full it is says nothing about the cluster.
            "evictionHard": dict.fromkeys(
                ("imagefs.available", "nodefs.available", "nodefs.inodesFree"), "0%"
            ),
            "imageGCHighThresholdPercent": 100,
            "failSwapOn": False,
            "nodeStatusUpdateFrequency": "4s",
            "nodeLeaseDurationSeconds": 12,
            "syncFrequency": "10s",
            "maxPods": 40,
        }
