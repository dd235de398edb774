"""The cluster: what it consists of, how it comes up and how it goes away."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from apiserver.administrator import Administrator
from apiserver.real import cache

from e2e.cluster import (
    control_plane,
    dns,
    fabric,
    forwarding,
    image_store,
    images,
    ingress,
    observability,
    programs,
)
from e2e.cluster.credentials import API_HOST, API_PORT, API_URL, Credentials
from e2e.cluster.errors import ClusterError
from e2e.cluster.machine import Machine, end_all, enter_network, network_of, remove_cgroups
from e2e.cluster.node import CLUSTER_DNS, IMAGES, Node
from e2e.cluster.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAMESPACE: Final = "kubenurse"
RELEASE: Final = "kubenurse"
AGENT_VALUES: Final = Path(__file__).parent / "agent-values.yaml"
CHART: Final = Path(__file__).parents[3] / "helm/kubenurse-otel"
READY_SECONDS: Final = 180.0
_INOTIFY_INSTANCES: Final = 1024
_HELM_SECONDS: Final = "120s"
_LOG_SHOWN: Final = 3000


class Cluster:
    """A cluster by name; several can be there at once."""

    def __init__(self, name: str = "kne") -> None:
        self.name = name
        self.folder = (cache() / "e2e" / name).absolute()
        self.control = self._machine("control", API_HOST)
        self.edge = self._machine("edge", dns.INGRESS_ADDRESS)
        self.credentials = Credentials(self.folder / "pki")

    def _machine(self, name: str, address: str) -> Machine:
        return Machine(self.name, name, address, self.folder / name)

    def node(self, number: int) -> Node:
        return Node(number, self._machine(f"node-{number}", f"10.90.0.{10 + number}"))

    @property
    def nodes(self) -> dict[str, Node]:
        """The nodes that have a machine, by name."""
        folders = sorted(self.folder.glob("node-*"))
        found = (self.node(int(folder.name.removeprefix("node-"))) for folder in folders)
        return {node.name: node for node in found if node.machine.is_up}

    @property
    def machines(self) -> list[Machine]:
        return [self.control, self.edge, *(node.machine for node in self.nodes.values())]

    @property
    def is_up(self) -> bool:
        return (self.folder / "up").exists() and all(machine.is_up for machine in self.machines)

    # --- up and down ----------------------------------------------------------------------------

    def up(self, nodes: int = 3, *, compress: float = 1.0, scrape: str = "5s") -> None:
        """Raise the cluster, without the agent; what is left of one before is removed first.

        Ranges and waits of the alerts are divided by ``compress``. Raises ClusterError.
        """
        require()
        if self.is_up and len(self.nodes) == nodes:
            return
        try:
            self._up_anew(nodes, compress=compress, scrape=scrape)
        except ClusterError as error:
            # Four of them start at once on two cores: that one did not come up is no test's result.
            print(f"{self.name} is raised once more: {error}", file=sys.stderr)
            self._up_anew(nodes, compress=compress, scrape=scrape)

    def _up_anew(self, nodes: int, *, compress: float, scrape: str) -> None:
        self.down()
        with self._locked():
            self._up(nodes, compress=compress, scrape=scrape)

    def _up(self, nodes: int, *, compress: float, scrape: str) -> None:
        _allow_inotify()
        programs.build_all()
        image_store.keep(self.folder / IMAGES)
        self.credentials.create()
        self.control.start()
        fabric.start(self.control)
        control_plane.start_etcd(self.control)
        self.edge.start()
        fabric.plug(self.control, self.edge)
        made = [self._make_node(number) for number in range(1, nodes + 1)]
        fabric.route(self.machines, made)
        control_plane.start_api_server(self.control, self.credentials)
        with ThreadPoolExecutor(len(made)) as threads:
            runtimes = [threads.submit(node.start_containerd) for node in made]
            with self.entered():
                control_plane.wait_until_ready(self.api)
                control_plane.start_controllers(self.control, self.credentials)
                self.apply(*dns.manifests(CLUSTER_DNS), *_base_manifests(self.credentials))
            for runtime in runtimes:
                runtime.result()
        for node in made:
            node.start_kubelet(self.credentials)
            node.start_kube_proxy(self.credentials)
        access = {
            "api_url": API_URL,
            "ca_file": self.credentials.ca_file,
            "token_file": self.credentials.token_file(),
        }
        ingress.start(
            self.edge,
            **access,
            certificate=self.credentials.folder / "ingress.crt",
            key=self.credentials.folder / "ingress.key",
        )
        observability.start(self.control, **access, compress=compress, scrape=scrape)
        with self.entered():
            self.wait_until_ready()
        (self.folder / "up").touch()

    def down(self) -> None:
        """Remove everything of this name: processes, namespaces, mounts, cgroups, files."""
        if os.geteuid() != 0:
            raise ClusterError("needs root")
        self.close()
        for folder in self.folder.glob("*/ready"):
            self._machine(folder.parent.name, "").thaw()
        end_all(self.name)
        remove_cgroups(self.name)
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # Another cluster's, or the system's.
            Path("/var/lib/cni").rmdir()

    def _make_node(self, number: int) -> Node:
        node = self.node(number)
        node.machine.start()
        fabric.plug(self.control, node.machine)
        return node

    def add_node(self) -> Node:
        """Start one more node; returns when it is Ready."""
        numbers = {node.number for node in self.nodes.values()}
        number = next(number for number in range(1, 10) if number not in numbers)
        node = self._make_node(number)
        fabric.route(self.machines, self.nodes.values())
        node.start_containerd()
        node.start_kubelet(self.credentials)
        node.start_kube_proxy(self.credentials)
        with self.entered():
            self._wait_for_node(node)
        return node

    def remove_node(self, name: str) -> None:
        """Take a machine away as if it were switched off; its Node object stays."""
        self.nodes[name].machine.stop()
        fabric.unplug(self.control, name)

    # --- the way in -----------------------------------------------------------------------------

    def enter(self) -> None:
        """Move this thread, and what it starts from now on, into the cluster's network."""
        enter_network(self.control.pid)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        with network_of(self.control.pid):
            yield

    @contextlib.contextmanager
    def exclusively(self) -> Iterator[None]:
        """One who breaks things at a time; the others wait."""
        with (self.folder / "exclusive.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @cached_property
    def api(self) -> Administrator:
        """The API server, for whoever has entered the cluster's network."""
        ca_file, token = self.credentials.ca_file, self.credentials.token()
        return Administrator(API_HOST, API_PORT, ca_file=ca_file, token=token)

    def close(self) -> None:
        """End our connection to the API server; the cluster goes on."""
        if "api" in self.__dict__:
            self.api.close_connection()

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        """Run kubectl as the administrator. Raises ClusterError."""
        return self._tool(programs.kubernetes("kubectl"), *arguments, text=text)

    def helm(self, *arguments: str, values: Mapping[str, Any] | None = None) -> str:
        """Run helm as the administrator, ``values`` as a file. Raises ClusterError."""
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(dict(values or {}), file)
            file.flush()
            more = ["--values", file.name] if values is not None else []
            return self._tool(programs.helm(), *arguments, *more)

    def _tool(self, program: Path, *arguments: str, text: str | None = None) -> str:
        environ = {**os.environ, "KUBECONFIG": str(self.credentials.kubeconfig())}
        done = subprocess.run(
            self.control.in_network(str(program), *arguments),
            env=environ,
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = done.stderr + done.stdout
            raise ClusterError(f"{program.name} {' '.join(arguments)}: {said}")
        return done.stdout

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.kubectl(
            "apply", "--server-side", "--force-conflicts", "-f", "-", text=json.dumps(items)
        )

    def forward(self, port: int) -> None:
        """Bring a port of `control` to 127.0.0.1 of this machine, until interrupted."""
        asyncio.run(forwarding.forward(port, API_HOST, self.control.pid))

    # --- the agent ------------------------------------------------------------------------------

    def install(self, values: Mapping[str, Any] | None = None, *, release: str = RELEASE) -> None:
        """Install or upgrade our chart with agent-values.yaml and ``values``; wait for its pods.

        Raises ClusterError.
        """
        self.helm(
            *("upgrade", "--install", release, str(CHART), "--namespace", NAMESPACE),
            *("--values", str(AGENT_VALUES), "--wait", "--timeout", _HELM_SECONDS),
            values=values or {},
        )
        # helm waits for all but maxUnavailable.
        self.wait_for_rollout(release)

    def wait_for_rollout(self, release: str = RELEASE) -> None:
        """Wait until every node has the agent as it is wanted now. Raises ClusterError."""
        self.kubectl(
            *("rollout", "status", f"--namespace={NAMESPACE}", f"daemonset/{release}"),
            f"--timeout={_HELM_SECONDS}",
        )

    def uninstall(self, *, release: str = RELEASE) -> None:
        self.helm("uninstall", release, "--namespace", NAMESPACE, "--wait", "--ignore-not-found")

    def agents(self) -> dict[str, dict[str, Any]]:
        """The agents' pods that are not on their way out, by the name of their node."""
        selector = f"app.kubernetes.io/name=kubenurse,app.kubernetes.io/instance={RELEASE}"
        return {
            pod["spec"]["nodeName"]: pod
            for pod in self.pods(selector)
            if "deletionTimestamp" not in pod["metadata"] and "nodeName" in pod["spec"]
        }

    def agent_pid(self, node: str) -> int:
        """The agent's process on a node, as seen from outside. Raises ClusterError."""
        uid = self.agents()[node]["metadata"]["uid"]
        group = Path("/sys/fs/cgroup/pids") / self.nodes[node].machine.cgroup
        for file in group.glob(f"**/pod{uid}/*/cgroup.procs"):
            for pid in file.read_text().split():
                if b"kubenurse-otel" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return int(pid)
        raise ClusterError(f"no agent's process on {node}")

    def pods(self, selector: str = "", *, namespace: str = NAMESPACE) -> list[dict[str, Any]]:
        query = f"?labelSelector={selector}" if selector else ""
        found: list[dict[str, Any]] = self.api.must(
            "GET", f"/api/v1/namespaces/{namespace}/pods{query}"
        )["items"]
        return found

    # --- how it is ------------------------------------------------------------------------------

    def wait_until_ready(self) -> None:
        """Wait for nodes, CoreDNS, the ingress and everything that watches."""
        for node in self.nodes.values():
            self._wait_for_node(node)
        wait_for(self._dns_is_ready, seconds=READY_SECONDS, what="CoreDNS")
        ingress.wait_until_serving(self.edge)
        observability.wait_until_ready(self.control)

    def _wait_for_node(self, node: Node) -> None:
        def ready() -> bool | str:
            node.start_what_ended(self.credentials)
            return self._is_ready(node)

        wait_for(ready, seconds=READY_SECONDS, what=node.name)

    def _is_ready(self, node: Node) -> bool | str:
        status, found = self.api.request("GET", f"/api/v1/nodes/{node.name}")
        if status != 200:
            return f"no Node object; kubelet.log ends: {node.machine.log('kubelet')[-_LOG_SHOWN:]}"
        ready = [one for one in found["status"]["conditions"] if one["type"] == "Ready"]
        return ready[0]["status"] == "True" or str(ready[0]["message"])

    def _dns_is_ready(self) -> bool | str:
        pods = self.pods("k8s-app=kube-dns", namespace="kube-system")
        ready = [pod for pod in pods if is_ready(pod)]
        if pods and len(ready) == len(pods):
            return True
        return json.dumps([pod["status"].get("containerStatuses") for pod in pods])[:1000]

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Two `up` of one name wait for each other."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _allow_inotify() -> None:
    """The kernel's default of 128 instances a user is used up by four clusters; it stays raised."""
    limit = Path("/proc/sys/fs/inotify/max_user_instances")
    if int(limit.read_text()) < _INOTIFY_INSTANCES:
        limit.write_text(str(_INOTIFY_INSTANCES))


def build() -> None:
    """Make what a cluster needs and the cache has not. Raises ClusterError."""
    require()
    programs.build_all()
    images.archives()


def require() -> None:
    """Raise ClusterError where a cluster cannot be raised here, with everything that is missing."""
    problems = [f"not installed: {name}" for name in programs.missing()]
    if os.geteuid() != 0:
        problems.append("needs root: it makes namespaces, mounts and cgroups")
    if not Path("/sys/fs/cgroup/cpuset").is_dir():
        problems.append("needs cgroup v1, as the kubelet of Kubernetes 1.34 is set up here")
    if problems:
        raise ClusterError("\n".join(problems))


def _base_manifests(credentials: Credentials) -> list[dict[str, Any]]:
    """Our namespace, which enforces restricted Pod Security, with the CA of the ingress."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": labels},
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "ingress-ca", "namespace": NAMESPACE},
            "data": {"ca.crt": credentials.ca_file.read_text()},
        },
    ]
