"""`python -m apiserver.scale 50 500 5000` (in tests/): what discovery costs at a size, for real.

Real kube-apiserver and etcd, simulated objects. Prints a table for docs/scale.md: bytes of each
source over a full roll-out, sizes of lists, and CPU and memory of our own list.
"""

from __future__ import annotations

import http.client
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from apiserver.daemonset import (
    ENDPOINTS_A_SLICE,
    PODS,
    SLICES,
    bear,
    bury,
    endpoint_slice,
    new_pod,
    node_name,
    pod_name,
    status,
)
from apiserver.objects import NAMESPACE
from apiserver.real import RealApiServer, real_api_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SELECTOR = quote("app.kubernetes.io/name=kubenurse")
_ALIVE = "status.podIP!=,status.phase!=Failed,status.phase!=Succeeded"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
WRITERS = 4
LISTS = 10
"""Over how many the server's CPU time is averaged (its clock ticks in 10 ms)."""
WATCHERS = 40


class Watcher(threading.Thread):
    """Counts the bytes of a watch until told to end."""

    def __init__(self, server: RealApiServer, path: str, accept: str = "application/json") -> None:
        super().__init__(daemon=True)
        self.bytes = self.events = 0
        version = server.must("GET", "/api/v1/namespaces")["metadata"]["resourceVersion"]
        self._connection = http.client.HTTPSConnection(
            "127.0.0.1", server.port, context=server._tls
        )
        self._connection.request(
            "GET",
            f"{path}{'&' if '?' in path else '?'}watch=true&resourceVersion={version}",
            headers={"Authorization": f"Bearer {server.admin_token}", "Accept": accept},
        )
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200
        self.start()

    def run(self) -> None:
        try:
            while line := self._answer.readline():
                self.bytes += len(line)
                self.events += 1
        except (OSError, ValueError, http.client.HTTPException) as error:
            print("watcher", repr(error))

    def end(self) -> tuple[int, int]:
        """Return (bytes, events) when no more come."""
        before = -1
        while before != self.bytes:
            before = self.bytes
            time.sleep(0.3)
        assert self._connection.sock is not None
        self._connection.sock.shutdown(2)
        self.join(5)
        return self.bytes, self.events


def listed(
    server: RealApiServer, path: str, accept: str = "application/json"
) -> tuple[int, int, float]:
    """Return (bytes, bytes with gzip as the server does it, server CPU seconds of the latter)."""
    sizes = []
    spent = 0.0
    for encoding in ("identity", *["gzip"] * LISTS):
        connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=server._tls)
        before = server.cpu_seconds()
        connection.request(
            "GET",
            f"{path}{'&' if '?' in path else '?'}resourceVersion=0",
            headers={
                "Authorization": f"Bearer {server.admin_token}",
                "Accept": accept,
                "Accept-Encoding": encoding,
            },
        )
        answer = connection.getresponse()
        content = answer.read()
        if encoding == "gzip":
            spent += server.cpu_seconds() - before
        sizes.append(len(content))
        connection.close()
    return sizes[0], sizes[1], spent / LISTS


def in_parallel(
    server: RealApiServer, work: Callable[[RealApiServer, int], None], numbers: Iterable[int]
) -> None:
    """Do ``work(server, number)`` with several administrators."""
    local = threading.local()

    def one(number: int) -> None:
        if not hasattr(local, "server"):
            local.server = object.__new__(RealApiServer)
            local.server.__dict__ |= server.__dict__ | {"_connection": None}
        work(local.server, number)

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(one, numbers))


def create(server: RealApiServer, number: int) -> None:
    """A pod that is ready, in two writes."""
    pod = new_pod(number, 1)
    pod["spec"]["nodeName"] = node_name(number)
    server.must("POST", PODS, pod)
    path = f"{PODS}/{pod_name(number, 1)}/status"
    server.must("PATCH", path, status(number, "ready"), "application/strategic-merge-patch+json")


def roll(server: RealApiServer, number: int) -> None:
    bury(server, number, 1)
    bear(server, number, 2)


def again(server: RealApiServer, number: int) -> None:
    bury(server, number, 2)
    bear(server, number, 2)


