"""What one check costs others: the API server's and the ingress's CPU, DNS queries, spans.

Each is measured apart, with the live agents gone.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from bench.large import apiserver, borrowed, far_ends, objects, place
from bench.network import BenchError

if TYPE_CHECKING:
    from pathlib import Path

    from bench.large.borrowed import Administrator

REQUESTS: Final = 400
LOOK_UPS: Final = 200
WATCHERS: Final = 1000
UPDATES: Final = 250
_LOOK_UP: Final = """
import asyncio, sys
from kubenurse_otel.probe.resolve import ThreadResolver
async def main():
    resolve = ThreadResolver()
    for _ in range(int(sys.argv[2])):
        await resolve(sys.argv[1], deadline=asyncio.get_running_loop().time() + 5)
asyncio.run(main())
"""


def version_checks(server: Administrator) -> dict[str, float]:
    """The API server's CPU ms for one GET /version: a new connection each, and a kept one; with
    an RSA certificate; with an ECDSA one; with an audit policy that leaves checks out.
    """
    found = {"idle_percent": _idle(server) * 100}
    found["rsa"] = _requests(server, kept=False)
    found["kept"] = _requests(server, kept=True)
    _restart(server, apiserver.ECDSA)
    found["ecdsa"] = _requests(server, kept=False)
    _restart(server, apiserver.UNAUDITED)
    audit = apiserver.AuditLog(server.directory / "audit.log")
    audit.skip()
    found["unaudited"] = _requests(server, kept=False)
    found["unaudited_events"] = audit.read().requests["check"]
    _restart(server, ())
    return found


def _restart(server: Administrator, options: tuple[str, ...]) -> None:
    server.stop()
    here = str(server.directory)
    more = (option.format(here) for option in options)
    server.start(*apiserver.options(server.directory, *more))
    time.sleep(15)  # its caches fill: no cost of ours


def _idle(server: Administrator, seconds: float = 10.0) -> float:
    before = server.cpu_seconds()
    time.sleep(seconds)
    return (server.cpu_seconds() - before) / seconds


def _requests(server: Administrator, *, kept: bool) -> float:
    """CPU ms a request, less what the server spends while nobody asks."""
    idle = _idle(server)
    token = (server.directory / "serviceaccount" / "token").read_text()
    tls = ssl.create_default_context(cafile=str(server.ca_file))
    before, began = server.cpu_seconds(), time.monotonic()
    connection = None
    for _ in range(REQUESTS):
        if connection is None:
            connection = http.client.HTTPSConnection(
                place.API_SERVICE, place.API_PORT, context=tls, timeout=60
            )
        headers = {"Authorization": f"Bearer {token}", "User-Agent": "kubenurse-otel/bench"}
        connection.request("GET", "/version", headers=headers)
        if connection.getresponse().read() == b"":
            raise BenchError("/version is empty")
        if not kept:
            connection.close()
            connection = None
    spent = server.cpu_seconds() - before - idle * (time.monotonic() - began)
    if connection is not None:
        connection.close()
    return spent / REQUESTS * 1e3


def ingress_checks(directory: Path, nginx: int) -> float:
    """nginx's CPU ms for one check through it: a new TLS connection (RSA), proxied."""
    tls = ssl.create_default_context(cafile=str(directory / "ca.crt"))
    before = place.cpu_seconds(nginx)
    for _ in range(REQUESTS):
        with (
            socket.create_connection((place.INGRESS, 443), timeout=60) as raw,
            tls.wrap_socket(raw, server_hostname=place.INGRESS_HOST) as sock,
        ):
            sock.sendall(
                f"GET /alwayshappy HTTP/1.1\r\nHost: {place.INGRESS_HOST}\r\n\r\n".encode()
            )
            if not sock.recv(4096).startswith(b"HTTP/1.1 200"):
                raise BenchError("the ingress does not answer 200")
    return (place.cpu_seconds(nginx) - before) / REQUESTS * 1e3


