"""A real kube-apiserver with etcd on loopback, for tests and the bench.

Kubernetes' programs are built once from the Go module proxy into a cache: $KUBENURSE_TEST_CACHE or
.cache of the work tree. The API server takes about five minutes on two cores; etcd is Debian's
etcd-server. go.mod beside this file has the version; $KUBENURSE_TEST_KUBERNETES (of make:
KUBERNETES=oldest, =newest) names a folder here whose go.mod has another, of the API server alone.
"""

from __future__ import annotations

import http.client
import os
import re
import secrets
import shutil
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from ports import free_ports

from apiserver.administrator import Administrator

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
MODULE = HERE / os.environ.get("KUBENURSE_TEST_KUBERNETES", "")


def version(module: Path) -> str:
    """Return the Kubernetes ("v1.34.4") that ``module``'s go.mod takes. Raises OSError."""
    required = re.search(
        r"^\tk8s\.io/kubernetes (v\S+)", (module / "go.mod").read_text(), re.MULTILINE
    )
    assert required is not None, module
    return required[1]


VERSION = version(MODULE)
ADMIN = "system:masters"
START_SECONDS = 60.0


def cache() -> Path:
    return Path(os.environ.get("KUBENURSE_TEST_CACHE", HERE.parents[1] / ".cache"))


def binary(program: str = "kube-apiserver") -> Path:
    """Where one of Kubernetes' programs is, or would be."""
    return cache() / "apiserver" / f"{program}-{VERSION}"


def build(program: str = "kube-apiserver") -> Path:
    """Return one of Kubernetes' programs (go.mod's tools), built if it is not in the cache."""
    target = binary(program)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_suffix(f".{os.getpid()}")
        major, minor, _ = VERSION.removeprefix("v").split(".")
        names = {"gitVersion": VERSION, "gitMajor": major, "gitMinor": minor}
        stamps = " ".join(f"-X k8s.io/component-base/version.{k}={v}" for k, v in names.items())
        command = ["nice", "-n", "10", "go", "build", "-trimpath", "-ldflags", f"-s -w {stamps}"]
        command += ["-o", str(fresh), f"k8s.io/kubernetes/cmd/{program}"]
        subprocess.run(command, cwd=MODULE, check=True)
        fresh.replace(target)
    return target


class RealApiServer(Administrator):
    """etcd and kube-apiserver with RBAC, service-account tokens and an admin of ours."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        authority = trustme.CA()
        self.ca_file = directory / "ca.crt"
        authority.cert_pem.write_to_path(str(self.ca_file))
        leaf = authority.issue_cert("127.0.0.1", "localhost", "kubernetes.default.svc")
        leaf.private_key_pem.write_to_path(str(directory / "tls.key"))
        for blob in leaf.cert_chain_pems:
            blob.write_to_path(str(directory / "tls.crt"), append=True)
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        (directory / "sa.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
        token = secrets.token_hex(16)
        (directory / "tokens.csv").write_text(f'{token},admin,admin,"{ADMIN}"\n')
        port, self._etcd_port, self._peer_port = free_ports(3)
        self._etcd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None
        super().__init__("127.0.0.1", port, ca_file=self.ca_file, token=token)

    def start_etcd(self) -> None:
        client = f"http://127.0.0.1:{self._etcd_port}"
        peer = f"http://127.0.0.1:{self._peer_port}"
        etcd = shutil.which("etcd") or "/usr/bin/etcd"
        self._etcd = self._run(
            "etcd",
            [
                etcd,
                f"--data-dir={self.directory / 'etcd'}",
                "--unsafe-no-fsync",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
            ],
        )

    def start(self, *options: str) -> None:
        """Start the API server and wait until it is ready."""
        here = self.directory
        self._server = self._run(
            "kube-apiserver",
            [
                str(build()),
                f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
                "--bind-address=127.0.0.1",
                f"--secure-port={self.port}",
                "--advertise-address=127.0.0.1",
                f"--tls-cert-file={here / 'tls.crt'}",
                f"--tls-private-key-file={here / 'tls.key'}",
                f"--token-auth-file={here / 'tokens.csv'}",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={here / 'sa.key'}",
                f"--service-account-signing-key-file={here / 'sa.key'}",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--authorization-mode=Node,RBAC",
                # Pods are written as they are: no service account controller, no defaults.
                "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
                "--endpoint-reconciler-type=none",
                *options,
            ],
        )
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self._server is not None
            assert self._server.poll() is None, self._log("kube-apiserver")
            with suppress(OSError, http.client.HTTPException):
                if self.request("GET", "/readyz")[0] == 200:
                    return
            time.sleep(0.1)
        raise AssertionError(self._log("kube-apiserver"))

    def stop(self) -> None:
        self.close_connection()
        _end(self._server)
        self._server = None

    def stop_etcd(self) -> None:
        _end(self._etcd)

    def cpu_seconds(self) -> float:
        """User and system time of the API server so far."""
        assert self._server is not None
        fields = Path(f"/proc/{self._server.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # --- what the kubelets do -------------------------------------------------------------------

    def put(self, *objects: dict[str, Any]) -> None:
        """Create or replace pods and nodes with their status."""
        for one in objects:
            path = _path(one)
            name = one["metadata"]["name"]
            status, _ = self.request("POST", path, one)
            if status == 409:
                self.merge(f"{path}/{name}", {"metadata": one["metadata"], "spec": one["spec"]})
            else:
                assert status == 201, _
            self.merge(f"{path}/{name}/status", {"status": one["status"]})

    # --- processes ------------------------------------------------------------------------------

    def _run(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.directory / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.directory
            )

    def _log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text(errors="replace")[-3000:]


@contextmanager
def real_api_server(directory: Path, *options: str) -> Iterator[RealApiServer]:
    server = RealApiServer(directory)
    try:
        server.start_etcd()
        server.start(*options)
        yield server
    finally:
        server.stop()
        server.stop_etcd()


def _path(one: dict[str, Any]) -> str:
    if one["kind"] == "Node":
        return "/api/v1/nodes"
    return f"/api/v1/namespaces/{one['metadata']['namespace']}/pods"


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is None:
        return
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