def measure(count: int, *, rolled: int) -> None:
    with tempfile.TemporaryDirectory() as directory, real_api_server(Path(directory)) as server:
        started = time.monotonic()
        server.must(
            "POST",
            "/apis/scheduling.k8s.io/v1/priorityclasses",
            {"metadata": {"name": "x"}, "value": 1},
        )
        in_parallel(server, create, range(count))
        for first in range(0, count, ENDPOINTS_A_SLICE):
            size = min(ENDPOINTS_A_SLICE, count - first)
            server.must("POST", SLICES, endpoint_slice(first, size, 1))
        print(f"\n## {count} nodes (made in {time.monotonic() - started:.0f} s)", flush=True)
        pods = f"{PODS}?labelSelector={SELECTOR}"
        running = f"{pods}&fieldSelector={quote(_ALIVE)}"
        for name, path, accept in (
            ("pods", running, "application/json"),
            ("pods as Table", running + "&includeObject=None", TABLE + ",application/json"),
            ("EndpointSlices", f"{SLICES}?labelSelector={SELECTOR}", "application/json"),
        ):
            plain, zipped, spent = listed(server, path, accept)
            print(
                f"list {name:16} {plain:12,} bytes {zipped:11,} gzip"
                f" {plain / count:7.0f} a node, server CPU {spent * 1000:.0f} ms",
                flush=True,
            )
        own_list(server, count)
        watchers = {
            "all pods": Watcher(server, pods),
            "pods Running": Watcher(server, running),
            "pods Running as Table": Watcher(
                server, running + "&includeObject=None", TABLE + ",application/json"
            ),
        }
        started = time.monotonic()
        in_parallel(server, roll, range(rolled))
        took = time.monotonic() - started
        for name, watcher in watchers.items():
            size, events = watcher.end()
            whole = size * count / rolled
            print(
                f"roll-out, watch {name:22} {whole:13,.0f} bytes an agent,"
                f" {events / rolled:.1f} events and {size / rolled:,.0f} bytes a pod"
                f" ({rolled} rolled in {took:.0f} s)",
                flush=True,
            )
        for name, path, accept in (
            ("none", "", ""),
            ("pods Running", running, "application/json"),
            ("as Table", running + "&includeObject=None", TABLE + ",application/json"),
        ):
            crowd = [Watcher(server, path, accept) for _ in range(WATCHERS if path else 0)]
            before = server.cpu_seconds()
            in_parallel(server, again, range(50))
            spent = server.cpu_seconds() - before
            events = sum(one.end()[1] for one in crowd)
            print(
                f"server CPU of 50 pods rolled, {len(crowd)} watchers {name:13} {spent:.1f} s"
                f" ({events} events sent)",
                flush=True,
            )
        watcher = Watcher(server, f"{SLICES}?labelSelector={SELECTOR}")
        size = min(ENDPOINTS_A_SLICE, count)
        for number in range(20):
            one = endpoint_slice(0, size, 1)
            one["endpoints"][number]["conditions"]["ready"] = False
            server.must("PUT", f"{SLICES}/{one['metadata']['name']}", one)
        spent, events = watcher.end()
        each = spent / max(1, events)
        print(
            f"roll-out, watch EndpointSlices: {each:,.0f} bytes an update of a slice;"
            f" 4 a pod, unbatched: {each * 4 * count:,.0f} bytes an agent",
            flush=True,
        )


OWN = """
import sys, time, resource, threading
sys.path[:0] = {path!r}
from pathlib import Path
from kubenurse_otel.config import *
from kubenurse_otel.discovery.api import ApiServer
from kubenurse_otel.discovery.informer import Informer
from kubenurse_otel.discovery.neighbours import Neighbours, _pods
from kubenurse_otel.discovery.timings import Timings

def memory():
    for line in open("/proc/self/status"):
        if line.startswith(("VmRSS", "VmHWM")):
            yield int(line.split()[1]) / 1024

config = Config(
    identity=IdentityConfig(node_name={node!r}, pod_name={pod!r}, namespace={namespace!r}),
    checks=ChecksConfig(api_server_host="127.0.0.1", api_server_port={port}),
    trust=TrustConfig(token_file=Path({token!r}), ca_file=Path({ca!r})),
    discovery=DiscoveryConfig(
        neighbour_filter="app.kubernetes.io/name=kubenurse", allow_unschedulable=True
    ),
)
server = ApiServer(config)
stopping = threading.Event()
neighbours = Neighbours(config, server, Timings(), stopping=stopping, on_change=lambda: None)
server.get("/version", {{}}, asked="", read_seconds=5, max_bytes=10000).read()
_, before = memory()
for turn, form in enumerate(("_list_short",) * 3 + ("_list",) * 3):
    cpu = time.process_time()
    getattr(neighbours._pods, form)()
    cpu_list = time.process_time() - cpu
    neighbours.current(())
    cpu_round = time.process_time() - cpu - cpu_list
    peak, now = memory()
    print(f"own {{form:11}} {{turn + 1}}: CPU {{cpu_list * 1000:.0f}} ms,"
          f" round {{cpu_round * 1000:.0f}} ms, RSS {{before:.1f}} -> {{now:.1f}} MiB"
          f" (peak {{peak:.1f}}), {{len(neighbours._pods.snapshot().items)}} pods", flush=True)
"""


def own_list(server: RealApiServer, count: int) -> None:
    """List with our own code, in a process of its own."""
    token = server.directory / "admin-token"
    token.write_text(server.admin_token)
    code = OWN.format(
        path=[str(Path(__file__).parents[2])],
        node=node_name(count - 1),
        pod=pod_name(count - 1, 1),
        namespace=NAMESPACE,
        port=server.port,
        token=str(token),
        ca=str(server.ca_file),
    )
    subprocess.run([sys.executable, "-c", code], check=True)


if __name__ == "__main__":
    os.nice(5)
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    for argument in sys.argv[1:] or ["50", "500", "5000"]:
        count = int(argument)
        measure(count, rolled=min(count, 500))