def look_ups(directory: Path, coredns: int) -> dict[str, dict[str, float]]:
    """Queries that a look-up of each of our names makes, by the agent's own resolver and glibc."""
    found: dict[str, dict[str, float]] = {}
    names = {
        "api_server_dns": "kubernetes.default.svc.cluster.local",
        "me_service": f"kubenurse.{borrowed.NAMESPACE}.svc.cluster.local",
        "me_ingress": place.INGRESS_HOST,
    }
    for ndots in (5, 1):
        place.resolv_conf(directory, ndots=ndots)
        for kind, name in names.items():
            before, spent = far_ends.queries(), place.cpu_seconds(coredns)
            subprocess.run([sys.executable, "-c", _LOOK_UP, name, str(LOOK_UPS)], check=True)
            after = far_ends.queries()
            rise = {k: (after[k] - before.get(k, 0)) / LOOK_UPS for k in ("A", "AAAA")}
            cpu = (place.cpu_seconds(coredns) - spent) * 1e3 / LOOK_UPS
            found[f"{kind}, ndots {ndots}"] = {**rise, "coredns_cpu_ms": cpu}
    place.resolv_conf(directory, ndots=1)
    return found


def node_updates(server: Administrator, count: int) -> dict[str, float]:
    """The API server's CPU ms for one heartbeat of a node, and what idle watchers add to it."""
    _updates(server, count)  # once to warm up
    alone = [_updates(server, count)]
    with_watchers: dict[str, float] = {}
    last = borrowed.daemonset.node_name(count - 1)
    queries = {"cordoned": "spec.unschedulable%3Dtrue", "own": f"metadata.name%3D{last}"}
    for name, selector in queries.items():
        held = [_watch(server, f"fieldSelector={selector}") for _ in range(WATCHERS)]
        time.sleep(5)
        with_watchers[name] = _updates(server, count)
        for connection in held:
            connection.close()
        time.sleep(5)
        alone.append(_updates(server, count))
    mean = sum(alone) / len(alone)
    found = {"alone_ms": mean, "alone_spread_ms": max(alone) - min(alone)}
    for name, cost in with_watchers.items():
        found[f"{name}_watcher_us"] = (cost - mean) / WATCHERS * 1e3
    return found


def _updates(server: Administrator, count: int) -> float:
    """CPU ms an update of nodes that none of the watchers sees."""
    idle = _idle(server, 5.0)
    before, began = server.cpu_seconds(), time.monotonic()
    for number in range(UPDATES):
        objects.heartbeat(server, number % (count - 1))
    return (server.cpu_seconds() - before - idle * (time.monotonic() - began)) / UPDATES * 1e3


def _watch(server: Administrator, query: str) -> http.client.HTTPSConnection:
    tls = ssl.create_default_context(cafile=str(server.ca_file))
    connection = http.client.HTTPSConnection(
        place.API_SERVER, place.API_PORT, context=tls, timeout=60
    )
    headers = {"Authorization": f"Bearer {server.admin_token}"}
    version = server.must("GET", "/api/v1/namespaces")["metadata"]["resourceVersion"]
    path = f"{objects.NODES}?{query}&watch=true&resourceVersion={version}"
    connection.request("GET", path, headers=headers)
    answer: Any = connection.getresponse()
    if answer.status != 200:
        raise BenchError(f"watch: {answer.status}")
    connection.answer = answer  # type: ignore[attr-defined]  # kept open with it
    return connection


FORMS: Final = {
    "whole": "application/json",
    "metadata": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "table": "application/json;as=Table;v=v1;g=meta.k8s.io",
}
CORDONED: Final = 20


def cordoning(server: Administrator) -> dict[str, dict[str, float]]:
    """Events and bytes that cordoning and uncordoning one node sends to one agent, by form."""
    path = f"{objects.NODES}?fieldSelector=spec.unschedulable%3Dtrue"
    watchers = {
        name: borrowed.scale.Watcher(
            server, path + ("&includeObject=None" if name == "table" else ""), accept
        )
        for name, accept in FORMS.items()
    }
    for number in range(CORDONED):
        objects.cordon(server, number, on=True)
    for number in range(CORDONED):
        objects.heartbeat(server, number)
    for number in range(CORDONED):
        objects.cordon(server, number, on=False)
    found = {}
    for name, watcher in watchers.items():
        size, events = watcher.end()
        found[name] = {"events": events / CORDONED, "bytes_an_event": size / max(1, events)}
    return found
