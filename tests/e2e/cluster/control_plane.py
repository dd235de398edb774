"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler on the machine `control`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2e.cluster import programs
from e2e.cluster.credentials import API_HOST, API_PORT
from e2e.cluster.waiting import wait_for

if TYPE_CHECKING:
    from apiserver.administrator import Administrator

    from e2e.cluster.credentials import Credentials
    from e2e.cluster.machine import Machine

SERVICES: Final = "10.96.0.0/16"
API_SERVER: Final = "kube-apiserver"
_ETCD: Final = "http://127.0.0.1:2379"
_READY_SECONDS: Final = 90.0


def start_etcd(control: Machine) -> None:
    control.daemon(
        "etcd",
        str(programs.etcd()),
        "--data-dir=/run/disk/etcd",
        "--unsafe-no-fsync",  # A cluster of an hour: nothing has to outlive the machine.
        f"--listen-client-urls={_ETCD}",
        f"--advertise-client-urls={_ETCD}",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--log-level=warn",
    )


def start_api_server(control: Machine, credentials: Credentials) -> None:
    here = credentials.folder
    control.daemon(
        API_SERVER,
        str(programs.kubernetes(API_SERVER)),
        f"--etcd-servers={_ETCD}",
        "--bind-address=0.0.0.0",
        f"--secure-port={API_PORT}",
        f"--advertise-address={API_HOST}",
        f"--tls-cert-file={here / 'kube-apiserver.crt'}",
        f"--tls-private-key-file={here / 'kube-apiserver.key'}",
        f"--client-ca-file={credentials.ca_file}",
        f"--token-auth-file={credentials.tokens_file}",
        f"--kubelet-client-certificate={here / 'kubelet-client.crt'}",
        f"--kubelet-client-key={here / 'kubelet-client.key'}",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={here / 'service-accounts.key'}",
        f"--service-account-signing-key-file={here / 'service-accounts.key'}",
        f"--service-cluster-ip-range={SERVICES}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        # Debian's etcd 3.4 cannot tell it the sizes that it asks for again and again.
        "--feature-gates=SizeBasedListCostEstimate=false",
    )


def wait_until_ready(api: Administrator) -> None:
    def ready() -> bool:
        try:
            return api.request("GET", "/readyz")[0] == 200
        except OSError:
            return False

    wait_for(ready, seconds=_READY_SECONDS, what="the API server (kube-apiserver.log)")


def start_controllers(control: Machine, credentials: Credentials) -> None:
    manager = "system:kube-controller-manager"
    control.daemon(
        "kube-controller-manager",
        str(programs.kubernetes("kube-controller-manager")),
        f"--kubeconfig={credentials.kubeconfig(manager)}",
        "--use-service-account-credentials=true",
        f"--root-ca-file={credentials.ca_file}",
        f"--service-account-private-key-file={credentials.folder / 'service-accounts.key'}",
        f"--service-cluster-ip-range={SERVICES}",
        "--leader-elect=false",
        # Faults are short here: a dead node is NotReady after 16 s instead of 50.
        "--node-monitor-period=2s",
        "--node-monitor-grace-period=16s",
        "--bind-address=127.0.0.1",
    )
    scheduler = credentials.kubeconfig("system:kube-scheduler")
    control.daemon(
        "kube-scheduler",
        str(programs.kubernetes("kube-scheduler")),
        f"--kubeconfig={scheduler}",
        f"--authentication-kubeconfig={scheduler}",
        f"--authorization-kubeconfig={scheduler}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
    )
